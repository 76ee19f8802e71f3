// The Engine.IO servers of a process, by path.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/reply.h"
#include "socketio/engineio_server.h"

namespace zn::server {

class ApiHandler;
struct RoomClientContext;
struct Service;

struct SocketOptions {
  bool conformance = false;  // the timings and echoes of the public test suites
  size_t max_sessions = 20000;
};

class SocketServers {
 public:
  /// Both must outlive it.
  SocketServers(Service* service, ApiHandler* handler, const SocketOptions& options);
  ~SocketServers();

  /// nullopt: the path is not one of theirs. `cors` are the header lines for pages of other
  /// origins.
  std::optional<Reply> Handle(const OwnedRequest& request, const std::string& cors);

  size_t sessions() const;
  uint64_t dropped() const;

 private:
  struct Place;
  std::unique_ptr<RoomClientContext> context_;
  std::vector<Place> places_;
};

}  // namespace zn::server
