#include "http/worker.h"

#include <chrono>

namespace zn::server {

int64_t Worker::NowMs() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void Worker::After(int64_t ms, std::function<void()> task) {
  if (timers_stopped_) return;
  auto place = timed_.emplace(NowMs() + ms, std::move(task));
  if (place == timed_.begin()) ArmTimer();
}

void Worker::ArmTimer() {
  timer_.expires_at(
      std::chrono::steady_clock::time_point(std::chrono::milliseconds(timed_.begin()->first)));
  timer_.async_wait([this](const SystemError& error) {
    if (error) return;  // armed again, or stopping
    while (!timed_.empty() && timed_.begin()->first <= NowMs()) {
      auto task = std::move(timed_.begin()->second);
      timed_.erase(timed_.begin());
      task();
    }
    if (!timed_.empty()) ArmTimer();
  });
}

void Worker::StopTimers() {
  timers_stopped_ = true;
  timed_.clear();
  timer_.cancel();
}

}  // namespace zn::server
