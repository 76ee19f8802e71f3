#include "api/state.h"

#include <charconv>

#include "api/audit_changes.h"
#include "api/body_json.h"
#include "api/frames_query.h"
#include "api/paging.h"

namespace zn::server {
namespace {

using nlohmann::json;

struct Place {
  std::shared_ptr<Room> room;
  Snapshot head;
  RoomKey key;
};

Answer<Place> FindPlace(const Call& call) {
  Place place;
  ZN_ASSIGN_OR_RETURN(place.room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(place.head, place.room->HeadOrError());
  place.key = {place.head.incarnation(), call.room};
  return place;
}

/// As FindPlace, for changes: 403 while the room is locked.
Answer<Place> FindWritable(const Call& call) {
  ZN_ASSIGN_OR_RETURN(Place place, FindPlace(call));
  if (place.room->info().model.locked && !call.caller.IsAdmin(call.room))
    return Problem(403, "room-locked", "room " + call.room + " is locked: an admin can unlock it");
  return place;
}

/// What is kept for a target that a client named: of scope "frame" the id.
Answer<std::string> KeptTarget(const Snapshot& head, std::string_view scope, std::string target) {
  if (scope != kFrameScope) return target;
  ZN_ASSIGN_OR_RETURN(const int64_t position, FramePosition(head, target));
  ZN_ASSIGN_OR_RETURN(const FrameId id, head.IdAt(position));
  return std::to_string(id);
}

std::optional<FrameId> FrameOf(const StateName& name) {
  if (name.scope != kFrameScope) return std::nullopt;
  FrameId id = 0;
  const auto parsed = std::from_chars(name.target.data(), name.target.data() + name.target.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != name.target.data() + name.target.size()) return std::nullopt;
  return id;
}

Answer<std::optional<uint64_t>> ParseVersion(std::string_view name, std::string_view text) {
  uint64_t version = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), version);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
    return BadRequest(std::string(name) + ": '" + std::string(text) + "' is not a version");
  return std::optional<uint64_t>(version);
}

/// From If-Match ("3" or 3), If-None-Match (*), and base_version of query or body.
Answer<bool> TakeBase(const Call& call, const std::vector<Parameter>& parameters, const json& body, StateChange& change) {
  if (const std::string_view* match = call.request().Find("if-match")) {
    std::string_view text = Trim(*match);
    change.from_etag = text.size() >= 2 && text.front() == '"' && text.back() == '"';
    if (change.from_etag) text = text.substr(1, text.size() - 2);
    ZN_ASSIGN_OR_RETURN(change.base, ParseVersion("If-Match", text));
    return true;
  }
  if (const std::string_view* none = call.request().Find("if-none-match")) {
    if (Trim(*none) != "*") return BadRequest("If-None-Match: only * makes sense for a change");
    change.base = 0;
    change.from_etag = true;
    return true;
  }
  ZN_ASSIGN_OR_RETURN(const auto in_query, TakeParameter(parameters, "base_version"));
  if (in_query) {
    ZN_ASSIGN_OR_RETURN(change.base, ParseVersion("base_version", *in_query));
    return true;
  }
  ZN_ASSIGN_OR_RETURN(const auto in_body, IntegerMember(body, "base_version"));
  if (in_body && *in_body < 0) return BadRequest("base_version: a version is not negative");
  if (in_body) change.base = static_cast<uint64_t>(*in_body);
  return true;
}

Answer<StateRecords::Author> AuthorOf(const Call& call, const json& body) {
  constexpr size_t kMaxLabel = 255;
  StateRecords::Author author{call.caller.name, call.connection.empty() ? "http" : "socket"};
  ZN_ASSIGN_OR_RETURN(const auto actor, TextMember(body, "actor_id"));
  ZN_ASSIGN_OR_RETURN(const auto origin, TextMember(body, "origin"));
  if ((actor && actor->size() > kMaxLabel) || (origin && origin->size() > kMaxLabel))
    return BadRequest("actor_id and origin have at most 255 bytes");
  // Who has a token is named by it; others may give themselves a label.
  if (actor && call.caller.anonymous && !actor->empty()) author.actor = *actor;
  if (origin && !origin->empty()) author.origin = *origin;
  return author;
}

Answer<std::string> ValueOf(const json& body) {
  const auto at = body.find("value");
  if (at == body.end()) return BadRequest("value: the value of the record is missing");
  return Dump(*at);
}

Reply RecordReply(const Call& call, const Snapshot& head, const StateRecord& record, int status) {
  Reply reply = Reply::Json(Dump(StateJson(head, record)), status);
  reply.headers = PlaceHeaders(call.position, head) + "Zn-State-Version: " + std::to_string(record.version) + "\r\n";
  return reply;
}

Answer<Reply> Change(const Call& call, bool erase) {
  ZN_ASSIGN_OR_RETURN(const auto parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"base_version", "token"}));
  ZN_ASSIGN_OR_RETURN(const json body, BodyObject(call, {"value", "base_version", "actor_id", "origin"}));
  ZN_ASSIGN_OR_RETURN(const Place place, FindWritable(call));
  StateChange change;
  change.erase = erase;
  change.name = {call.Argument("scope"), call.Argument("target"), call.Argument("key")};
  ZN_ASSIGN_OR_RETURN(change.name.target, KeptTarget(place.head, change.name.scope, change.name.target));
  if (!erase) {
    ZN_ASSIGN_OR_RETURN(change.value, ValueOf(body));
  }
  ZN_RETURN_IF_ERROR(TakeBase(call, parameters, body, change));
  ZN_ASSIGN_OR_RETURN(const auto author, AuthorOf(call, body));
  ZN_ASSIGN_OR_RETURN(const auto records, call.service.state->Apply(place.key, {&change, 1}, author));
  return RecordReply(call, place.head, records.front(), !erase && records.front().version == 1 ? 201 : 200);
}

}  // namespace

