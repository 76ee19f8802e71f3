#include "api/write_rooms.h"

#include <nlohmann/json.hpp>
#include <random>

#include "api/audit_changes.h"
#include "api/body_json.h"
#include "api/default_room.h"
#include "api/frames_query.h"
#include "api/json_body.h"
#include "api/paging.h"
#include "api/rooms.h"
#include "api/write_request.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxMetadata = 64 << 10;

// A JSON object with members of `known` only.
Answer<json> ReadObject(const Call& call, const std::vector<std::string>& known) {
  const std::string_view type = Trim(call.request().content_type.substr(0, call.request().content_type.find(';')));
  if (!type.empty() && !EqualsIgnoreCase(type, "application/json") && !EqualsIgnoreCase(type, "application/merge-patch+json"))
    return Problem(415, "unsupported-media-type", "this takes application/json, not " + std::string(type));
  ZN_ASSIGN_OR_RETURN(json body, ParseObject(call.owned.body));
  if (known.empty()) return body;
  std::vector<Parameter> names;
  for (const auto& [name, value] : body.items()) names.push_back({name, ""});
  ZN_RETURN_IF_ERROR(RefuseUnknown(names, known));
  return body;
}

// A member that is a string; null is as if it were absent.
Answer<std::optional<std::string>> StringMember(const json& body, const char* name) {
  const auto member = body.find(name);
  if (member == body.end() || member->is_null()) return std::optional<std::string>();
  if (!member->is_string()) return BadRequest(std::string(name) + ": " + Dump(*member) + " is not a text");
  return std::optional<std::string>(member->get<std::string>());
}

Answer<std::optional<bool>> BoolMember(const json& body, const char* name) {
  const auto member = body.find(name);
  if (member == body.end()) return std::optional<bool>();
  if (!member->is_boolean()) return BadRequest(std::string(name) + ": " + Dump(*member) + " is neither true nor false");
  return std::optional<bool>(member->get<bool>());
}

std::string MadeUpName() {
  static constexpr char kLetters[] = "abcdefghijkmnpqrstuvwxyz23456789";
  std::random_device random;
  std::string name = "room-";
  for (int i = 0; i < 10; ++i) name += kLetters[random() % 32];
  return name;
}

Problem Locked(const std::string& room) {
  return {403, "room-locked", "room '" + room + "' is locked: only an admin changes it, by unlocking it first"};
}

/// A change of the room that looks at trajectory:meta, and with `frames` at the lock of every frame.
struct Guarded {
  std::shared_ptr<WriteGuard> guard;
  CommitContext context;
  std::optional<Problem> Refused(const Error& error) const {
    Problem problem = guard->Explain(error);
    if (problem.status == 423 || problem.type == "lock-lost") return problem;
    return std::nullopt;
  }
};

Answer<Guarded> GuardRoom(const Call& call, const Room& room, bool frames) {
  Guarded guarded;
  ZN_ASSIGN_OR_RETURN(const std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"lock_token", "force", "token"}));
  ZN_ASSIGN_OR_RETURN(const std::string token, LockToken(call, parameters));
  ZN_ASSIGN_OR_RETURN(const bool force, Force(call, parameters));
  const RoomKey key{room.info().incarnation, call.room};
  ZN_ASSIGN_OR_RETURN(guarded.guard,
                      call.service.control->Guard(key, {.meta = true, .all_frames = frames}, token, force));
  guarded.context.actor = call.caller.name.substr(0, 255);
  guarded.context.also = [guard = guarded.guard](RecordTransaction& records, const CommitInfo& draft) {
    return guard->Commit(records, draft);
  };
  return guarded;
}

std::string Location(const std::string& room) { return "Location: /api/rooms/" + PercentEncode(room) + "\r\n"; }

