// Control state: locks with fences, the presenter token, presence. One interface; the embedded implementation keeps it in
// this process, a later one in Redis.
//
// A lock is a courtesy among people, so the *store* has the last word: every grant has a fence, a string that sorts and
// only grows, also across restarts (it begins with the store's epoch). WriteGuard::Commit, called in the step that checks
// versions (CommitContext::also), looks at the locks once more and refuses a fence below the highest committed for its
// target, which it keeps as a control record.
//
// A room is named by its incarnation: a deleted and recreated room has no locks of the old one. Frames are named by id, so
// that a lock follows its frame. Members may be called from any thread. Listeners are called in order, one at a time, under
// the implementation's lock: they must be quick and must not call ControlState again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/problem.h"
#include "zn/engine/records.h"
#include "zn/engine/version.h"

namespace zn::server {

struct RoomKey {
  uint64_t incarnation = 0;
  std::string name;
};

/// What a lock guards: a frame, or what concerns the trajectory as a whole (append, insert, delete, restore, import, room
/// PATCH and DELETE).
struct LockTarget {
  FrameId frame = -1;  // -1: trajectory:meta
  static LockTarget Meta() { return {}; }
  static LockTarget Frame(FrameId id) { return {id}; }
  bool is_meta() const { return frame < 0; }
  /// "frame:id:42", "trajectory:meta": for messages, and the key of the fence's record.
  std::string ToString() const;
  friend auto operator<=>(const LockTarget&, const LockTarget&) = default;
};

/// Who takes something: `name` is shown to others. What has a connection is released when that is gone.
struct Owner {
  std::string name;
  std::string connection;  // "" over HTTP
};

struct LockInfo {
  LockTarget target;
  Owner holder;
  std::string message;        // JSON, or ""
  int64_t message_time_ns = 0;  // when it was taken, or its message changed
  int64_t expires_in_ms = 0;
  std::string fence;
  std::optional<uint32_t> version;  // of the frame, as the holder knows it
};

struct LockGrant {
  std::string token;  // 64 hex digits; shown to nobody else
  std::string fence;
  int64_t expires_in_ms = 0;
};

struct PresenterInfo {
  Owner holder;
  int64_t expires_in_ms = 0;
};
struct PresenterGrant {
  std::string token;
  int64_t expires_in_ms = 0;
};

struct PresenceCounts {
  int64_t viewers = 0, editors = 0;
  int64_t updated_at_ns = 0;
  friend bool operator==(const PresenceCounts&, const PresenceCounts&) = default;
};

/// Gets what changed, also by expiry. Every member may be empty.
struct ControlListener {
  /// `lock` is null when the target is free again; with its new holder, message or end otherwise.
  std::function<void(const RoomKey&, LockTarget, const LockInfo* lock)> on_lock;
  std::function<void(const RoomKey&, const PresenterInfo* presenter)> on_presenter;
  std::function<void(const RoomKey&, const PresenceCounts&)> on_presence;
};

inline constexpr int64_t kDefaultLockTtlMs = 60'000, kMaxLockTtlMs = 300'000;
inline constexpr int64_t kPresenterTtlMs = 5'000;
inline constexpr int64_t kConnectionGraceMs = 5'000;
inline constexpr int64_t kPresenceTtlMs = 15'000;
inline constexpr size_t kMaxLockMessage = 4096;  // bytes of JSON
inline constexpr size_t kMaxLocksPerRoom = 100'000;
inline constexpr size_t kMaxClientsPerRoom = 10'000;  // that are counted

/// What a write needs from the locks, from its check to its commit. Made by ControlState::Guard; one write, one guard.
///
///   ZN_ASSIGN_OR_RETURN(auto guard, control.Guard(room, {.frames = {&id, 1}}, token, force));   // 409 lock-lost, 423
///   base = If-Match, base_version or guard->base(id);                                          // none: 428
///   context.also = [&](RecordTransaction& t, const CommitInfo& made) { return guard->Commit(t, made); ... };
///   auto info = room->Edit(...);
///   if (!info) return guard->Explain(info.error());
///   if (release) guard->Release();
class WriteGuard {
 public:
  virtual ~WriteGuard() = default;
  /// Does the token given hold one of the targets?
  virtual bool holds() const = 0;
  /// The version that the caller's lock on this frame is based on: the granted one, or that of its own last write since.
  /// nullopt when the caller holds no lock on it.
  virtual std::optional<uint32_t> base(FrameId frame) const = 0;
  /// In CommitContext::also: the locks are still as they were checked, and no higher fence was committed. Keeps the fence.
  virtual Result<> Commit(RecordTransaction& records, const CommitInfo& draft) = 0;
  /// The problem of a commit that failed: lock-lost or locked when Commit refused it, otherwise the error's own.
  virtual Problem Explain(const Error& error) const = 0;
  /// After the commit, for `release=true`: gives back the locks whose token the write carried.
  virtual void Release() = 0;
};

/// What a write touches.
struct WriteTargets {
  std::span<const FrameId> frames = {};
  bool meta = false;        // it needs trajectory:meta free, or held by its token
  bool all_frames = false;  // restore, and deleting the room: no frame may be locked by others
};

class ControlState {
 public:
  virtual ~ControlState() = default;
  virtual void SetListener(ControlListener listener) = 0;

