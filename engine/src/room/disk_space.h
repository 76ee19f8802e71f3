// How much of the disk is left, and who may still use it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "zn/engine/error.h"

namespace zn::internal {

/// Looks at the disk at most every few milliseconds. Thread-safe.
class DiskSpace {
 public:
  /// Before the first use. `free` tells the bytes left on the disk (tests have their own).
  void Start(std::function<int64_t()> free, int64_t reserve) {
    free_ = std::move(free);
    reserve_ = reserve;
  }

  /// kNoSpace when a write of about so many bytes would use the reserve.
  Result<> Admit(int64_t bytes) const {
    if (reserve_ <= 0 || bytes <= Free()) return {};
    return Error{ErrorCode::kNoSpace, "the disk is full but for the reserve of " +
                                          std::to_string(reserve_ >> 20) +
                                          " MiB, which undo, deletions and the collection may use; "
                                          "delete what is not needed, or make room"};
  }
  /// The same for what may use the reserve: all but the little without which the log could not be
  /// ended in good order.
  Result<> AdmitToReserve(int64_t bytes) const {
    if (reserve_ <= 0 || bytes <= Left() - std::min<int64_t>(kLast, reserve_ / 2)) return {};
    return Error{ErrorCode::kNoSpace,
                 "the disk is full, and its reserve is used up; make room on it"};
  }
  /// Bytes left to those who may not use the reserve; never negative.
  int64_t Free() const { return std::max<int64_t>(0, Left() - reserve_); }
  /// Bytes left to everybody.
  int64_t Left() const {
    if (!free_) return INT64_MAX;
    const int64_t now = std::chrono::steady_clock::now().time_since_epoch().count();
    if (now >= look_at_.load(std::memory_order_relaxed)) {
      left_.store(free_(), std::memory_order_relaxed);
      look_at_.store(now + kLookEvery.count(), std::memory_order_relaxed);
    }
    return left_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr int64_t kLast = 8 << 20;
  static constexpr std::chrono::nanoseconds kLookEvery = std::chrono::milliseconds(20);
  std::function<int64_t()> free_;
  int64_t reserve_ = 0;
  mutable std::atomic<int64_t> look_at_{0}, left_{INT64_MAX};
};

}  // namespace zn::internal
