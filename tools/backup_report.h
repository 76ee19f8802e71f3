// What zn-backup prints, and how it ends.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "backup_frames.h"
#include "fsck_report.h"
#include "zn/engine/backup.h"

namespace zn::tools {

/// As restic's, where it has one.
struct BackupExit {
  static constexpr int kDone = 0, kFailed = 1, kUsage = 2, kIncomplete = 3, kNoRepository = 10,
                       kLocked = 11, kWrongPassword = 12, kInterrupted = 130;
};
/// The table as text, for --help.
std::string BackupExitHelp();

std::string BackupSnapshotJson(const BackupSnapshot& snapshot);
std::string BackupCreatedText(const BackupSnapshot& snapshot, double seconds);
std::string BackupListText(const std::vector<BackupSnapshot>& snapshots);
std::string BackupVerifyText(const BackupVerifySummary& summary, bool read_data, double seconds);
std::string BackupVerifyJson(const BackupVerifySummary& summary, double seconds);
std::string BackupRestoredText(const std::string& target, const RestoreSummary& summary,
                               double seconds);
std::string BackupRestoredJson(const RestoreSummary& summary, double seconds);
std::string BackupFramesText(const std::string& store, const FramesRestored& restored,
                             double seconds);
std::string BackupFramesJson(const FramesRestored& restored, double seconds);
std::string BackupPruneText(const PruneSummary& summary, bool dry_run, double seconds);
std::string BackupPruneJson(const PruneSummary& summary, bool dry_run, double seconds);
std::string BackupFailureJson(const Error& error, int exit_code);

/// A line that is written over on a terminal, or with `json` a line of JSON each second.
class BackupProgressReport {
 public:
  BackupProgressReport(bool json, bool terminal) : json_(json), line_(!json && terminal) {}
  void Update(const BackupProgress& progress);
  void Clear() { line_.Clear(); }

 private:
  const bool json_;
  FsckProgress line_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace zn::tools