json StateJson(const Snapshot& snapshot, const StateRecord& record) {
  json out = {{"scope", record.name.scope},
              {"target", record.name.target},
              {"key", record.name.key},
              {"version", record.version},
              {"actor_id", record.actor},
              {"origin", record.origin},
              {"timestamp", TimeText(record.timestamp_ns)}};
  if (record.deleted) {
    out["deleted"] = true;
  } else {
    out["value"] = json::parse(record.value, nullptr, false);
  }
  if (const auto id = FrameOf(record.name)) {
    const auto position = snapshot.PositionOf(*id);
    out["id"] = *id;
    out["target"] = position ? json(std::to_string(*position)) : json(nullptr);
  }
  return out;
}

Answer<Reply> ListState(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const auto parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"scope", "target", "limit", "after", "token"}));
  ZN_ASSIGN_OR_RETURN(const Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(const auto scope, TakeParameter(parameters, "scope"));
  ZN_ASSIGN_OR_RETURN(const auto target, TakeParameter(parameters, "target"));
  if (target && !scope) return BadRequest("target: say of which scope it is a target");
  ZN_ASSIGN_OR_RETURN(const Place place, FindPlace(call));
  std::string kept = target.value_or("");
  if (target) {
    ZN_ASSIGN_OR_RETURN(kept, KeptTarget(place.head, *scope, kept));
  }
  json list = json::array();
  std::string after = page.after, last;
  bool more = false;
  // Records of frames that are not there now are left out; they come back with their frame.
  while (!more) {
    ZN_ASSIGN_OR_RETURN(const auto records, call.service.state->List(place.key.incarnation, scope.value_or(""), kept,
                                                                     page.limit + 1, after));
    for (const StateRecord& record : records) {
      after = StateRecords::Place(record.name);
      const auto frame = FrameOf(record.name);
      if (frame && !place.head.PositionOf(*frame)) continue;
      if (list.size() == page.limit) {
        more = true;
        break;
      }
      list.push_back(StateJson(place.head, record));
      last = after;
    }
    if (records.size() <= page.limit) break;
  }
  Reply reply = Reply::Json(Dump(list));
  reply.headers = PlaceHeaders(call.position, place.head);
  if (more) reply.headers += NextLink(call.request(), parameters, last);
  return reply;
}

