// How the tools talk while they run: a progress bar or JSON lines; and the words that their
// summaries are made of.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "exit_code.h"

namespace zn::tools {

/// How far a run is.
struct Progress {
  std::string file;     // the one at hand
  double fraction = 0;  // of the whole
  int64_t frames = 0, atoms = 0, raw_bytes = 0;
  bool committing = false;             // all read; what is left is syncing
  std::string_view state = "reading";  // otherwise
};

/// "1.2 GB", "340 kB".
std::string HumanBytes(double bytes);
/// "0.42 s", "3 min 20 s", "1 h 05 min".
std::string HumanTime(double seconds);
/// "1,234,567": thousands apart.
std::string HumanCount(int64_t count);
/// Rows as lines of columns, two spaces before each line and between columns.
std::string Table(const std::vector<std::vector<std::string>>& rows);

/// One JSON object on one line, member by member.
class JsonObject {
 public:
  JsonObject& Add(std::string_view key, std::string_view text);
  JsonObject& Add(std::string_view key, int64_t value);
  JsonObject& Add(std::string_view key, double value);  // null where it is not finite
  JsonObject& AddFlag(std::string_view key, bool value);
  /// `value` is JSON already.
  JsonObject& AddRaw(std::string_view key, std::string_view value);
  std::string Take() && { return std::move(text_ += '}'); }

 private:
  void Key(std::string_view key);
  std::string text_ = "{";
};
/// ["a","b"] of JSON values.
std::string JsonList(const std::vector<std::string>& values);

/// A line for a terminal of `columns` columns: file, bar, frames, rate, what is left.
std::string ProgressLine(const Progress& progress, double seconds, int columns);
/// {"event":"progress",...} on one line.
std::string ProgressJson(const Progress& progress, double seconds);
/// {"event":"error",...} on one line.
std::string FailureJson(const Failure& failure);

/// Shows progress from a thread of its own, so that the lines come even while a step takes long.
class ProgressReporter {
 public:
  enum class Mode { kNone, kBar, kJson };
  /// kJson with `json`; else kBar where standard error is a terminal.
  static Mode ModeFor(bool json);
  explicit ProgressReporter(Mode mode);
  ~ProgressReporter();  // takes the bar away
  void Update(const Progress& progress);

 private:
  void Run();

  const Mode mode_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::condition_variable wake_;
  Progress progress_;      // guarded by mutex_
  bool any_ = false;       // guarded by mutex_
  bool stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace zn::tools
