// What every write to a room has in common: its room, its body, what it is based on, and its reply.
//
// The order of checks is api's: the request itself (400, 404, 413, 415, 422), a replayed Idempotency-Key, locks (409
// lock-lost, 423), a missing base (428), a stale one (412, 409), then the write. The last step is the engine's alone:
// what is said here about versions is of a moment before.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/decode_frames.h"
#include "api/frames_query.h"
#include "api/router.h"
#include "control/locks.h"

namespace zn::server {

struct Write {
  const Call* call = nullptr;
  std::vector<Parameter> parameters;
  std::shared_ptr<Room> room;
  Snapshot head;  // as the write found it
  CommitContext context;
  bool cast = false;  // ?cast=true
  std::shared_ptr<WriteGuard> guard;    // of the locks on what it touches; null until GuardWrite
  bool release = false;                 // ?release=true: gives the lock back with the commit
  std::shared_ptr<IdempotencyKey> key;  // null: none was sent
  std::optional<KeptReply> replay;      // of the first time: to be sent instead of doing anything

  /// How to tell of what will be made; kept with it where the request has a key. `operation` is what the audit log calls
  /// it. REQUIRES: before the commit.
  void ReplyWith(int status, std::string_view operation, std::function<KeptReply(const CommitInfo&)> make);
  std::function<KeptReply(const CommitInfo&)> make_reply;
};

/// Returns the reply of the first time from the enclosing handler, if the request was done before.
#define ZN_RETURN_IF_REPLAYED(write) \
  if ((write).replay) return Replay(write)
Reply Replay(const Write& write);
Reply Replay(const Call& call, KeptReply kept);
/// The request's Idempotency-Key; null when it has none.
Answer<std::shared_ptr<IdempotencyKey>> TakeKey(const Call& call);
/// The same into `key`, and the reply of the first time if there was one. For writes that open no Write.
Answer<std::optional<Reply>> TakeReplay(const Call& call, std::shared_ptr<IdempotencyKey>& key);

/// Checks the query's names and Content-Digest, and finds the room. `makes_default` lets a write to the room `default`
/// make it.
Answer<Write> OpenWrite(const Call& call, std::vector<std::string> parameters, bool makes_default = false);

/// The body, sharing the request's bytes.
Buffer BodyOf(const Call& call);
/// 415 for a type that is none of ours.
Answer<BodyFormat> WriteFormat(const Call& call);
/// The body as MessagePack, whether it is that or JSON. 400 for what is neither.
struct NativeBody {
  Buffer bytes;
  ValueOptions options;
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};
Answer<NativeBody> ReadNativeBody(const Call& call, BodyFormat format);

/// An integer parameter; 400 when it is none.
Answer<std::optional<int64_t>> IntegerParameter(const std::vector<Parameter>& parameters, std::string_view name);
Answer<bool> BoolParameter(const std::vector<Parameter>& parameters, std::string_view name);
Answer<std::optional<CommitId>> CommitParameter(const std::vector<Parameter>& parameters, std::string_view name);

/// Checks the locks on what the write touches: 409 lock-lost, 423. Before bases are looked at.
Answer<bool> GuardWrite(Write& write, const WriteTargets& targets);
/// The problem when it was the locks that refused a commit, nullopt otherwise.
std::optional<Problem> RefusedByLock(const Write& write, const Error& error);

/// The frame that a write's path names. Negative indices are 400: they would mean another frame to another writer.
struct Target {
  int64_t position = 0;
  FrameId id = 0;
  bool by_id = false;
  uint32_t version = 0;  // in Write::head
};
Answer<Target> FindTarget(const Write& write, std::string_view frame);

/// What the client saw: a version, by which header or parameter.
struct Base {
  BaseVersion version;
  bool if_match = false;
};
/// From If-Match, base_version and frame_id (the body's, or the query's). 428 when nothing is named; 412 or 409 when another
/// frame is. A stale version is left to the engine, which tells a retry from a conflict.
struct NamedBase {
  std::optional<int64_t> base_version, frame_id;
};
Answer<Base> FindBase(const Write& write, const Target& target, NamedBase body, bool required = true);

/// 412 or 409 with `latest`, for an engine's conflict over a frame.
Problem StaleFrame(const Write& write, FrameId id, bool if_match);
/// 409 with the newest commit, for one over the room.
Problem StaleRoom(const Write& write);
/// The problem for an engine's error of a write to one frame.
Problem FrameError(const Write& write, const Error& error, FrameId id, bool if_match);

/// {frame, id, version, hash} as JSON.
Result<std::string> FrameJson(Service& service, const Snapshot& snapshot, FrameId id);

/// Frames of a write's own: neither negative nor twice. Ascending order is not needed.
Answer<std::vector<FrameId>> WriteSelection(const Snapshot& head, std::string_view indices);

/// The reply that ReplyWith said how to make; sent only once the commit is durable.
Reply Acknowledge(const Write& write, const CommitInfo& info);
/// For ReplyWith: {frame, id, version, ...} of a write to one frame.
std::function<KeptReply(const CommitInfo&)> FrameWritten(const Write& write, const Target& target);

}  // namespace zn::server