Answer<Reply> RoomReply(const Call& call, const Room& room, int status) {
  RoomInfo info = room.info();
  ZN_ASSIGN_OR_RETURN(const Snapshot head, room.HeadOrError());
  info.frames = head.frames();
  info.commit = head.commit();
  Reply reply = Reply::Json(RoomModelText(call.service, info), status);
  reply.headers = PlaceHeaders(call.position, head);
  return reply;
}

}  // namespace

Answer<Reply> PostRoom(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const json body, ReadObject(call, {"id", "description", "base"}));
  ZN_ASSIGN_OR_RETURN(auto name, StringMember(body, "id"));
  ZN_ASSIGN_OR_RETURN(const auto description, StringMember(body, "description"));
  ZN_ASSIGN_OR_RETURN(const auto base, StringMember(body, "base"));
  if (!name) name = MadeUpName();
  ZN_RETURN_IF_ERROR(ValidateRoomName(*name));
  if (!call.caller.May(Scope::kWrite, *name))
    return Problem(403, "forbidden", "this needs the scope 'write' in room " + *name);
  std::shared_ptr<IdempotencyKey> key;
  ZN_ASSIGN_OR_RETURN(auto replay, TakeReplay(call, key));
  if (replay) return std::move(*replay);
  RoomInfo info;
  info.name = *name;
  info.model.description = description.value_or("");
  if (info.model.description.size() > 4096) return BadRequest("description: it is longer than 4096 bytes");
  std::string base_name;
  std::optional<CommitId> base_commit;
  if (base) {
    const size_t at = base->find('@');
    base_name = base->substr(0, at);
    ZN_ASSIGN_OR_RETURN(const auto base_room, call.service.FindRoom(base_name, &call.caller));
    if (at != base->npos) {
      auto parsed = CommitId::Parse(std::string_view(*base).substr(at + 1));
      if (!parsed) return BadRequest("base: " + parsed.error().message);
      base_commit = *parsed;
    } else {
      ZN_ASSIGN_OR_RETURN(const Snapshot head, base_room->HeadOrError());
      base_commit = head.commit();
    }
    info.base = base_name + "@" + base_commit->ToString();
    if (!description) info.model.description = base_room->info().model.description;
  }
  AuditSource source = SourceOf(call);
  source.room = *name;
  CommitContext context;
  context.actor = call.caller.name.substr(0, 255);
  context.also = [&, default_room = DefaultRoom(call.service)](RecordTransaction& records, const CommitInfo& draft) -> Result<> {
    ZN_RETURN_IF_ERROR(AuditRoom(records, source, "created", "", info.base.empty() ? "{}" : Dump({{"base", info.base}})));
    if (!key) return {};
    info.frames = draft.frames;
    info.commit = draft.commit;
    KeptReply kept{201, RoomModelText(call.service, info, default_room),
                   "Zn-Commit: " + draft.commit.ToString() + "\r\n" + Location(*name), ""};
    return key->Keep(records, kept, source.time_ns);
  };
  auto made = base ? call.service.store->ForkRoom(base_name, base_commit, *name, context, info.model)
                   : call.service.store->CreateRoom(*name, info.model, context);
  if (!made) return std::move(made).error();
  ZN_ASSIGN_OR_RETURN(Reply reply, RoomReply(call, **made, 201));
  reply.headers += Location(*name);
  return reply;
}

