#include "api/locks.h"

#include "api/body_json.h"
#include "api/frames_query.h"
#include "api/paging.h"
#include "control/audit.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr std::string_view kMeta = "trajectory:meta";
constexpr std::string_view kFrame = "frame:";

/// What every one of these routes needs.
struct Asked {
  RoomKey room;
  Snapshot head;
  std::vector<Parameter> parameters;
  json body;
  LockTarget target;
  std::string token;
  bool force = false;
};

Answer<Asked> Read(const Call& call, const std::vector<std::string>& body_members, bool has_target) {
  Asked asked;
  ZN_ASSIGN_OR_RETURN(asked.parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(asked.parameters, {"force", "lock_token", "token"}));
  ZN_ASSIGN_OR_RETURN(asked.body, BodyObject(call, body_members));
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(asked.head, room->HeadOrError());
  asked.room = {asked.head.incarnation(), call.room};
  if (has_target) {
    ZN_ASSIGN_OR_RETURN(asked.target, ParseLockTarget(asked.head, call.Argument("target")));
  }
  ZN_ASSIGN_OR_RETURN(asked.token, LockToken(call, asked.parameters));
  ZN_ASSIGN_OR_RETURN(auto in_body, TextMember(asked.body, "lock_token"));
  if (in_body) asked.token = std::move(*in_body);
  ZN_ASSIGN_OR_RETURN(asked.force, Force(call, asked.parameters));
  return asked;
}

Answer<std::string> Message(const json& body) {
  const auto at = body.find("msg");
  return at == body.end() || at->is_null() ? std::string() : Dump(*at);
}

Reply NoStore(json body) {
  Reply reply = Reply::Json(Dump(body));
  reply.headers = "Cache-Control: no-store\r\n";
  return reply;
}

json GrantJson(const LockGrant& grant, const Asked& asked, std::optional<uint32_t> version) {
  return {{"lock_token", grant.token},
          {"fence", grant.fence},
          {"expires_in_ms", grant.expires_in_ms},
          {"id", asked.target.is_meta() ? json(nullptr) : json(asked.target.frame)},
          {"version", version ? json(*version) : json(nullptr)}};
}

/// An admin took or ended what is another's: the one thing about locks that is kept.
Result<> AuditForce(const Call& call, const Asked& asked, std::string_view what) {
  return call.service.store->Update([&](RecordTransaction& records) {
    return records.AppendAudit(call.room, AuditText({.time_ns = call.service.clock.wall_ns(), .actor = call.caller.name,
                                                     .origin = call.connection.empty() ? "http" : "socket",
                                                     .room = call.room, .scope = "lock", .target = asked.target.ToString(),
                                                     .key = std::string(what), .old_value = "", .new_value = "",
                                                     .version = {}}));
  });
}

}  // namespace

Answer<LockTarget> ParseLockTarget(const Snapshot& snapshot, std::string_view text) {
  if (text == kMeta) return LockTarget::Meta();
  if (!text.starts_with(kFrame))
    return BadRequest("target: '" + std::string(text) + "' is neither frame:<index>, frame:id:<id> nor trajectory:meta");
  ZN_ASSIGN_OR_RETURN(const int64_t position, FramePosition(snapshot, text.substr(kFrame.size())));
  ZN_ASSIGN_OR_RETURN(const FrameId id, snapshot.IdAt(position));
  return LockTarget::Frame(id);
}

std::string LockTargetText(const Snapshot& snapshot, LockTarget target) {
  if (target.is_meta()) return std::string(kMeta);
  const auto position = snapshot.PositionOf(target.frame);
  return position ? std::string(kFrame) + std::to_string(*position) : target.ToString();
}

json LockJson(const Snapshot& snapshot, const LockInfo& lock) {
  json message = json::parse(lock.message, nullptr, false);
  return {{"target", LockTargetText(snapshot, lock.target)},
          {"id", lock.target.is_meta() ? json(nullptr) : json(lock.target.frame)},
          {"holder", lock.holder.name},
          {"msg", message.is_discarded() ? json(nullptr) : message},
          {"expires_in_ms", lock.expires_in_ms},
          {"fence", lock.fence}};
}

json MetadataLockJson(const Service& service, const RoomKey& room) {
  const auto lock = service.control->Find(room, LockTarget::Meta());
  if (!lock) return nullptr;
  json message = json::parse(lock->message, nullptr, false);
  return {{"msg", message.is_discarded() ? json(nullptr) : message},
          {"userName", lock->holder.name},
          {"timestamp", static_cast<double>(lock->message_time_ns) / 1e9}};
}

json PresenterJson(const Service& service, const RoomKey& room) {
  const auto presenter = service.control->Presenter(room);
  if (!presenter) return nullptr;
  return presenter->holder.connection.empty() ? presenter->holder.name : presenter->holder.connection;
}

Answer<Reply> ListLocks(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after", "token"}));
  ZN_ASSIGN_OR_RETURN(const Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(const std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(const Snapshot head, room->HeadOrError());
  std::optional<LockTarget> after;  // by its id, which stays when frames shift
  if (!page.after.empty()) {
    for (const LockInfo& lock : call.service.control->List({head.incarnation(), call.room}))
      if (lock.target.ToString() == page.after) after = lock.target;
    if (!after) {
      ZN_ASSIGN_OR_RETURN(after, ParseLockTarget(head, page.after));
    }
  }
  json list = json::array();
  std::string next, last;
  for (const LockInfo& lock : call.service.control->List({head.incarnation(), call.room})) {
    if (after && lock.target <= *after) continue;
    if (list.size() == page.limit) {
      next = NextLink(call.request(), parameters, last);
      break;
    }
    list.push_back(LockJson(head, lock));
    last = lock.target.ToString();
  }
  Reply reply = NoStore(std::move(list));
  reply.headers += next;
  return reply;
}

Answer<Reply> GetLock(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {}, true));
  const auto lock = call.service.control->Find(asked.room, asked.target);
  if (!lock) return NotFound(call.Argument("target") + " is not locked");
  return NoStore(LockJson(asked.head, *lock));
}

