// A fixed set of threads for encoding, hashing and decoding.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace zn {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // 0: one a core
  ~ThreadPool();                     // finishes what was submitted
  void Submit(std::function<void()> task);
  /// Runs body(0..count-1) on the pool and the calling thread; returns when all are done. May be nested.
  void ParallelFor(size_t count, const std::function<void(size_t)>& body);
  size_t size() const { return threads_.size(); }

 private:
  void Run();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace zn
