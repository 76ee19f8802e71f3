// The states of rooms that this process can still read: roots of a collection, besides what the log
// names.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "room/state.h"

namespace zn::internal {

using StatePtr = std::shared_ptr<const RoomState>;

/// Thread-safe.
class LiveStates {
 public:
  /// From now on the state counts for as long as anybody holds it.
  StatePtr Add(StatePtr state) {
    const std::lock_guard lock(mutex_);
    if (states_.size() >= sweep_at_) {
      std::erase_if(states_, [](const auto& weak) { return weak.expired(); });
      sweep_at_ = std::max(kLeastSweep, 2 * states_.size());
    }
    states_.push_back(state);
    return state;
  }

  /// A commit whose state is being loaded: it counts from before it is known to be kept until its
  /// state is added.
  class Pin {
   public:
    Pin(LiveStates& states, const RecordRef& commit) : states_(states) {
      const std::lock_guard lock(states_.mutex_);
      at_ = states_.pins_.insert(states_.pins_.end(), commit);
    }
    ~Pin() {
      const std::lock_guard lock(states_.mutex_);
      states_.pins_.erase(at_);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    LiveStates& states_;
    std::list<RecordRef>::iterator at_;
  };

  std::vector<StatePtr> states() const {
    const std::lock_guard lock(mutex_);
    std::vector<StatePtr> alive;
    for (const auto& weak : states_)
      if (auto state = weak.lock()) alive.push_back(std::move(state));
    return alive;
  }
  std::vector<RecordRef> pins() const {
    const std::lock_guard lock(mutex_);
    return {pins_.begin(), pins_.end()};
  }

 private:
  static constexpr size_t kLeastSweep = 1024;
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<const RoomState>> states_;  // guarded by mutex_
  size_t sweep_at_ = kLeastSweep;                       // guarded by mutex_
  std::list<RecordRef> pins_;                           // guarded by mutex_
};

}  // namespace zn::internal
