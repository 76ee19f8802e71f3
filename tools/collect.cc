#include "collect.h"

#include <cstdio>

#include "report.h"

namespace zn::tools {

Result<CollectSummary> RunCollect(const CollectRun& run,
                                  const std::function<void(const CollectProgress&)>& progress) {
  StoreOptions options;
  options.read_only = run.options.dry_run;
  options.background_maintenance = false;
  ZN_ASSIGN_OR_RETURN(const auto store, Store::Open(run.store, options));
  CollectOptions collect = run.options;
  for (const auto& [name, retention] : run.keep) {
    ZN_ASSIGN_OR_RETURN(const auto room, store->OpenRoom(name));
    if (run.options.dry_run) {
      collect.as_if[name] = retention;
      continue;
    }
    CommitContext context;
    context.actor = "zn-collect";
    ZN_RETURN_IF_ERROR(room->UpdateModel(
        [&](const RoomModel& before) {
          RoomModel model = before;
          model.retention = retention;
          return Result<RoomModel>(std::move(model));
        },
        context));
  }
  return store->Collect(collect, progress);
}

namespace {
std::string Bytes(int64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }
}  // namespace

std::string CollectText(const CollectSummary& s, bool dry_run) {
  std::string text = dry_run ? "Would give back " : "Gave back ";
  text += Bytes(s.freed_bytes) + ".\n";
  text += "  packs      " + std::to_string(s.packs) + " of " + Bytes(s.pack_bytes) + ", " +
          Bytes(s.pack_live_bytes) + " of it needed; " + std::to_string(s.packs_removed) +
          " removed, " + std::to_string(s.packs_rewritten) + " rewritten (" +
          Bytes(s.copied_bytes) + " copied)\n";
  text += "  log files  " + std::to_string(s.log_files) + " of " + Bytes(s.log_bytes) + ", " +
          Bytes(s.log_live_bytes) + " of it needed; " + std::to_string(s.log_files_removed) +
          " removed\n";
  if (s.commits_pruned > 0)
    text +=
        "  commits    " + HumanCount(s.commits_pruned) + " beyond their rooms' retention let go\n";
  if (s.waiting_bytes > 0)
    text += "  " + Bytes(s.waiting_bytes) + " more once " + std::to_string(s.waiting_readers) +
            " readers in other processes let go of older snapshots; collect again then\n";
  return text;
}

std::string CollectJson(const CollectSummary& s, bool dry_run) {
  return std::move(JsonObject()
                       .AddFlag("dry_run", dry_run)
                       .Add("freed_bytes", s.freed_bytes)
                       .Add("waiting_bytes", s.waiting_bytes)
                       .Add("waiting_readers", s.waiting_readers)
                       .Add("packs", s.packs)
                       .Add("pack_bytes", s.pack_bytes)
                       .Add("pack_live_bytes", s.pack_live_bytes)
                       .Add("packs_removed", s.packs_removed)
                       .Add("packs_rewritten", s.packs_rewritten)
                       .Add("copied_bytes", s.copied_bytes)
                       .Add("log_files", s.log_files)
                       .Add("log_bytes", s.log_bytes)
                       .Add("log_live_bytes", s.log_live_bytes)
                       .Add("log_files_removed", s.log_files_removed)
                       .Add("commits_pruned", s.commits_pruned))
             .Take() +
         "\n";
}

void CollectBar::Update(const CollectProgress& progress) {
  if (!shown_) return;
  written_ = true;
  std::string text(progress.stage);
  text += ": " + Bytes(progress.done);
  if (progress.total > 0) text += " of " + Bytes(progress.total);
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
  std::fflush(stderr);
}

void CollectBar::Clear() {
  if (written_) std::fputs("\r\033[K", stderr);
  written_ = false;
}

}  // namespace zn::tools
