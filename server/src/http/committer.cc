#include "http/committer.h"

namespace zn::server {

Committer::Committer() : thread_([this] { Run(); }) {}

Committer::~Committer() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  due_.notify_one();
  thread_.join();
}

void Committer::Wait(std::shared_ptr<PendingCommit> pending, std::function<void(Result<>)> done) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    wake = items_.empty();
    items_.emplace_back(std::move(pending), std::move(done));
  }
  if (wake) due_.notify_one();
}

void Committer::Run() {
  std::vector<Item> items;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      due_.wait(lock, [this] { return !items_.empty() || ending_; });
      if (items_.empty()) return;
      items.swap(items_);
    }
    // The first one of a group waits for its sync; the others find it done.
    for (auto& [pending, done] : items) done(pending->Wait());
    items.clear();
  }
}

}  // namespace zn::server