Answer<Reply> PutLock(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"ttl_ms", "msg"}, true));
  ControlState::AcquireOptions options;
  ZN_ASSIGN_OR_RETURN(options.ttl_ms, IntegerMember(asked.body, "ttl_ms"));
  ZN_ASSIGN_OR_RETURN(options.message, Message(asked.body));
  options.force = asked.force;
  ControlState& control = *call.service.control;
  ZN_ASSIGN_OR_RETURN(const LockGrant grant,
                      control.Acquire(asked.room, asked.target, {call.caller.name, call.connection}, options));
  // Read only now: from here on nobody else's write gets in.
  std::optional<uint32_t> version;
  if (!asked.target.is_meta()) {
    const auto room = call.FindRoom();
    const auto head = room ? (*room)->HeadOrError() : Result<Snapshot>(ErrorCode::kNotFound, "");
    const bool there = head && head->incarnation() == asked.room.incarnation && head->PositionOf(asked.target.frame);
    if (!there) {
      (void)control.Release(asked.room, asked.target, grant.token, false);
      return NotFound("the frame of " + call.Argument("target") + " was deleted just now");
    }
    ZN_ASSIGN_OR_RETURN(version, head->VersionOf(asked.target.frame));
    control.SetBase(asked.room, asked.target, grant.fence, *version);
  }
  if (asked.force) ZN_RETURN_IF_ERROR(AuditForce(call, asked, "take"));
  return NoStore(GrantJson(grant, asked, version));
}

Answer<Reply> RefreshLock(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"ttl_ms", "msg", "lock_token"}, true));
  ZN_ASSIGN_OR_RETURN(const auto ttl_ms, IntegerMember(asked.body, "ttl_ms"));
  std::optional<std::string> message;
  if (asked.body.contains("msg")) {
    ZN_ASSIGN_OR_RETURN(message, Message(asked.body));
  }
  ControlState& control = *call.service.control;
  ZN_ASSIGN_OR_RETURN(const LockGrant grant,
                      control.Refresh(asked.room, asked.target, asked.token, ttl_ms, std::move(message)));
  const auto lock = control.Find(asked.room, asked.target);
  return NoStore(GrantJson(grant, asked, lock ? lock->version : std::nullopt));
}

Answer<Reply> DeleteLock(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"lock_token"}, true));
  ZN_RETURN_IF_ERROR(call.service.control->Release(asked.room, asked.target, asked.token, asked.force));
  if (asked.force) ZN_RETURN_IF_ERROR(AuditForce(call, asked, "release"));
  Reply reply;
  reply.status = 204;
  return reply;
}

Answer<Reply> PutPresenter(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {}, false));
  ZN_ASSIGN_OR_RETURN(const PresenterGrant grant,
                      call.service.control->RequestPresenter(asked.room, {call.caller.name, call.connection}, asked.force));
  return NoStore({{"presenter_token", grant.token}, {"expires_in_ms", grant.expires_in_ms}});
}

namespace {

Answer<std::string> PresenterToken(const Asked& asked) {
  ZN_ASSIGN_OR_RETURN(auto token, TextMember(asked.body, "presenter_token"));
  return token ? std::move(*token) : asked.token;
}

}  // namespace

Answer<Reply> RenewPresenter(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"presenter_token"}, false));
  ZN_ASSIGN_OR_RETURN(const std::string token, PresenterToken(asked));
  ZN_ASSIGN_OR_RETURN(const PresenterGrant grant, call.service.control->RenewPresenter(asked.room, token));
  return NoStore({{"presenter_token", grant.token}, {"expires_in_ms", grant.expires_in_ms}});
}

Answer<Reply> DeletePresenter(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"presenter_token"}, false));
  ZN_ASSIGN_OR_RETURN(const std::string token, PresenterToken(asked));
  ZN_RETURN_IF_ERROR(call.service.control->ReleasePresenter(asked.room, token, asked.force));
  Reply reply;
  reply.status = 204;
  return reply;
}

Answer<Reply> PostPresence(const Call& call) {
  constexpr size_t kMaxClientId = 128;
  ZN_ASSIGN_OR_RETURN(const Asked asked, Read(call, {"client_id", "status"}, false));
  ZN_ASSIGN_OR_RETURN(const auto client, TextMember(asked.body, "client_id"));
  if (!client || client->empty() || client->size() > kMaxClientId)
    return BadRequest("client_id: a text of 1 to 128 bytes that names this client is needed");
  ZN_ASSIGN_OR_RETURN(const auto status, TextMember(asked.body, "status"));
  if (status && *status != "viewing" && *status != "editing")
    return BadRequest("status: '" + *status + "' is neither viewing nor editing");
  const PresenceCounts counts = call.service.control->Touch(
      asked.room, *client,
      status && *status == "editing" ? ControlState::Activity::kEditing : ControlState::Activity::kViewing,
      call.connection);
  return NoStore({{"viewers", counts.viewers},
                  {"editors", counts.editors},
                  {"updated_at", TimeText(counts.updated_at_ns)}});
}

}  // namespace zn::server
