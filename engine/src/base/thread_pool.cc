#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <memory>

namespace zn {

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Submit(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void ThreadPool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds dies outside the lock
    lock.lock();
  }
}

void ThreadPool::ParallelFor(size_t count, const std::function<void(size_t)>& body) {
  if (count == 0) return;
  if (count == 1) return body(0);

  // Helpers that the pool starts only after everything is done find no index left and never touch
  // `body`, so the caller waits for indices, not for helpers: a nested call cannot wait for a
  // thread that is waiting for it.
  struct Shared {
    std::atomic<size_t> next = 0;
    std::mutex mutex;
    std::condition_variable finished;
    size_t done = 0;  // guarded by mutex
  };
  auto shared = std::make_shared<Shared>();
  const auto work = [shared, count, &body] {
    size_t mine = 0;
    for (size_t i; (i = shared->next.fetch_add(1, std::memory_order_relaxed)) < count; ++mine)
      body(i);
    if (mine == 0) return;
    std::lock_guard lock(shared->mutex);
    shared->done += mine;
    if (shared->done == count) shared->finished.notify_all();
  };

  const size_t helpers = std::min(count - 1, threads_.size());
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < helpers; ++i) tasks_.push_back(work);
  }
  if (helpers == 1)
    wake_.notify_one();
  else
    wake_.notify_all();
  work();
  std::unique_lock lock(shared->mutex);
  shared->finished.wait(lock, [&] { return shared->done == count; });
}

}  // namespace zn
