#include "fsck_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "report.h"

namespace zn::tools {
namespace {

std::string Bytes(int64_t bytes) { return HumanBytes(static_cast<double>(bytes)); }

std::string AffectedText(const Affected& affected) {
  std::string text = affected.room.empty() ? "the control records" : "room " + affected.room;
  if (!affected.field.empty()) text += ", field " + affected.field;
  if (affected.first >= 0)
    text += affected.first == affected.last ? ", frame id " + std::to_string(affected.first)
                                            : ", frame ids " + std::to_string(affected.first) +
                                                  " to " + std::to_string(affected.last);
  return text;
}

}  // namespace

int FsckExitOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kBusy:
      return FsckExit::kInUse;
    case ErrorCode::kCancelled:
      return FsckExit::kCancelled;
    case ErrorCode::kInvalidArgument:
      return FsckExit::kUsage;
    default:
      return FsckExit::kOperational;
  }
}

int FsckExitOf(const RepairSummary& summary, bool dry_run) {
  if (dry_run) return summary.check.clean() ? FsckExit::kClean : FsckExit::kNotMended;
  if (summary.actions() == 0) return FsckExit::kClean;
  return summary.all_mended() ? FsckExit::kMended : FsckExit::kNotMended;
}

std::string FsckExitHelp() {
  return "Exit codes, as fsck(8):\n"
         "  0   clean (there may be notes)\n"
         "  1   damage was found, and all of it mended\n"
         "  4   damage was found and is still there\n"
         "  8   the store could not be checked (no store, a superblock that is damaged or of a "
         "later version, I/O errors)\n"
         "  16  options that make no sense\n"
         "  32  cancelled\n"
         "  64  another process has the store open for writing\n";
}

std::string FindingText(const Finding& finding) {
  std::string text = finding.note ? "note    " : "damage  ";
  text += std::string(FindingName(finding.kind)) + ": " + finding.object + ": " + finding.message +
          "\n";
  for (const Affected& affected : finding.affected)
    text += "          affects " + AffectedText(affected) + "\n";
  if (!finding.remedy.empty()) text += "          remedy: " + finding.remedy + "\n";
  return text;
}

std::string FindingJson(const Finding& finding) {
  nlohmann::ordered_json json;
  json["finding"] = FindingName(finding.kind);
  json["severity"] = finding.note ? "note" : "damage";
  json["object"] = finding.object;
  json["message"] = finding.message;
  json["remedy"] = finding.remedy;
  json["affected"] = nlohmann::ordered_json::array();
  for (const Affected& affected : finding.affected) {
    nlohmann::ordered_json one;
    one["room"] = affected.room;
    if (!affected.field.empty()) one["field"] = affected.field;
    if (affected.first >= 0) one["frame_ids"] = {affected.first, affected.last};
    json["affected"].push_back(std::move(one));
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string RepairActionText(const RepairAction& action, bool dry_run) {
  return std::string(dry_run ? "would be " : "repair  ") +
         std::string(RepairActionName(action.kind)) + ": " + action.object + ": " + action.message +
         "\n";
}

std::string RepairActionJson(const RepairAction& action, bool dry_run) {
  nlohmann::ordered_json json;
  json["repair"] = RepairActionName(action.kind);
  json["done"] = !dry_run && action.kind != RepairAction::kUnmended;
  json["object"] = action.object;
  json["message"] = action.message;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string FsckSummaryText(const std::string& store, const RepairSummary& repair, bool dry_run,
                            double seconds) {
  const CheckSummary& summary = repair.check;
  char time[32];
  std::snprintf(time, sizeof time, "%.1f s", seconds);
  std::string text = store + ": ";
  text += summary.clean() ? "clean" : std::to_string(summary.findings) + " findings of damage";
  if (summary.notes > 0) text += ", " + std::to_string(summary.notes) + " notes";
  text += "\n  " + std::to_string(summary.rooms) + " rooms, " + std::to_string(summary.commits) +
          " commits, " + std::to_string(summary.nodes) + " tree nodes, " +
          std::to_string(summary.references) + " references followed";
  text += "\n  " + std::to_string(summary.packs) + " packs and " +
          std::to_string(summary.log_files) + " log files with " + std::to_string(summary.records) +
          " records; " + Bytes(summary.bytes) + " read";
  if (summary.chunks_decoded > 0)
    text += "; " + std::to_string(summary.chunks_decoded) + " chunks decoded";
  if (summary.orphan_records > 0)
    text += "\n  " + std::to_string(summary.orphan_records) + " records (" +
            Bytes(summary.orphan_bytes) + ") that nothing refers to";
  if (repair.actions() > 0) {
    text += std::string("\n  ") + (dry_run ? "--repair would: " : "repair: ") +
            std::to_string(repair.healed) + " healed, " + std::to_string(repair.rebuilt) +
            " rebuilt, " + std::to_string(repair.moved) + " moved to quarantine/, " +
            std::to_string(repair.marked) + " marked as lost, " + std::to_string(repair.unmended) +
            " not mended";
  }
  return text + "\n  " + time + "\n";
}

std::string FsckSummaryJson(const RepairSummary& repair, bool dry_run, double seconds,
                            int exit_code) {
  const CheckSummary& summary = repair.check;
  nlohmann::ordered_json json;
  json["summary"] = {{"clean", summary.clean()},
                     {"findings", summary.findings},
                     {"notes", summary.notes},
                     {"rooms", summary.rooms},
                     {"commits", summary.commits},
                     {"nodes", summary.nodes},
                     {"references", summary.references},
                     {"packs", summary.packs},
                     {"log_files", summary.log_files},
                     {"records", summary.records},
                     {"bytes", summary.bytes},
                     {"chunks_decoded", summary.chunks_decoded},
                     {"orphan_records", summary.orphan_records},
                     {"orphan_bytes", summary.orphan_bytes},
                     {"repair",
                      {{"dry_run", dry_run},
                       {"healed", repair.healed},
                       {"rebuilt", repair.rebuilt},
                       {"quarantined", repair.moved},
                       {"lost", repair.marked},
                       {"not_mended", repair.unmended}}},
                     {"seconds", seconds},
                     {"exit", exit_code}};
  return json.dump() + "\n";
}

std::string FsckFailureJson(const Error& error, int exit_code) {
  nlohmann::ordered_json json;
  json["error"] = {
      {"code", ErrorCodeName(error.code)}, {"message", error.message}, {"exit", exit_code}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void FsckProgress::Update(const CheckProgress& progress) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - begin_ < std::chrono::seconds(1) ||
      now - last_ < std::chrono::milliseconds(200))
    return;
  last_ = now;
  shown_ = true;
  const std::string stage(progress.stage);
  if (progress.total > 0) {
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(progress.done) / seconds;
    const double left = rate > 0 ? static_cast<double>(progress.total - progress.done) / rate : 0;
    std::fprintf(stderr, "\r\033[K%s: %3.0f %% of %s, %s/s, %.0f s left", stage.c_str(),
                 100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.total),
                 Bytes(progress.total).c_str(), Bytes(static_cast<int64_t>(rate)).c_str(), left);
  } else {
    std::fprintf(stderr, "\r\033[K%s: %lld", stage.c_str(), static_cast<long long>(progress.done));
  }
  std::fflush(stderr);
}

void FsckProgress::Clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace zn::tools
