// One store's collections. docs/architecture.md, "A collection".
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/rate_limit.h"
#include "collect/marker.h"
#include "room/room_impl.h"
#include "room/store_core.h"
#include "zn/engine/collect.h"

namespace zn::internal {

class Collector {
 public:
  Collector(StoreCore& core, int64_t pace_step) : core_(core), pace_step_(pace_step) {}

  /// One at a time: kBusy. The rooms are those of the store's table, for their folds under way.
  Result<CollectSummary> Run(const std::vector<std::shared_ptr<RoomImpl>>& rooms,
                             const CollectOptions& options,
                             const std::function<void(const CollectProgress&)>& progress);

  /// Removes what had to wait for readers, as far as they have let go.
  Result<> FinishWaiting();

  struct Totals {
    int64_t collections = 0, failed = 0, running = 0;
    int64_t freed_bytes = 0, copied_bytes = 0, waiting_bytes = 0, commits_pruned = 0;
    uint64_t sequence = 0;  // of the log, that the roots of the last one were taken at
  };
  Totals totals() const;

 private:
  class Round;

  /// Space that nobody needs who began to read at `sequence` of the log or later.
  struct Condemned {
    uint64_t sequence = 0;
    uint32_t file = 0;  // as in references
    int64_t bytes = 0;
    bool whole = true;                                // remove the file
    std::vector<std::pair<uint64_t, uint64_t>> dead;  // else: what of it to give back
  };

  /// Adds what was freed to the summary. REQUIRES: run_mutex_ held.
  Result<> Finish(CollectSummary& summary);
  void Count(const CollectSummary& summary, bool failed, uint64_t sequence);

  StoreCore& core_;
  const int64_t pace_step_;
  std::mutex run_mutex_;             // held by a collection
  std::deque<Condemned> condemned_;  // guarded by run_mutex_
  mutable std::mutex totals_mutex_;
  Totals totals_;  // guarded by totals_mutex_
};

}  // namespace zn::internal
