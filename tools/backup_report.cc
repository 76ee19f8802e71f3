#include "backup_report.h"

#include <cstdio>
#include <ctime>

#include "report.h"

namespace zn::tools {
namespace {

std::string Bytes(uint64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }
std::string Count(uint64_t count) { return HumanCount(static_cast<int64_t>(count)); }

/// "2026-01-02T03:04:05Z"
std::string Time(int64_t time_ns) {
  const std::time_t seconds = time_ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

JsonObject& AddCount(JsonObject& json, std::string_view key, uint64_t value) {
  return json.Add(key, static_cast<int64_t>(value));
}

std::string Line(JsonObject json) { return std::move(json).Take() + "\n"; }

std::string SnapshotObject(const BackupSnapshot& snapshot) {
  JsonObject json;
  json.Add("id", snapshot.id);
  json.Add("parent", snapshot.parent);
  json.Add("kind", std::string_view(snapshot.is_store ? "store" : "directory"));
  json.Add("time", Time(snapshot.time_ns));
  json.Add("time_ns", snapshot.time_ns);
  json.Add("host", snapshot.host);
  json.Add("source", snapshot.source);
  json.Add("description", snapshot.description);
  std::vector<std::string> tags;
  for (const std::string& tag : snapshot.tags) {
    JsonObject one;
    one.Add("t", tag);
    const std::string text = std::move(one).Take();
    tags.push_back(text.substr(5, text.size() - 6));
  }
  json.AddRaw("tags", JsonList(tags));
  json.Add("store", snapshot.store);
  AddCount(json, "sequence", snapshot.sequence);
  AddCount(json, "files", snapshot.files);
  AddCount(json, "bytes", snapshot.bytes);
  AddCount(json, "new_bytes", snapshot.new_bytes);
  AddCount(json, "new_objects", snapshot.new_objects);
  AddCount(json, "damaged", snapshot.damaged);
  return std::move(json).Take();
}

}  // namespace

std::string BackupExitHelp() {
  return "Exit codes, as restic's where it has one:\n"
         "  0    done\n"
         "  1    failed; or verify found damage\n"
         "  2    options that make no sense\n"
         "  3    done, but incomplete: some of the source was damaged, or of what was restored "
         "(--keep-going)\n"
         "  10   there is no repository\n"
         "  11   the repository is in use by another process\n"
         "  12   the password is wrong, or there is none\n"
         "  130  interrupted (143: terminated); the same command goes on where it stopped\n";
}

std::string BackupSnapshotJson(const BackupSnapshot& snapshot) {
  return SnapshotObject(snapshot) + "\n";
}

std::string BackupCreatedText(const BackupSnapshot& snapshot, double seconds) {
  std::string text = "snapshot " + snapshot.id.substr(0, 8) + " of " + snapshot.source + ": " +
                     Bytes(snapshot.bytes) + ", " + Bytes(snapshot.new_bytes) + " in " +
                     Count(snapshot.new_objects) + " objects of them new; " + HumanTime(seconds) +
                     "\n";
  if (snapshot.damaged > 0)
    text += "  " + Count(snapshot.damaged) +
            " places of the source are damaged: see above, and run zn-fsck\n";
  return text;
}

std::string BackupListText(const std::vector<BackupSnapshot>& snapshots) {
  std::vector<std::vector<std::string>> rows = {
      {"id", "time", "size", "new", "host", "source", "tags"}};
  for (const BackupSnapshot& s : snapshots)
    rows.push_back({s.id.substr(0, 8), Time(s.time_ns), Bytes(s.bytes), Bytes(s.new_bytes), s.host,
                    s.source + (s.damaged > 0 ? " (damaged)" : ""),
                    Joined(s.tags) + (s.description.empty() ? "" : "  " + s.description)});
  return Table(rows) + Count(snapshots.size()) + " snapshots\n";
}

std::string BackupVerifyText(const BackupVerifySummary& s, bool read_data, double seconds) {
  std::string text = Count(s.snapshots) + " snapshots, " + Count(s.lists) + " lists, " +
                     Count(s.objects) + " objects in " + Count(s.bundles) + " bundles";
  text += read_data ? "; " + Count(s.bundles_read) + " bundles read (" + Bytes(s.bytes_read) + ")\n"
                    : "; their data was not read\n";
  if (s.unused_bytes > 0) text += Bytes(s.unused_bytes) + " are not needed by any snapshot\n";
  text += s.problems == 0 ? "no problems found" : Count(s.problems) + " problems found";
  return text + "; " + HumanTime(seconds) + "\n";
}

std::string BackupVerifyJson(const BackupVerifySummary& s, double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("verified"));
  AddCount(json, "snapshots", s.snapshots);
  AddCount(json, "lists", s.lists);
  AddCount(json, "objects", s.objects);
  AddCount(json, "bundles", s.bundles);
  AddCount(json, "bundles_read", s.bundles_read);
  AddCount(json, "bytes_read", s.bytes_read);
  AddCount(json, "unused_bytes", s.unused_bytes);
  AddCount(json, "problems", s.problems);
  json.Add("seconds", seconds);
  return Line(std::move(json));
}

std::string BackupRestoredText(const std::string& target, const RestoreSummary& s, double seconds) {
  std::string text = "restored " + target + ": " + Count(s.files) + " files, " + Bytes(s.bytes);
  if (s.resumed_bytes > 0) text += ", " + Bytes(s.resumed_bytes) + " of them by an earlier run";
  if (s.damaged > 0)
    text += "; " + Count(s.damaged) + " objects are lost, and zeros stand there: run zn-fsck";
  return text + "; " + HumanTime(seconds) + "\n";
}

std::string BackupRestoredJson(const RestoreSummary& s, double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("restored"));
  AddCount(json, "files", s.files);
  AddCount(json, "bytes", s.bytes);
  AddCount(json, "resumed_bytes", s.resumed_bytes);
  AddCount(json, "damaged", s.damaged);
  json.Add("seconds", seconds);
  return Line(std::move(json));
}

