// Locks in the audit log: who took and lost which, written a moment later.
//
// A lock is granted in memory, a hundred times faster than a disk takes a line; so lines are
// collected and written together, and a crash may lose those of the last moments. Of a burst only
// the first lines are kept, and how many more there were (docs/decisions/0050).
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "control/locks.h"
#include "zn/engine/store.h"

namespace zn::server {

/// Thread-safe.
class LockAudit {
 public:
  static constexpr size_t kMaxLines = 200;  // between two flushes
  static constexpr int64_t kFlushEveryMs = 100;

  /// As ControlListener::on_lock.
  void Note(const RoomKey& room, LockTarget target, const LockInfo* lock, int64_t now_ns);
  /// Writes what waits; at most every kFlushEveryMs unless `now`.
  Result<> Flush(Store& store, int64_t now_ms, bool now = false);

 private:
  struct Held {
    std::string fence, holder, origin;
  };
  std::mutex mutex_;
  // Guarded by mutex_:
  std::map<std::tuple<uint64_t, std::string, LockTarget>, Held> held_;
  std::vector<std::pair<std::string, std::string>> lines_;  // room, line
  std::map<std::string, uint64_t> omitted_;                 // by room
  int64_t last_ns_ = 0, flushed_ms_ = 0;
};

}  // namespace zn::server
