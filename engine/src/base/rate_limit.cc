#include "base/rate_limit.h"

#include <algorithm>
#include <thread>

namespace zn {

void RateLimit::Take(int64_t bytes) {
  if (rate_ <= 0) return;
  std::chrono::steady_clock::time_point until;
  {
    const std::lock_guard lock(mutex_);
    next_ = std::max(next_, std::chrono::steady_clock::now()) +
            std::chrono::nanoseconds(static_cast<int64_t>(1e9 * static_cast<double>(bytes) /
                                                          static_cast<double>(rate_)));
    until = next_;
  }
  std::this_thread::sleep_until(until);
}

}  // namespace zn
