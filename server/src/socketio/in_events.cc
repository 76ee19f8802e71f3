#include "socketio/in_events.h"

#include <cmath>

#include "http/query.h"
#include "zn/formats/fields.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr std::string_view kPresenter =
    "presenter";  // where the presenter's token is kept, beside locks' targets

struct InCall {
  Service& service;
  ApiHandler& handler;
  const Sender& sender;
  const json& arguments;  // an object

  /// The member `name`, null when it is absent.
  const json& Get(std::string_view name) const {
    static const json kNull;
    auto found = arguments.find(name);
    return found == arguments.end() ? kNull : *found;
  }
};

// The text member `name`; nullopt when it is absent or null.
Answer<std::optional<std::string>> Text(const InCall& call, std::string_view name) {
  const json& value = call.Get(name);
  if (value.is_null()) return std::optional<std::string>();
  if (!value.is_string()) return BadRequest(std::string(name) + ": a string is needed");
  return std::optional<std::string>(value.get<std::string>());
}

Answer<std::string> Needed(const InCall& call, std::string_view name) {
  ZN_ASSIGN_OR_RETURN(auto text, Text(call, name));
  if (!text || text->empty()) return BadRequest(std::string(name) + " is missing");
  return *text;
}

Answer<std::string> RoomId(const InCall& call) {
  ZN_ASSIGN_OR_RETURN(auto room, Text(call, "roomId"));
  if (room) return *room;
  if (!call.sender.only_room.empty()) return call.sender.only_room;
  return BadRequest("roomId: name the room (it may be left out only while one room is joined)");
}

// The token that the client names, or was given.
Answer<std::string> TokenFor(const InCall& call, std::string_view member, const std::string& room,
                             std::string_view target) {
  ZN_ASSIGN_OR_RETURN(auto token, Text(call, member));
  if (token) return *token;
  auto kept = call.sender.tokens.find({room, std::string(target)});
  return kept == call.sender.tokens.end() ? std::string() : kept->second;
}

// The answer to a request that an event stands for.
Answer<json> Ask(const InCall& call, std::string_view method, const std::string& path,
                 const json& body, const std::string& lock_token = "") {
  std::string head = std::string(method) + " " + path + " HTTP/1.1\r\nHost: localhost\r\n";
  if (!lock_token.empty()) {
    if (lock_token.find_first_not_of("0123456789abcdef") != std::string::npos)
      return BadRequest("lock_token: that is none");
    head += "Lock-Token: " + lock_token + "\r\n";
  }
  std::string text;
  if (!body.is_null()) {
    text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    head +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) + "\r\n";
  }
  auto request = OwnedRequest::Copy(head + "\r\n");
  request->body = std::move(text);
  const Reply reply = call.handler.HandleAs(*request, call.sender.identity);
  json answer = json::parse(Flatten(reply.body), nullptr, false);
  if (reply.status >= 300) {
    const bool said = answer.is_object() && answer.contains("type");
    std::string type = said ? answer["type"].get<std::string>() : "error";
    Problem problem(reply.status, type.substr(type.rfind(':') + 1),
                    said ? answer.value("detail", "") : "");
    if (said)
      for (const auto& [name, value] : answer.items())
        if (name != "type" && name != "title" && name != "status" && name != "detail" &&
            name != "instance")
          problem.extra.emplace_back(name, value.dump());
    return problem;
  }
  return answer.is_object() ? answer : json::object();
}

std::string PathOf(const std::string& room, std::initializer_list<std::string_view> rest) {
  std::string path = "/api/rooms/" + PercentEncode(room);
  for (std::string_view part : rest) path += "/" + PercentEncode(part);
  return path;
}

Answer<InReply> Join(const InCall& call, std::string topic) {
  ZN_ASSIGN_OR_RETURN(auto since, Text(call, "since"));
  InReply reply;
  reply.effect.kind = Effect::kJoin;
  reply.effect.topic = topic;
  if (since) {
    reply.effect.since = EventPosition::Parse(*since);
    if (!reply.effect.since)
      return BadRequest("since: '" + *since + "' is not a position (epoch:seq)");
  }
  reply.body = {{"status", "joined"}, {"room", std::move(topic)}};
  return reply;
}

Answer<InReply> Leave(const InCall& call, std::string topic) {
  InReply reply;
  reply.body = {{"status", "left"},
                {"room", topic},
                {"position", call.service.events->position(topic).ToString()}};
  reply.effect.kind = Effect::kLeave;
  reply.effect.topic = std::move(topic);
  return reply;
}

