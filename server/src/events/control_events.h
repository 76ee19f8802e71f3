// From control state to events: lock:update, state:update, room:update (metadataLocked,
// presenterSid), presence.
//
// Control state tells of changes under its own lock, in which the store must not be asked anything;
// but a lock's event names the frame's position, which the store knows. So changes wait in a queue
// for a thread that asks and publishes, in their order. An event may thus come a moment after its
// change is seen, never before: nothing is missed.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "control/locks.h"
#include "control/state_records.h"
#include "zn/engine/snapshot.h"

namespace zn::server {

struct Service;

class ControlEvents {
 public:
  /// `service` must outlive it, with its store and hub.
  explicit ControlEvents(Service* service);
  /// Publishes what waits, then ends.
  ~ControlEvents();
  ControlEvents(const ControlEvents&) = delete;

  /// For ControlState::SetListener; good as long as this.
  ControlListener Listener();
  /// For StateRecords::SetListener.
  StateRecords::Listener StateListener();
  /// Returns once everything told before is published.
  void Flush();

 private:
  void Add(std::function<void()> task);
  void Run();
  /// The room's newest snapshot; nullopt when it is gone, even if another has its name.
  std::optional<Snapshot> HeadOf(const RoomKey& room) const;
  void PublishState(const RoomKey& room, const StateRecord& record);
  void PublishLock(const RoomKey& room, LockTarget target, const std::optional<LockInfo>& lock);

  Service* const service_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;  // guarded by mutex_, as are these:
  bool stopping_ = false, busy_ = false;
  std::thread thread_;
};

}  // namespace zn::server
