// Frames removed, and histories walked: DELETE, undo, redo, restore.
#include <nlohmann/json.hpp>

#include "api/json_body.h"
#include "api/write_frames.h"
#include "api/write_request.h"

namespace zn::server {
namespace {

using nlohmann::json;

// The body of a request that needs none: {base_version?, frame_id?, commit?, base_commit?}, JSON.
Answer<json> ReadMembers(const Call& call, const std::vector<std::string>& known) {
  ZN_ASSIGN_OR_RETURN(json body, ParseObject(call.owned.body));
  for (const auto& [name, value] : body.items())
    if (std::find(known.begin(), known.end(), name) == known.end())
      return BadRequest("'" + name + "' is not known here");
  return body;
}

Answer<NamedBase> BaseOf(const json& body) {
  NamedBase base;
  for (const auto& [name, into] : {std::pair("base_version", &base.base_version), std::pair("frame_id", &base.frame_id)}) {
    const auto member = body.find(name);
    if (member == body.end() || member->is_null()) continue;
    if (!member->is_number_integer()) return BadRequest(std::string(name) + ": " + member->dump() + " is not an integer");
    *into = member->get<int64_t>();
  }
  return base;
}

KeptReply FramesRemoved(const CommitInfo& info) {
  KeptReply reply;
  reply.json = json{{"ids", info.ids}, {"frameCount", info.frames}, {"commit", info.commit.ToString()}}.dump();
  return reply;
}

KeptReply RoomRestored(const CommitInfo& info) {
  KeptReply reply;
  reply.json = json{{"ids", info.ids},
                    {"versions", info.versions},
                    {"frameCount", info.frames},
                    {"commit", info.commit.ToString()}}.dump();
  return reply;
}

Answer<Reply> Travel(const Call& call, bool forward) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"base_version", "frame_id"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const json body, ReadMembers(call, {"base_version", "frame_id"}));
  ZN_ASSIGN_OR_RETURN(const NamedBase named, BaseOf(body));
  ZN_ASSIGN_OR_RETURN(const Target target, FindTarget(write, call.frame));
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = {&target.id, 1}}));
  ZN_ASSIGN_OR_RETURN(const Base base, FindBase(write, target, named, false));
  write.ReplyWith(200, forward ? "redo" : "undo", FrameWritten(write, target));
  auto info = forward ? write.room->Redo(target.id, write.context, base.version)
                      : write.room->Undo(target.id, write.context, base.version);
  if (info) return Acknowledge(write, *info);
  if (info.error().code == ErrorCode::kOutOfRange)
    return Problem(409, forward ? "nothing-to-redo" : "nothing-to-undo", info.error().message);
  return FrameError(write, info.error(), target.id, base.if_match);
}

}  // namespace

Answer<Reply> DeleteFrame(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"base_version", "frame_id"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const Target target, FindTarget(write, call.frame));
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = {&target.id, 1}, .meta = true}));
  ZN_ASSIGN_OR_RETURN(const Base base, FindBase(write, target, {}));
  write.ReplyWith(200, "delete", FramesRemoved);
  auto info = write.room->Delete({&target.id, 1}, write.context, {}, {&base.version, 1});
  if (!info) return FrameError(write, info.error(), target.id, base.if_match);
  return Acknowledge(write, *info);
}

Answer<Reply> DeleteFrames(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"indices", "base_commit"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const auto indices, TakeParameter(write.parameters, "indices"));
  if (!indices) return BadRequest("indices: say which frames to delete (0:100, 3,5,8)");
  ZN_ASSIGN_OR_RETURN(const auto base_commit, CommitParameter(write.parameters, "base_commit"));
  ZN_ASSIGN_OR_RETURN(const std::vector<FrameId> ids, WriteSelection(write.head, *indices));
  bool has_meta = false;
  if (!base_commit) {
    ZN_RETURN_IF_ERROR(GuardWrite(write, {.meta = true}));
    has_meta = write.guard->holds();
  }
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.frames = ids, .meta = true}));
  write.ReplyWith(200, "delete", FramesRemoved);
  if (!base_commit && !has_meta)
    return Problem(428, "precondition-required",
                   "deleting by indices needs base_commit, or the lock trajectory:meta: indices mean other frames after others' inserts");
  if (base_commit && !(*base_commit == write.head.commit())) return StaleRoom(write);
  auto info = write.room->Delete(ids, write.context, base_commit);
  if (!info) {
    if (auto refused = RefusedByLock(write, info.error())) return std::move(*refused);
    if (info.error().code == ErrorCode::kConflict) return StaleRoom(write);
    return std::move(info).error();
  }
  return Acknowledge(write, *info);
}

Answer<Reply> UndoFrame(const Call& call) { return Travel(call, false); }
Answer<Reply> RedoFrame(const Call& call) { return Travel(call, true); }

Answer<Reply> RestoreRoom(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Write write, OpenWrite(call, {"base_commit"}));
  ZN_RETURN_IF_REPLAYED(write);
  ZN_ASSIGN_OR_RETURN(const json body, ReadMembers(call, {"commit", "base_commit"}));
  std::vector<Parameter> members = write.parameters;
  for (const auto& [name, value] : body.items()) {
    if (!value.is_string()) return BadRequest(name + ": " + value.dump() + " is not a commit");
    members.push_back({name, value.get<std::string>()});
  }
  ZN_ASSIGN_OR_RETURN(const auto commit, CommitParameter(members, "commit"));
  ZN_ASSIGN_OR_RETURN(const auto base_commit, CommitParameter(members, "base_commit"));
  if (!commit) return BadRequest("commit: say which commit becomes the newest");
  ZN_RETURN_IF_ERROR(GuardWrite(write, {.meta = true, .all_frames = true}));
  write.ReplyWith(200, "restore", RoomRestored);
  auto info = write.room->Restore(*commit, write.context, base_commit);
  if (!info) {
    if (auto refused = RefusedByLock(write, info.error())) return std::move(*refused);
    if (info.error().code == ErrorCode::kConflict) return StaleRoom(write);
    return std::move(info).error();
  }
  return Acknowledge(write, *info);
}

}  // namespace zn::server