Answer<Reply> GetState(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const auto parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"token"}));
  ZN_ASSIGN_OR_RETURN(const Place place, FindPlace(call));
  StateName name{call.Argument("scope"), call.Argument("target"), call.Argument("key")};
  ZN_ASSIGN_OR_RETURN(name.target, KeptTarget(place.head, name.scope, name.target));
  ZN_ASSIGN_OR_RETURN(const auto record, call.service.state->Get(place.key.incarnation, name));
  if (!record) return NotFound("there is no record " + name.scope + "/" + call.Argument("target") + "/" + name.key);
  return RecordReply(call, place.head, *record, 200);
}

Answer<Reply> PutState(const Call& call) { return Change(call, false); }
Answer<Reply> DeleteState(const Call& call) { return Change(call, true); }

Answer<Reply> PostState(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const auto parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"token"}));
  const json body = json::parse(call.owned.body, nullptr, false);
  if (!body.is_array()) return BadRequest("the body is not a JSON array of {op, scope, target, key, value, base_version}");
  if (body.size() > kMaxStateBatch) return BadRequest("at most 1,000 records are changed at once");
  ZN_ASSIGN_OR_RETURN(const Place place, FindWritable(call));
  std::vector<StateChange> changes;
  for (const json& item : body) {
    const std::string where = "[" + std::to_string(changes.size()) + "]: ";
    if (!item.is_object()) return BadRequest(where + "not an object");
    StateChange change;
    ZN_ASSIGN_OR_RETURN(const auto op, TextMember(item, "op"));
    if (op && *op != "put" && *op != "delete") return BadRequest(where + "op '" + *op + "' is neither put nor delete");
    change.erase = op && *op == "delete";
    for (const auto& [part, name] : {std::pair{&change.name.scope, "scope"}, {&change.name.key, "key"}}) {
      ZN_ASSIGN_OR_RETURN(const auto text, TextMember(item, name));
      if (!text) return BadRequest(where + name + " is missing");
      *part = *text;
    }
    const auto target = item.find("target");
    if (target == item.end() || !(target->is_string() || target->is_number_integer()))
      return BadRequest(where + "target is missing");
    ZN_ASSIGN_OR_RETURN(change.name.target, KeptTarget(place.head, change.name.scope,
                                                       target->is_string() ? target->get<std::string>() : target->dump()));
    if (!change.erase) {
      ZN_ASSIGN_OR_RETURN(change.value, ValueOf(item));
    }
    ZN_ASSIGN_OR_RETURN(const auto base, IntegerMember(item, "base_version"));
    if (base && *base < 0) return BadRequest(where + "base_version is negative");
    if (base) change.base = static_cast<uint64_t>(*base);
    changes.push_back(std::move(change));
  }
  ZN_ASSIGN_OR_RETURN(const auto author, AuthorOf(call, json::object()));
  ZN_ASSIGN_OR_RETURN(const auto records, call.service.state->Apply(place.key, changes, author));
  json list = json::array();
  for (const StateRecord& record : records) list.push_back(StateJson(place.head, record));
  Reply reply = Reply::Json(Dump(list));
  reply.headers = PlaceHeaders(call.position, place.head);
  return reply;
}

Answer<Reply> GetAudit(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const auto parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after", "token"}));
  ZN_ASSIGN_OR_RETURN(const Page page, ParsePage(parameters));
  uint64_t after = 0;
  if (!page.after.empty()) {
    ZN_ASSIGN_OR_RETURN(const auto parsed, ParseVersion("after", page.after));
    after = *parsed;
  }
  ZN_ASSIGN_OR_RETURN(const auto lines, call.service.store->records().Audit(call.room, after, page.limit + 1));
  std::string text;
  const size_t count = std::min(lines.size(), page.limit);
  const auto room = call.room.empty() ? nullptr : call.service.store->OpenRoom(call.room).value_or(nullptr);
  const auto head = room ? room->HeadOrError() : Result<Snapshot>(ErrorCode::kNotFound, "");
  int budget = 200;  // frames that are read for their hashes
  for (size_t i = 0; i < count; ++i) text += (head ? WithHashes(call, *head, lines[i].line, &budget) : lines[i].line) + "\n";
  Reply reply = Reply::Json(std::move(text));
  reply.content_type = "application/x-ndjson";
  if (lines.size() > count) reply.headers = NextLink(call.request(), parameters, std::to_string(lines[count - 1].sequence));
  return reply;
}

}  // namespace zn::server