Answer<InReply> JoinOverview(const InCall& call) { return Join(call, std::string(kOverview)); }
Answer<InReply> LeaveOverview(const InCall& call) { return Leave(call, std::string(kOverview)); }

Answer<InReply> JoinRoom(const InCall& call) {
  ZN_ASSIGN_OR_RETURN(std::string room, RoomId(call));
  const Caller& caller = call.sender.identity.caller;
  if (!caller.May(Scope::kRead, room)) return call.service.NoSuchRoom(room, &caller);
  auto found = call.service.FindRoom(room, &caller);
  // Made by its first write or join.
  if (!found && found.error().status == 404 && room == "default" &&
      caller.May(Scope::kWrite, room) && !call.service.options.read_only) {
    auto made = call.service.store->CreateRoom(room, {}, {caller.name, ""});
    if (!made && made.error().code != ErrorCode::kAlreadyExists) return Problem(made.error());
  } else if (!found) {
    return found.error();
  }
  return Join(call, std::move(room));
}

Answer<InReply> LeaveRoom(const InCall& call) {
  ZN_ASSIGN_OR_RETURN(std::string room, RoomId(call));
  return Leave(call, std::move(room));
}

// {ttl_ms | ttl in seconds, msg} of lock events.
Answer<json> LockBody(const InCall& call) {
  json body = json::object();
  if (const json& ttl_ms = call.Get("ttl_ms"); !ttl_ms.is_null()) body["ttl_ms"] = ttl_ms;
  if (const json& ttl = call.Get("ttl"); !ttl.is_null()) {
    if (!ttl.is_number() || !(ttl.get<double>() >= 0) || ttl.get<double>() > 1e6)
      return BadRequest("ttl: a number of seconds is needed");
    if (!body.contains("ttl_ms")) body["ttl_ms"] = std::llround(ttl.get<double>() * 1000);
  }
  for (const char* name : {"msg", "metadata"})
    if (const json& message = call.Get(name); !message.is_null()) body["msg"] = message;
  return body;
}

Answer<std::string> ForceQuery(const InCall& call) {
  const json& force = call.Get("force");
  if (!force.is_null() && !force.is_boolean()) return BadRequest("force: true or false is needed");
  return std::string(force == true ? "?force=true" : "");
}

Answer<InReply> LockCall(const InCall& call, std::string_view method, bool with_token) {
  ZN_ASSIGN_OR_RETURN(std::string room, RoomId(call));
  ZN_ASSIGN_OR_RETURN(std::string target, Needed(call, "target"));
  ZN_ASSIGN_OR_RETURN(json body, LockBody(call));
  ZN_ASSIGN_OR_RETURN(const std::string force, ForceQuery(call));
  std::string token;
  if (with_token) {
    ZN_ASSIGN_OR_RETURN(token, TokenFor(call, "lock_token", room, target));
  }
  if (method == "DELETE") body = nullptr;
  InReply reply;
  ZN_ASSIGN_OR_RETURN(reply.body,
                      Ask(call, method, PathOf(room, {"locks", target}) + force, body, token));
  reply.effect.place = {room, target};
  if (method == "DELETE") {
    reply.effect.kind = Effect::kForgetToken;
  } else if (reply.body.contains("lock_token")) {
    reply.effect.kind = Effect::kKeepToken;
    reply.effect.token = reply.body["lock_token"].get<std::string>();
  }
  return reply;
}

Answer<InReply> AcquireLock(const InCall& call) { return LockCall(call, "PUT", false); }
Answer<InReply> RefreshLock(const InCall& call) { return LockCall(call, "POST", true); }
Answer<InReply> ReleaseLock(const InCall& call) { return LockCall(call, "DELETE", true); }

Answer<InReply> PresenterCall(const InCall& call, std::string_view method) {
  ZN_ASSIGN_OR_RETURN(std::string room, RoomId(call));
  json body = json::object();
  if (method != "PUT") {
    ZN_ASSIGN_OR_RETURN(body["presenter_token"],
                        TokenFor(call, "presenter_token", room, kPresenter));
  }
  InReply reply;
  ZN_ASSIGN_OR_RETURN(reply.body, Ask(call, method, PathOf(room, {"presenter"}), body));
  reply.effect.place = {room, std::string(kPresenter)};
  if (method == "DELETE") {
    reply.effect.kind = Effect::kForgetToken;
  } else if (reply.body.contains("presenter_token")) {
    reply.effect.kind = Effect::kKeepToken;
    reply.effect.token = reply.body["presenter_token"].get<std::string>();
  }
  return reply;
}

