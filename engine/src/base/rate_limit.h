// Holds a stream of reads or writes to a rate.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace zn {

/// Thread-safe.
class RateLimit {
 public:
  /// 0: no limit.
  explicit RateLimit(int64_t bytes_per_second)
      : rate_(bytes_per_second), next_(std::chrono::steady_clock::now()) {}
  /// Waits until `bytes` more are within the rate.
  void Take(int64_t bytes);

 private:
  const int64_t rate_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point next_;  // guarded by mutex_
};

}  // namespace zn
