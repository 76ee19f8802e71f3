// How zn-import talks: a progress bar or JSON lines while it runs, a summary at its end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

#include "import.h"

namespace zn::tools {

/// "1.2 GB", "340 kB".
std::string HumanBytes(double bytes);
/// "0.42 s", "3 min 20 s", "1 h 05 min".
std::string HumanTime(double seconds);
/// "1 234 567": thousands apart.
std::string HumanCount(int64_t count);

/// A line for a terminal of `columns` columns: file, bar, frames, rate, what is left.
std::string ProgressLine(const ImportProgress& progress, double seconds, int columns);
/// {"event":"progress",...} on one line.
std::string ProgressJson(const ImportProgress& progress, double seconds);

/// The closing words, several lines; what would have been made with `dry_run`.
std::string SummaryText(const ImportOptions& options, const ImportSummary& summary, double seconds);
std::string SummaryJson(const ImportOptions& options, const ImportSummary& summary, double seconds);
/// {"event":"error",...} on one line.
std::string FailureJson(const Failure& failure);

/// Shows progress from a thread of its own, so that the lines come even while a batch takes long.
class ProgressReporter {
 public:
  enum class Mode { kNone, kBar, kJson };
  explicit ProgressReporter(Mode mode);
  ~ProgressReporter();  // takes the bar away
  void Update(const ImportProgress& progress);

 private:
  void Run();

  const Mode mode_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable wake_;
  ImportProgress progress_;  // guarded by mutex_
  bool any_ = false;         // guarded by mutex_
  bool stopping_ = false;    // guarded by mutex_
  std::thread thread_;
};

}  // namespace zn::tools
