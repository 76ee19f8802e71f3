// Batches made by several threads at once and handed out in order, a fixed number of them ahead of
// whoever takes them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "zn/engine/error.h"

namespace zn::formats {

template <class T>
class ReadAhead {
 public:
  /// `make(i)` for i in [0, count) is called once each, from `threads` threads, at most `window` of
  /// them not taken yet.
  ReadAhead(size_t count, size_t threads, size_t window, std::function<Result<T>(size_t)> make)
      : count_(count), window_(std::max<size_t>(window, 1)), make_(std::move(make)) {
    threads_.reserve(threads);
    for (size_t i = 0; i < std::min(std::max<size_t>(threads, 1), count); ++i)
      threads_.emplace_back([this] { Run(); });
  }
  ~ReadAhead() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// The next in order. REQUIRES: called at most `count` times.
  Result<T> Take() {
    std::unique_lock lock(mutex_);
    made_changed_.wait(lock, [&] { return made_.contains(taken_); });
    auto node = made_.extract(taken_++);
    lock.unlock();
    wake_.notify_all();
    return std::move(node.mapped());
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || next_ >= count_ || next_ < taken_ + window_; });
      if (stopping_ || next_ >= count_) return;
      size_t index = next_++;
      lock.unlock();
      Result<T> result = make_(index);
      lock.lock();
      made_.emplace(index, std::move(result));
      made_changed_.notify_all();
    }
  }

  const size_t count_, window_;
  const std::function<Result<T>(size_t)> make_;
  std::mutex mutex_;
  std::condition_variable wake_, made_changed_;
  size_t next_ = 0, taken_ = 0;       // guarded by mutex_
  bool stopping_ = false;             // guarded by mutex_
  std::map<size_t, Result<T>> made_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace zn::formats