Answer<InReply> RequestPresenter(const InCall& call) { return PresenterCall(call, "PUT"); }
Answer<InReply> RenewPresenter(const InCall& call) { return PresenterCall(call, "POST"); }
Answer<InReply> ReleasePresenter(const InCall& call) { return PresenterCall(call, "DELETE"); }

// No request stands for it: it is passed on and not kept.
Answer<InReply> SetRoomFrame(const InCall& call) {
  ZN_ASSIGN_OR_RETURN(std::string name, RoomId(call));
  const json& frame = call.Get("frame");
  if (!frame.is_number_integer()) return BadRequest("frame: an index is needed");
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room,
                      call.service.FindRoom(name, &call.sender.identity.caller));
  ZN_ASSIGN_OR_RETURN(std::string token, TokenFor(call, "presenter_token", name, kPresenter));
  ZN_ASSIGN_OR_RETURN(Snapshot head, room->HeadOrError());
  const RoomKey key{head.incarnation(), name};
  if (!call.service.control->IsPresenter(key, call.sender.identity.connection, token))
    return Problem(403, "not-presenter",
                   "only the presenter moves others: request_presenter_token first");
  call.service.events->PublishVolatile(name, "frame_update",
                                       json{{"roomId", name}, {"frame", frame}}.dump());
  return InReply{};
}

Answer<InReply> UpdateState(const InCall& call) {
  ZN_ASSIGN_OR_RETURN(std::string room, RoomId(call));
  ZN_ASSIGN_OR_RETURN(std::string scope, Needed(call, "scope"));
  ZN_ASSIGN_OR_RETURN(std::string key, Needed(call, "key"));
  std::string target;
  if (const json& given = call.Get("target"); given.is_number_integer()) {
    target = given.dump();
  } else {
    ZN_ASSIGN_OR_RETURN(target, Needed(call, "target"));
  }
  json body = json::object();
  if (call.arguments.contains("value")) body["value"] = call.Get("value");
  if (!call.sender.actor_id.empty()) body["actor_id"] = call.sender.actor_id;
  for (const char* name : {"base_version", "actor_id", "origin"})
    if (const json& value = call.Get(name); !value.is_null()) body[name] = value;
  InReply reply;
  ZN_ASSIGN_OR_RETURN(reply.body,
                      Ask(call, "PUT", PathOf(room, {"state", scope, target, key}), body));
  return reply;
}

struct InEvent {
  std::string_view name;
  Answer<InReply> (*answer)(const InCall& call);
};

constexpr InEvent kInEvents[] = {
    {"join:overview", JoinOverview},
    {"leave:overview", LeaveOverview},
    {"join:room", JoinRoom},
    {"leave:room", LeaveRoom},
    {"lock:acquire", AcquireLock},
    {"lock:refresh", RefreshLock},
    {"lock:release", ReleaseLock},
    {"lock:msg", RefreshLock},
    {"request_presenter_token", RequestPresenter},
    {"renew_presenter_token", RenewPresenter},
    {"release_presenter_token", ReleasePresenter},
    {"set_room_frame", SetRoomFrame},
    {"state:update", UpdateState},
};

}  // namespace

Answer<InReply> AnswerInEvent(Service& service, ApiHandler& handler, const Sender& sender,
                              const std::string& name, const json& arguments) {
  static const json kNone = json::object();
  const json& object = arguments.is_null() ? kNone : arguments;
  const Identity& identity = sender.identity;
  if (auto refused = service.limits.Refuse(identity.token, identity.peer, service.clock.steady_ms()))
    return std::move(*refused);
  for (const InEvent& event : kInEvents) {
    if (event.name != name) continue;
    if (!object.is_object()) return BadRequest("the argument of " + name + " is an object");
    return event.answer({service, handler, sender, object});
  }
  std::vector<std::string> known;
  for (const InEvent& event : kInEvents) known.emplace_back(event.name);
  return NotFound("there is no event '" + name + "'")
      .With("candidates", formats::NearMisses(name, known));
}

}  // namespace zn::server
