// The events that clients send: each takes one object and is answered with one.
//
// Most stand for a request, and are that request: they go through the router as who the connection
// belongs to (see docs/decisions/0043-socket-events-are-rest-calls.md). Here is how they are
// translated.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "api/router.h"

namespace zn::server {

/// Who sends: a copy of what the client was when the event came.
struct Sender {
  Identity identity;
  std::string actor_id;   // the label that it gave itself
  std::string only_room;  // the room it joined, when it is one; roomId may then be left out
  /// The lock tokens and the presenter's that this connection was given, by room and target: events
  /// need not repeat them.
  std::map<std::pair<std::string, std::string>, std::string> tokens;
};

/// What the client itself has to do once the call succeeded, on its own thread.
struct Effect {
  enum Kind { kNone, kJoin, kLeave, kKeepToken, kForgetToken } kind = kNone;
  std::string topic;                          // kJoin, kLeave
  std::optional<EventPosition> since;         // kJoin
  std::pair<std::string, std::string> place;  // of a token: room and target
  std::string token;                          // kKeepToken
};

struct InReply {
  nlohmann::json body = nlohmann::json::object();  // {ok: true} is added
  Effect effect;
};

/// On the pool. 404 with near misses for an event that is not known.
Answer<InReply> AnswerInEvent(Service& service, ApiHandler& handler, const Sender& sender,
                              const std::string& name, const nlohmann::json& arguments);

}  // namespace zn::server