Answer<Reply> PatchRoom(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const json body, ReadObject(call, {"description", "locked", "hidden", "isDefault", "retention"}));
  ZN_ASSIGN_OR_RETURN(const auto description, StringMember(body, "description"));
  ZN_ASSIGN_OR_RETURN(const auto locked, BoolMember(body, "locked"));
  ZN_ASSIGN_OR_RETURN(const auto hidden, BoolMember(body, "hidden"));
  ZN_ASSIGN_OR_RETURN(const auto is_default, BoolMember(body, "isDefault"));
  const bool own_retention = body.contains("retention") && !body["retention"].is_null();
  std::optional<Retention> retention;
  if (own_retention) {
    ZN_ASSIGN_OR_RETURN(const auto text, StringMember(body, "retention"));
    auto parsed = ParseRetention(text.value_or(""));
    if (!parsed) return BadRequest("retention: " + parsed.error().message);
    retention = *parsed;
  }
  if (description && description->size() > 4096) return BadRequest("description: it is longer than 4096 bytes");
  if (is_default && !*is_default)
    return BadRequest("isDefault: make another room the default instead; there is always one");
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  std::shared_ptr<IdempotencyKey> key;
  ZN_ASSIGN_OR_RETURN(auto replay, TakeReplay(call, key));
  if (replay) return std::move(*replay);
  ZN_ASSIGN_OR_RETURN(const Guarded guarded, GuardRoom(call, *room, false));
  const bool admin = call.caller.IsAdmin(call.room);
  const AuditSource source = SourceOf(call);
  // The reply is kept with the last of what is changed: a retry of half of it does the rest.
  const auto keep = [&](RecordTransaction& records, const RoomInfo& info, const std::string& default_room) -> Result<> {
    if (!key) return {};
    return key->Keep(records,
                     {200, RoomModelText(call.service, info, default_room), "Zn-Commit: " + info.commit.ToString() + "\r\n", ""},
                     source.time_ns);
  };
  // What a room keeps decides what of it is destroyed.
  if (body.contains("retention") && !admin)
    return Problem(403, "forbidden", "retention: this needs the scope 'admin' in room " + call.room);
  if (description || locked || hidden || body.contains("retention")) {
    RoomModel before, after;
    CommitContext context = guarded.context;
    context.also = [&, info = room->info(), default_room = DefaultRoom(call.service)](
                       RecordTransaction& records, const CommitInfo& draft) mutable -> Result<> {
      ZN_RETURN_IF_ERROR(guarded.guard->Commit(records, draft));
      ZN_RETURN_IF_ERROR(AuditModel(records, source, before, after));
      if (is_default) return {};
      info.model = after;
      info.frames = draft.frames;
      info.commit = draft.commit;
      return keep(records, info, default_room);
    };
    auto changed = room->UpdateModel(
        [&](const RoomModel& old) -> Result<RoomModel> {
          RoomModel model = old;
          before = old;
          if (locked) model.locked = *locked;
          if (old.locked && !model.locked && !admin) return Error{ErrorCode::kReadOnly, "locked"};
          if (old.locked && model.locked && description) return Error{ErrorCode::kReadOnly, "locked"};
          if (description) model.description = *description;
          if (hidden) model.hidden = *hidden;
          if (body.contains("retention")) model.retention = retention;
          return after = model;
        },
        context);
    if (!changed) {
      if (auto refused = guarded.Refused(changed.error())) return std::move(*refused);
      if (changed.error().code == ErrorCode::kReadOnly) return Locked(call.room);
      return std::move(changed).error();
    }
  }
  if (is_default)
    ZN_RETURN_IF_ERROR(SetDefaultRoom(call.service, source, [&, info = room->info()](RecordTransaction& records) {
      return keep(records, info, call.room);
    }));
  return RoomReply(call, *room, 200);
}

