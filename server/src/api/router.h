// From method and path to the function that answers, and what holds for all of them: who may ask,
// CORS, errors.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/service.h"
#include "http/handler.h"

namespace zn::server {

/// Who sends a request that comes over a connection which said so when it began (Socket.IO), not in a header.
struct Identity {
  Caller caller;
  std::string token;        // that it connected with; "": none
  PeerAddress peer;
  std::string connection;  // owns what it takes: see Owner
};

/// A request with who sent it and what its path named.
struct Call {
  Service& service;
  const OwnedRequest& owned;
  Caller caller;            // has the route's scope; nobody where that is kNone
  std::string connection;   // of an Identity; "" over HTTP
  std::string room, frame;  // percent-decoded; empty where the path has none
  /// Of the room's events, or the overview's, read before anything of the room is: for Zn-Position.
  EventPosition position;
  /// Every placeholder of the path: name, percent-decoded text.
  std::vector<std::pair<std::string_view, std::string>> arguments;

  const Request& request() const { return owned.request; }
  /// REQUIRES: the route's pattern has {name}.
  const std::string& Argument(std::string_view name) const;
  /// The room that the path names, or 404 with near misses among those that the caller may read.
  Answer<std::shared_ptr<Room>> FindRoom() const { return service.FindRoom(room, &caller); }
};

struct Route {
  Method method;             // GET also answers HEAD
  std::string_view pattern;  // "/api/rooms/{room}/frames/{frame}"
  /// What the caller must be allowed in the room (or, without {room}, anywhere). Who may not read the room gets 404.
  /// All but kNone and kRead are refused by a server that is --read-only.
  Scope scope;
  Answer<Reply> (*answer)(const Call& call);
};

/// Every route, the more specific of two that match first.
std::span<const Route> Routes();

/// nullopt: fine. 403 for a foreign Host or Origin.
std::optional<Problem> CheckOrigin(const ApiOptions& options, const Request& request);

/// The handler of the whole API.
class ApiHandler final : public Handler {
 public:
  explicit ApiHandler(Service* service) : service_(service) {}
  std::unique_ptr<WorkerState> NewWorkerState() override;
  void Tidy(WorkerState* state) override;
  std::optional<Reply> Limit(const Request& request) override;
  int TryInline(const Request& request, const InlineContext& context) override;
  /// Frames and uploads may be long; other bodies are small.
  uint64_t BodyLimit(const Request& request) override;
  std::optional<Reply> Refuse(const OwnedRequest& request) override;
  /// Locks, but for those taken by force, which wait for the audit log.
  bool IsQuick(const Request& request) override;
  Reply Handle(const OwnedRequest& request) override;
  /// As Handle, for a request that somebody known stands behind; its Host and Origin were checked when it connected.
  Reply HandleAs(const OwnedRequest& request, const Identity& sender);

 private:
  /// With `only_admit`, everything but the answer itself: what refuses a request whatever its body holds.
  Answer<Reply> Dispatch(const OwnedRequest& request, const Identity* sender, bool only_admit = false);
  Answer<Caller> Admit(const Route& route, const Request& request, const std::string& room,
                       const Identity* sender) const;
  Reply Complete(const OwnedRequest& request, Answer<Reply> answer) const;
  Service* service_;
};

}  // namespace zn::server