std::string BackupFramesText(const std::string& store, const FramesRestored& s, double seconds) {
  return "restored " + HumanCount(s.frames) + " frames into room " + s.room + " of " + store +
         "; " + HumanTime(seconds) + "\n";
}

std::string BackupFramesJson(const FramesRestored& s, double seconds) {
  JsonObject json;
  json.Add("event", std::string_view("restored"));
  json.Add("room", s.room);
  json.Add("frames", s.frames);
  json.Add("atoms", s.atoms);
  json.Add("stored_bytes", s.stored_bytes);
  json.Add("seconds", seconds);
  return Line(std::move(json));
}

std::string BackupPruneText(const PruneSummary& s, bool dry_run, double seconds) {
  std::string text;
  for (const BackupSnapshot& snapshot : s.kept)
    text += "keep    " + snapshot.id.substr(0, 8) + "  " + Time(snapshot.time_ns) + "  " +
            snapshot.source + "\n";
  for (const BackupSnapshot& snapshot : s.removed)
    text += "forget  " + snapshot.id.substr(0, 8) + "  " + Time(snapshot.time_ns) + "  " +
            snapshot.source + "\n";
  text += std::string(dry_run ? "would keep " : "kept ") + Count(s.kept.size()) +
          " snapshots and " + (dry_run ? "forget " : "forgot ") + Count(s.removed.size()) + "; " +
          Count(s.bundles_removed) + " bundles " + (dry_run ? "would go, " : "went, ") +
          Count(s.bundles_rewritten) + " of them written anew; " + Bytes(s.freed_bytes) +
          (dry_run ? " would be free, " : " freed, ") + Bytes(s.bytes) + " left; " +
          HumanTime(seconds) + "\n";
  return text;
}

std::string BackupPruneJson(const PruneSummary& s, bool dry_run, double seconds) {
  std::vector<std::string> kept, removed;
  for (const BackupSnapshot& snapshot : s.kept) kept.push_back(SnapshotObject(snapshot));
  for (const BackupSnapshot& snapshot : s.removed) removed.push_back(SnapshotObject(snapshot));
  JsonObject json;
  json.Add("event", std::string_view("pruned"));
  json.AddFlag("dry_run", dry_run);
  json.AddRaw("kept", JsonList(kept));
  json.AddRaw("removed", JsonList(removed));
  AddCount(json, "bundles_removed", s.bundles_removed);
  AddCount(json, "bundles_rewritten", s.bundles_rewritten);
  AddCount(json, "freed_bytes", s.freed_bytes);
  AddCount(json, "bytes", s.bytes);
  json.Add("seconds", seconds);
  return Line(std::move(json));
}

std::string BackupFailureJson(const Error& error, int exit_code) {
  JsonObject json;
  json.Add("event", std::string_view("error"));
  json.Add("code", ErrorCodeName(error.code));
  json.Add("message", error.message);
  json.Add("exit_code", static_cast<int64_t>(exit_code));
  return Line(std::move(json));
}

void BackupProgressReport::Update(const BackupProgress& progress) {
  if (!json_) {
    line_.Update({progress.stage, static_cast<int64_t>(progress.done),
                  static_cast<int64_t>(progress.total)});
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::seconds(1)) return;
  last_ = now;
  JsonObject json;
  json.Add("event", std::string_view("progress"));
  json.Add("stage", progress.stage);
  AddCount(json, "done", progress.done);
  AddCount(json, "total", progress.total);
  const std::string text = Line(std::move(json));
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace zn::tools