Answer<Reply> DeleteRoom(const Call& call) {
  // First of all, since a retry finds no room any more.
  std::shared_ptr<IdempotencyKey> idempotency;
  ZN_ASSIGN_OR_RETURN(auto replay, TakeReplay(call, idempotency));
  if (replay) return std::move(*replay);
  ZN_RETURN_IF_ERROR(call.FindRoom());
  if (call.room == DefaultRoom(call.service))
    return Problem(409, "default-room", "room '" + call.room + "' is the default, which cannot be deleted: make another room the default first");
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(const Guarded guarded, GuardRoom(call, *room, true));
  CommitContext context = guarded.context;
  context.also = [&](RecordTransaction& records, const CommitInfo& draft) -> Result<> {
    ZN_RETURN_IF_ERROR(guarded.guard->Commit(records, draft));
    // In the server's log too: the room's own is not to be asked for any more.
    AuditSource source = SourceOf(call);
    ZN_RETURN_IF_ERROR(AuditRoom(records, source, "deleted", "{}", ""));
    AuditEntry entry{.time_ns = source.time_ns, .actor = source.actor, .origin = source.origin, .room = call.room,
                     .scope = "room", .target = call.room, .key = "deleted", .old_value = "{}"};
    ZN_RETURN_IF_ERROR(records.AppendAudit("", AuditText(entry)));
    if (!idempotency) return {};
    return idempotency->Keep(records, {204, "", "", ""}, source.time_ns);
  };
  if (auto deleted = call.service.store->DeleteRoom(call.room, context); !deleted) {
    if (auto refused = guarded.Refused(deleted.error())) return std::move(*refused);
    return std::move(deleted).error();
  }
  Reply reply;
  reply.status = 204;
  reply.headers = "Zn-Position: " + call.position.ToString() + "\r\n";
  return reply;
}

Answer<Reply> GetMetadata(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {}));
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  const RoomInfo info = room->info();
  ZN_ASSIGN_OR_RETURN(const Snapshot head, room->HeadOrError());
  Reply reply = Reply::Json(info.model.metadata.empty() ? "{}" : info.model.metadata);
  reply.etag = IncarnationText(info.incarnation) + "-" + RepresentationTag(Flatten(reply.body));
  reply.headers = PlaceHeaders(call.position, head);
  if (NotModified(call.request(), reply.etag)) return NotModifiedReply(call.request(), reply.etag, reply.headers);
  return reply;
}

Answer<Reply> PatchMetadata(const Call& call) {
  if (call.owned.body.size() > 2 * kMaxMetadata) return Problem(413, "too-large", "metadata have at most 64 KiB");
  ZN_ASSIGN_OR_RETURN(const json patch, ReadObject(call, {}));
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  std::shared_ptr<IdempotencyKey> key;
  ZN_ASSIGN_OR_RETURN(auto replay, TakeReplay(call, key));
  if (replay) return std::move(*replay);
  ZN_ASSIGN_OR_RETURN(const Guarded guarded, GuardRoom(call, *room, false));
  RoomModel before, after;
  CommitContext context = guarded.context;
  context.also = [&, source = SourceOf(call)](RecordTransaction& records, const CommitInfo& draft) -> Result<> {
    ZN_RETURN_IF_ERROR(guarded.guard->Commit(records, draft));
    ZN_RETURN_IF_ERROR(AuditModel(records, source, before, after));
    if (!key) return {};
    return key->Keep(records, {200, after.metadata, "Zn-Commit: " + draft.commit.ToString() + "\r\n", ""}, source.time_ns);
  };
  auto changed = room->UpdateModel(
      [&](const RoomModel& old) -> Result<RoomModel> {
        before = old;
        if (old.locked) return Error{ErrorCode::kReadOnly, "locked"};
        RoomModel model = old;
        json metadata = json::parse(old.metadata.empty() ? "{}" : old.metadata, nullptr, false);
        if (!metadata.is_object()) metadata = json::object();
        metadata.merge_patch(patch);  // RFC 7396
        model.metadata = Dump(metadata);
        return after = model;
      },
      context);
  if (!changed) {
    if (auto refused = guarded.Refused(changed.error())) return std::move(*refused);
    if (changed.error().code == ErrorCode::kReadOnly) return Locked(call.room);
    if (changed.error().code == ErrorCode::kTooLarge) return Problem(413, "too-large", changed.error().message);
    return std::move(changed).error();
  }
  ZN_ASSIGN_OR_RETURN(const Snapshot head, room->HeadOrError());
  Reply reply = Reply::Json(changed->metadata);
  reply.headers = PlaceHeaders(call.position, head);
  return reply;
}

}  // namespace zn::server
