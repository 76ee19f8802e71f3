// Waits for commits on behalf of replies.
//
// The pool prepares and sequences writes; whether they are durable is known only after a sync. If each held a thread of the pool
// until then, a sync would carry as many commits as there are threads. So replies wait here: one thread takes all that
// are due, waits once, and lets them go; what the pool sequences meanwhile goes with the next sync.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "zn/engine/version.h"

namespace zn::server {

class Committer {
 public:
  Committer();
  /// Everything that was given is done when it returns.
  ~Committer();

  /// Calls `done` on this object's thread once `pending` is durable and visible, or with the reason why it never will be.
  void Wait(std::shared_ptr<PendingCommit> pending, std::function<void(Result<>)> done);

 private:
  void Run();

  using Item = std::pair<std::shared_ptr<PendingCommit>, std::function<void(Result<>)>>;
  std::mutex mutex_;
  std::condition_variable due_;
  std::vector<Item> items_;  // guarded by mutex_
  bool ending_ = false;      // guarded by mutex_
  std::thread thread_;
};

}  // namespace zn::server