  struct AcquireOptions {
    std::optional<int64_t> ttl_ms;  // in [1, kMaxLockTtlMs]; 400 beyond
    std::string message;            // JSON
    bool force = false;             // takes it from its holder; the caller is known to be an admin
  };
  /// 423 with the holder when another has it. Who has it already by this connection gets it again, with a new token.
  virtual Answer<LockGrant> Acquire(const RoomKey& room, LockTarget target, const Owner& owner,
                                    const AcquireOptions& options) = 0;
  /// The version of the locked frame that its holder knows: read after the grant, when nobody else can write it any more.
  /// Nothing when the grant with this fence is over.
  virtual void SetBase(const RoomKey& room, LockTarget target, std::string_view fence, uint32_t version) = 0;
  /// 409 lock-lost when the token is not (or no longer) that of the target's lock. The message stays when not given.
  virtual Answer<LockGrant> Refresh(const RoomKey& room, LockTarget target, std::string_view token,
                                    std::optional<int64_t> ttl_ms, std::optional<std::string> message) = 0;
  /// `force`: whoever holds it. Releasing what is free is 409 lock-lost.
  virtual Answer<bool> Release(const RoomKey& room, LockTarget target, std::string_view token, bool force) = 0;
  virtual std::optional<LockInfo> Find(const RoomKey& room, LockTarget target) = 0;
  /// By target, meta first.
  virtual std::vector<LockInfo> List(const RoomKey& room) = 0;

  /// `token`: "" for none. 409 lock-lost when a token is given that holds none of the targets; 423 with Retry-After and the
  /// holder when another holds one of them. `force` passes by others' locks (an admin's).
  virtual Answer<std::unique_ptr<WriteGuard>> Guard(const RoomKey& room, const WriteTargets& targets,
                                                    std::string_view token, bool force) = 0;

  /// 423 while another has it; who has it already by this connection gets it again.
  virtual Answer<PresenterGrant> RequestPresenter(const RoomKey& room, const Owner& owner, bool force) = 0;
  virtual Answer<PresenterGrant> RenewPresenter(const RoomKey& room, std::string_view token) = 0;
  virtual Answer<bool> ReleasePresenter(const RoomKey& room, std::string_view token, bool force) = 0;
  virtual std::optional<PresenterInfo> Presenter(const RoomKey& room) = 0;
  /// Is the room presented by this connection, or by whoever has this token?
  virtual bool IsPresenter(const RoomKey& room, std::string_view connection, std::string_view token) = 0;

  enum class Activity { kViewing, kEditing };
  /// Counts a client as there for kPresenceTtlMs. With a connection it also goes kConnectionGraceMs after that is gone.
  virtual PresenceCounts Touch(const RoomKey& room, std::string_view client, Activity activity,
                               std::string_view connection) = 0;
  virtual void Leave(const RoomKey& room, std::string_view client) = 0;
  virtual PresenceCounts Presence(const RoomKey& room) = 0;

  /// A connection is gone: what it owns is released kConnectionGraceMs from now, unless it comes back.
  virtual void OnConnectionGone(std::string_view connection) = 0;
  /// It came back in time, perhaps under another name: everything of `before` is `now`'s.
  virtual void OnConnectionResumed(std::string_view before, std::string_view now) = 0;

  /// These frames were deleted: their locks end.
  virtual void EndFrames(const RoomKey& room, std::span<const FrameId> frames) = 0;
  /// The room was deleted: everything of it ends.
  virtual void EndRoom(const RoomKey& room) = 0;

  /// Ends what is over, and tells the listeners. Returns in how many ms to call again, at most `at_most_ms`.
  virtual int64_t Expire(int64_t at_most_ms) = 0;
};

/// Both clocks are passed in: `steady_ms` (monotonic) for TTLs, `wall_ns` (Unix) for what is shown.
struct ControlClock {
  std::function<int64_t()> steady_ms;
  std::function<int64_t()> wall_ns;
  static ControlClock System();
};
/// In this process. `epoch` is the store's: greater than at any earlier start.
std::unique_ptr<ControlState> MakeEmbeddedControl(uint64_t epoch, ControlClock clock);

/// The record that keeps the highest fence committed for a target.
std::string FenceKey(uint64_t incarnation, LockTarget target);

}  // namespace zn::server
