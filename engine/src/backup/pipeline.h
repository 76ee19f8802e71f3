// Work on several threads with bounded memory: whoever reads hands on, and waits when too much is
// in hand.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "base/thread_pool.h"
#include "zn/engine/error.h"

namespace zn::backup {

class Pipeline {
 public:
  static constexpr int64_t kMostBytes = 64 << 20;

  explicit Pipeline(int threads, int64_t most_bytes = kMostBytes)
      : most_bytes_(most_bytes), pool_(threads) {}
  ~Pipeline() { (void)Drain(); }

  /// Waits until there is room for a task that holds so many bytes. After a task has failed,
  /// returns its error and runs nothing more.
  Result<> Submit(int64_t bytes, std::function<Result<>()> task) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return held_ == 0 || held_ + bytes <= most_bytes_ || failure_; });
      if (failure_) return *failure_;
      held_ += bytes;
      ++tasks_;
    }
    pool_.Submit([this, bytes, task = std::move(task)]() mutable {
      Result<> done;
      if (!failed()) done = task();
      task = nullptr;  // what it holds goes before the room for it is given away
      const std::lock_guard lock(mutex_);
      if (!done && !failure_) failure_ = done.error();
      held_ -= bytes;
      --tasks_;
      changed_.notify_all();
    });
    return {};
  }

  /// Waits for all tasks; the first error of any.
  Result<> Drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tasks_ == 0; });
    if (failure_) return *failure_;
    return {};
  }

 private:
  bool failed() {
    const std::lock_guard lock(mutex_);
    return failure_.has_value();
  }

  const int64_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t held_ = 0;  // guarded by mutex_, as all below
  int64_t tasks_ = 0;
  std::optional<Error> failure_;
  ThreadPool pool_;  // last: its threads use the rest
};

}  // namespace zn::backup
