// Imports that run behind requests: one at a time, others wait. Their states are durable: after a restart it can be seen
// which ones were done and which were interrupted.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/import_child.h"
#include "http/temp_file.h"
#include "zn/engine/store.h"

namespace zn::server {

struct Job {
  enum class State { kQueued, kRunning, kDone, kFailed, kCancelled };
  std::string id;
  std::string room;
  State state = State::kQueued;
  double percent = 0;
  std::string message;
  std::string error;   // of a failed one
  std::string commit;  // of one that is done
  int position = 0;    // of a queued one: how many are before it
  bool over() const { return state != State::kQueued && state != State::kRunning; }
};
std::string JobJson(const Job& job);

/// What an import makes of a file.
struct ImportRequest {
  std::string room, base;
  ImportChildOptions child;
  LayoutOptions layout;
  CommitContext context;
  std::shared_ptr<TempFile> file;
};

/// Members may be called from any thread.
class Jobs {
 public:
  /// Told of every change of a job: `progress` is true when only percent and message are new. On the jobs' thread.
  using Listener = std::function<void(const Job& job, bool progress)>;
  Jobs(Store* store, Listener listener);
  /// Ends the import that runs, as failed; the queued ones with it.
  ~Jobs();

  /// kBusy when too many wait.
  Result<Job> Start(ImportRequest request);
  std::optional<Job> Find(const std::string& id) const;
  /// Newest first.
  std::vector<Job> List() const;
  /// False when there is none, or it is over already.
  bool Cancel(const std::string& id);

 private:
  static constexpr size_t kMaxQueued = 100;
  static constexpr size_t kMaxKept = 1000;

  void Run();
  void RunOne(const std::string& id, ImportRequest request);
  Result<CommitInfo> Import(const std::string& id, const ImportRequest& request);
  void Change(const std::string& id, bool progress, const std::function<void(Job&)>& change);
  void Save(const Job& job);

  Store* const store_;
  const Listener listener_;
  mutable std::mutex mutex_;
  std::condition_variable due_;
  // Guarded by mutex_:
  std::map<std::string, Job> jobs_;  // ids ascend in time
  std::deque<std::pair<std::string, ImportRequest>> queue_;
  std::string running_;
  std::shared_ptr<ImportChild> child_;  // of the one that runs
  bool cancelled_ = false;              // the one that runs
  bool ending_ = false;
  uint64_t next_ = 1;
  std::thread thread_;
};

}  // namespace zn::server
