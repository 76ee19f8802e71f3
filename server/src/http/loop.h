// An I/O thread, as seen by what lives on it without knowing sockets: tasks and timers.
#pragma once

#include <cstdint>
#include <functional>

namespace zn::server {

class Loop {
 public:
  virtual ~Loop() = default;
  /// From any thread: runs `task` on the loop's thread, after what was posted before it.
  virtual void Post(std::function<void()> task) = 0;
  /// On the loop's thread: runs `task` there in `ms` milliseconds at the earliest. Cannot be taken
  /// back; a loop that stops drops what has not run.
  virtual void After(int64_t ms, std::function<void()> task) = 0;
  /// Steady, in milliseconds. From any thread.
  virtual int64_t NowMs() const = 0;
  /// From any thread: runs `task` on the pool, where it may wait.
  virtual void RunOnPool(std::function<void()> task) = 0;
};

}  // namespace zn::server
