// ControlState in this process: one mutex over everything, since all of it is short. See locks.h.
//
// Locks in this order: the store's, then mutex_; never the other way round, since WriteGuard::Commit runs inside a commit.
#pragma once

#include <map>
#include <mutex>
#include <queue>
#include <set>
#include <unordered_map>

#include "control/locks.h"

namespace zn::server {

class EmbeddedControl final : public ControlState {
 public:
  EmbeddedControl(uint64_t epoch, ControlClock clock) : epoch_(epoch), clock_(std::move(clock)) {}

  void SetListener(ControlListener listener) override;
  Answer<LockGrant> Acquire(const RoomKey& room, LockTarget target, const Owner& owner,
                            const AcquireOptions& options) override;
  void SetBase(const RoomKey& room, LockTarget target, std::string_view fence, uint32_t version) override;
  Answer<LockGrant> Refresh(const RoomKey& room, LockTarget target, std::string_view token,
                            std::optional<int64_t> ttl_ms, std::optional<std::string> message) override;
  Answer<bool> Release(const RoomKey& room, LockTarget target, std::string_view token, bool force) override;
  std::optional<LockInfo> Find(const RoomKey& room, LockTarget target) override;
  std::vector<LockInfo> List(const RoomKey& room) override;
  Answer<std::unique_ptr<WriteGuard>> Guard(const RoomKey& room, const WriteTargets& targets, std::string_view token,
                                            bool force) override;
  Answer<PresenterGrant> RequestPresenter(const RoomKey& room, const Owner& owner, bool force) override;
  Answer<PresenterGrant> RenewPresenter(const RoomKey& room, std::string_view token) override;
  Answer<bool> ReleasePresenter(const RoomKey& room, std::string_view token, bool force) override;
  std::optional<PresenterInfo> Presenter(const RoomKey& room) override;
  bool IsPresenter(const RoomKey& room, std::string_view connection, std::string_view token) override;
  PresenceCounts Touch(const RoomKey& room, std::string_view client, Activity activity,
                       std::string_view connection) override;
  void Leave(const RoomKey& room, std::string_view client) override;
  PresenceCounts Presence(const RoomKey& room) override;
  void OnConnectionGone(std::string_view connection) override;
  void OnConnectionResumed(std::string_view before, std::string_view now) override;
  void EndFrames(const RoomKey& room, std::span<const FrameId> frames) override;
  void EndRoom(const RoomKey& room) override;
  int64_t Expire(int64_t at_most_ms) override;

  /// What a write's guard keeps of a target that its token holds.
  struct Held {
    LockTarget target;
    std::string fence;
    std::optional<uint32_t> version;
  };
  /// What a write touches, kept: `frames` ascending.
  struct Touched {
    std::vector<FrameId> frames;
    bool meta = false, all_frames = false;
  };
  /// The check of Guard, and once more that of its Commit.
  Answer<std::vector<Held>> Check(const RoomKey& room, const Touched& touched, const std::string& token, bool force);

 private:
  struct Lock {
    Owner holder;
    std::string token, fence, message;
    int64_t message_time_ns = 0;
    int64_t ends_ms = 0;  // on the steady clock
    std::optional<uint32_t> version;
  };
  struct PresenterToken {
    Owner holder;
    std::string token;
    int64_t ends_ms = 0;
  };
  struct Client {
    Activity activity;
    std::string connection;
    int64_t ends_ms = 0;
  };
  struct RoomState {
    RoomKey key;
    std::map<LockTarget, Lock> locks;
    std::optional<PresenterToken> presenter;
    std::unordered_map<std::string, Client> clients;
    PresenceCounts counts;
    int64_t looked_at_ms = INT64_MAX;  // when it is looked at next, by due_
    bool idle() const { return locks.empty() && !presenter && clients.empty(); }
  };

  // REQUIRES: mutex_ held, for all of these.
  RoomState& StateOf(const RoomKey& room);
  RoomState* FindState(const RoomKey& room);
  /// The lock if it is not over; one that is ends here.
  Lock* Live(RoomState& room, LockTarget target);
  void EndLock(RoomState& room, std::map<LockTarget, Lock>::iterator lock);
  PresenterToken* LivePresenter(RoomState& room);
  void EndPresenter(RoomState& room);
  void TellLock(const RoomState& room, LockTarget target, const Lock& lock);
  void TellPresenter(const RoomState& room);
  void Recount(RoomState& room);
  void LookAt(RoomState& room, int64_t at_ms);
  void Remember(const RoomState& room, const std::string& connection);
  /// Ends what is over in a room, and asks to be called when the next thing is.
  void ExpireRoom(RoomState& room, int64_t now);
  void ReleaseConnection(const std::string& connection);
  LockInfo InfoOf(LockTarget target, const Lock& lock) const;
  Problem LockedBy(LockTarget target, const Lock& lock) const;
  std::string NextFence();

  const uint64_t epoch_;
  const ControlClock clock_;

  std::mutex mutex_;
  ControlListener listener_;
  uint64_t fences_ = 0;
  std::unordered_map<uint64_t, RoomState> rooms_;  // by incarnation; only those with something in them
  using Due = std::pair<int64_t, uint64_t>;        // when, incarnation
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::unordered_map<std::string, std::set<uint64_t>> connections_;  // where each owns something
  std::multimap<int64_t, std::string> gone_;                         // by when their grace is over
};

}  // namespace zn::server
