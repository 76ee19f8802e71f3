// What zn-fsck prints, and how it ends.
#pragma once

#include <chrono>
#include <string>

#include "zn/engine/repair.h"

namespace zn::tools {

/// As fsck(8). Sums are not used: one code says how it ended.
struct FsckExit {
  static constexpr int kClean = 0, kMended = 1, kNotMended = 4, kOperational = 8, kUsage = 16,
                       kCancelled = 32, kInUse = 64;
};
int FsckExitOf(const Error& error);
int FsckExitOf(const RepairSummary& summary, bool dry_run);
/// The table as text, for --help.
std::string FsckExitHelp();

std::string FindingText(const Finding& finding);
/// One line.
std::string FindingJson(const Finding& finding);
std::string RepairActionText(const RepairAction& action, bool dry_run);
/// One line.
std::string RepairActionJson(const RepairAction& action, bool dry_run);
std::string FsckSummaryText(const std::string& store, const RepairSummary& repair, bool dry_run,
                            double seconds);
std::string FsckSummaryJson(const RepairSummary& repair, bool dry_run, double seconds,
                            int exit_code);
std::string FsckFailureJson(const Error& error, int exit_code);

/// A line on standard error that is written over, on a terminal only.
class FsckProgress {
 public:
  explicit FsckProgress(bool terminal) : terminal_(terminal) {}
  ~FsckProgress() { Clear(); }
  void Update(const CheckProgress& progress);
  void Clear();

 private:
  const bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_{};
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace zn::tools
