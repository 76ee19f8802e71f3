#include "api/events.h"

#include <nlohmann/json.hpp>

#include "api/frames_query.h"
#include "api/locks.h"
#include "api/rooms.h"
#include "events/sse.h"

namespace zn::server {
namespace {

Answer<Reply> Stream(const Call& call, std::string topic) {
  auto parameters = ParseQuery(call.request().query);
  if (!parameters) return BadRequest("the query is malformed");
  ZN_RETURN_IF_ERROR(RefuseUnknown(*parameters, {"since", "token"}));
  ZN_ASSIGN_OR_RETURN(auto since, TakeParameter(*parameters, "since"));
  SseRequest sse;
  // A browser that reconnects sends the id that it saw last, to the address it began with.
  if (const std::string_view* last = call.request().Find("last-event-id")) {
    sse.since = EventPosition::Parse(*last);
    sse.resync = !sse.since;
  } else if (since) {
    sse.since = EventPosition::Parse(*since);
    if (!sse.since)
      return BadRequest("since: '" + *since + "' is not a position (epoch:seq, as in Zn-Position)");
  }
  Service& service = call.service;
  Reply reply;
  if (call.request().method != Method::kHead) {
    sse.topic = topic;
    sse.state = [&service, topic](const EventPosition& position) {
      return ResyncState(service, topic, position);
    };
    sse.visible = [caller = call.caller](const Event& event) {
      return caller.May(Scope::kRead, event.room());
    };
    if (!call.caller.anonymous) {
      ZN_ASSIGN_OR_RETURN(auto token, BearerToken(call.request()));
      sse.over = [watch = std::make_shared<Access::Watch>(service.access.get(), token.value_or(""), IsLocal(call.request()),
                                                          call.caller)] { return watch->Over(); };
    }
    reply = Reply::HandOver(
        Handover::kStream,
        MakeSseStream(service.events.get(), service.options.follow, std::move(sse)));
  }
  reply.content_type = "text/event-stream";
  reply.headers = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";
  return reply;
}

}  // namespace

Answer<Reply> GetRoomEvents(const Call& call) {
  ZN_ASSIGN_OR_RETURN(std::shared_ptr<Room> room, call.FindRoom());
  return Stream(call, call.room);
}

Answer<Reply> GetOverviewEvents(const Call& call) { return Stream(call, std::string(kOverview)); }

std::optional<std::string> ResyncState(Service& service, const std::string& topic,
                                       const EventPosition& position) {
  nlohmann::json state = {{"position", position.ToString()}};
  if (topic != kOverview) {
    auto room = service.store->OpenRoom(topic);
    if (!room) return std::nullopt;
    auto head = (*room)->HeadOrError();
    if (!head) return std::nullopt;
    state["room"] = topic;
    state["commit"] = head->commit().ToString();
    state["frameCount"] = head->frames();
    const RoomKey key{head->incarnation(), topic};
    state["locks"] = nlohmann::json::array();
    for (const LockInfo& lock : service.control->List(key))
      state["locks"].push_back(LockJson(*head, lock));
    state["presenter"] = PresenterJson(service, key);
    const PresenceCounts presence = service.control->Presence(key);
    state["presence"] = {{"viewers", presence.viewers}, {"editors", presence.editors}};
  }
  return state.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace zn::server
