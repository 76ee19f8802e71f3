#include "api/rooms.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/body_json.h"
#include "api/default_room.h"
#include "api/frames_query.h"
#include "api/locks.h"
#include "api/paging.h"

namespace zn::server {
namespace {

using nlohmann::json;

json RoomModelJson(const Service& service, const RoomInfo& info, const std::string& default_room) {
  const RoomKey key{info.incarnation, info.name};
  json model = {{"id", info.name},
          {"description", info.model.description},
          {"frameCount", info.frames},
          {"locked", info.model.locked},
          {"hidden", info.model.hidden},
          {"isDefault", info.name == default_room},
          {"metadataLocked", MetadataLockJson(service, key)},
          {"presenterSid", PresenterJson(service, key)},
          {"base", info.base.empty() ? json(nullptr) : json(info.base)},
          {"commit", info.commit.ToString()}};
  if (info.model.retention) model["retention"] = FormatRetention(*info.model.retention);
  return model;
}

std::string Lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}


Reply WithTag(std::string body, const std::string& tag_base) {
  Reply reply = Reply::Json(std::move(body));
  reply.etag = tag_base + "-" + RepresentationTag(Flatten(reply.body));
  return reply;
}

// The chunk grids of a field as zarr would name them, and its codecs.
json GridJson(const Geometry& geometry) {
  json chunk = json::array({geometry.frames_per_chunk});
  if (geometry.kind != FieldKind::kFrame) chunk.push_back(geometry.atoms_per_chunk);
  for (int64_t extent : geometry.inner) chunk.push_back(extent);
  json codecs = json::parse(geometry.codecs, nullptr, false);
  return {{"dtype", NumpyName(geometry.dtype)},
          {"chunk", chunk},
          {"codecs", codecs.is_discarded() ? json(geometry.codecs) : codecs}};
}

}  // namespace

std::string RoomModelText(const Service& service, const RoomInfo& info) {
  return RoomModelText(service, info, DefaultRoom(service));
}

std::string RoomModelText(const Service& service, const RoomInfo& info, const std::string& default_room) {
  return Dump(RoomModelJson(service, info, default_room));
}

Answer<Reply> ListRooms(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"search", "hidden", "limit", "after"}));
  ZN_ASSIGN_OR_RETURN(Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(auto search, TakeParameter(parameters, "search"));
  ZN_ASSIGN_OR_RETURN(auto hidden, TakeParameter(parameters, "hidden"));
  if (hidden && *hidden != "true" && *hidden != "false")
    return BadRequest("hidden: '" + *hidden + "' is neither true nor false");
  const bool with_hidden = hidden && *hidden == "true";
  const std::string default_room = DefaultRoom(call.service);
  const std::string needle = Lower(search.value_or(""));
  json list = json::array();
  bool more = false;
  for (const RoomInfo& info : call.service.store->ListRooms()) {
    if (!page.after.empty() && info.name <= page.after) continue;
    if (!call.caller.May(Scope::kRead, info.name)) continue;
    if (info.model.hidden && !with_hidden) continue;
    if (!needle.empty() && Lower(info.name).find(needle) == std::string::npos &&
        Lower(info.model.description).find(needle) == std::string::npos)
      continue;
    if (list.size() == page.limit) {
      more = true;
      break;
    }
    list.push_back(RoomModelJson(call.service, info, default_room));
  }
  std::string next =
      more ? NextLink(call.request(), parameters, list.back()["id"].get<std::string>()) : "";
  Reply reply = WithTag(Dump(list), "rooms");
  if (NotModified(call.request(), reply.etag))
    return NotModifiedReply(call.request(), reply.etag, next);
  reply.headers = next + "Zn-Position: " + call.position.ToString() + "\r\n";
  return reply;
}

Answer<Reply> GetRoom(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {}));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  RoomInfo info = room->info();
  ZN_ASSIGN_OR_RETURN(Snapshot head, room->HeadOrError());
  info.frames = head.frames();  // both of one moment
  info.commit = head.commit();
  Reply reply = WithTag(RoomModelText(call.service, info), IncarnationText(info.incarnation));
  reply.headers = PlaceHeaders(call.position, head);
  if (NotModified(call.request(), reply.etag))
    return NotModifiedReply(call.request(), reply.etag, reply.headers);
  return reply;
}

Answer<Reply> GetFields(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"at"}));
  ZN_ASSIGN_OR_RETURN(auto at, TakeParameter(parameters, "at"));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(Snapshot snapshot, SnapshotAt(*room, at.value_or("")));
  std::string etag = IncarnationText(snapshot.incarnation()) + "." + snapshot.commit().ToString() +
                     "-" + RepresentationTag("fields");
  if (NotModified(call.request(), etag))
    return NotModifiedReply(call.request(), std::move(etag), PlaceHeaders(call.position, snapshot));
  json list = json::array();
  const std::vector<FieldDescriptor>& fields = snapshot.fields();
  for (size_t i = 0; i < fields.size(); ++i) {
    const FieldDescriptor& field = fields[i];
    json attributes = json::parse(field.attributes, nullptr, false);
    if (!attributes.is_object()) attributes = json::object();
    json unit = attributes.contains("unit") ? attributes["unit"] : json(nullptr);
    json grids = json::array();
    for (const Geometry& geometry : field.geometries) grids.push_back(GridJson(geometry));
    ZN_ASSIGN_OR_RETURN(int64_t present, snapshot.CountPresent(static_cast<FieldIndex>(i)));
    list.push_back({{"name", field.name},
                    {"kind", FieldKindName(field.kind)},
                    {"dtype", NumpyName(field.dtype)},
                    {"shape", std::vector<int64_t>(field.inner.begin(), field.inner.end())},
                    {"unit", unit},
                    {"attributes", attributes},
                    {"grids", grids},
                    {"frames", present}});
  }
  Reply reply = Reply::Json(Dump(list));
  reply.headers = PlaceHeaders(call.position, snapshot);
  reply.etag = std::move(etag);
  return reply;
}

Answer<Reply> GetCommits(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after"}));
  ZN_ASSIGN_OR_RETURN(Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  ZN_ASSIGN_OR_RETURN(Snapshot head, room->HeadOrError());
  std::optional<CommitId> from;
  if (!page.after.empty()) {
    auto id = CommitId::Parse(page.after);
    if (!id) return BadRequest("after: " + id.error().message);
    from = *id;
  }
  // `after` itself comes first and is left out; one more tells whether there is a next page.
  ZN_ASSIGN_OR_RETURN(std::vector<CommitSummary> history,
                      room->History(from, page.limit + (from ? 2 : 1)));
  if (from && !history.empty()) history.erase(history.begin());
  const bool more = history.size() > page.limit;
  if (more) history.resize(page.limit);
  json list = json::array();
  for (const CommitSummary& commit : history)
    list.push_back({{"commit", commit.id.ToString()},
                    {"operation", OperationName(commit.operation)},
                    {"actor", commit.actor},
                    {"message", commit.message},
                    {"time", commit.time_ns ? json(TimeText(commit.time_ns)) : json(nullptr)},
                    {"frameCount", commit.frames}});
  Reply reply = WithTag(Dump(list), IncarnationText(head.incarnation()));
  reply.headers = PlaceHeaders(call.position, head);
  if (more) reply.headers += NextLink(call.request(), parameters, history.back().id.ToString());
  if (NotModified(call.request(), reply.etag))
    return NotModifiedReply(call.request(), reply.etag, reply.headers);
  return reply;
}

}  // namespace zn::server
