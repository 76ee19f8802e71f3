#include "socketio/servers.h"

#include "api/service.h"
#include "socketio/echo.h"
#include "socketio/room_client.h"
#include "socketio/socketio_client.h"

namespace zn::server {

struct SocketServers::Place {
  std::string path;  // "/socket.io"
  std::unique_ptr<engineio::EngineServer> server;
};

SocketServers::~SocketServers() = default;

SocketServers::SocketServers(Service* service, ApiHandler* handler, const SocketOptions& options)
    : context_(std::make_unique<RoomClientContext>()) {
  context_->service = service;
  context_->handler = handler;
  engineio::EngineOptions engine;
  socketio::ClientOptions client;
  engine.max_unsent = service->options.follow.max_unsent;
  if (options.conformance) {
    engine.ping_interval_ms = 300;
    engine.ping_timeout_ms = 200;
    client.connect_timeout_ms = 1000;
    places_.push_back({"/engine.io", std::make_unique<engineio::EngineServer>(
                                         engine, options.max_sessions, MakeEngineEcho)});
  }
  auto add = [&](std::string path, socketio::Parser parser) {
    places_.push_back(
        {std::move(path), std::make_unique<engineio::EngineServer>(
                              engine, options.max_sessions,
                              [client, parser, echo = options.conformance,
                               context = context_.get()](const engineio::Opening& opening) {
                                return socketio::MakeClient(
                                    opening, client, parser,
                                    echo ? SocketEcho()
                                         : RoomClients(context, opening.request.request));
                              })});
  };
  add("/socket.io", socketio::Parser::kDefault);
  add("/socket.io-msgpack", socketio::Parser::kMsgpack);
}

std::optional<Reply> SocketServers::Handle(const OwnedRequest& request, const std::string& cors) {
  std::string_view path = request.request.path;
  if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  for (const Place& place : places_)
    if (path == place.path) return place.server->Handle(request.shared_from_this(), cors);
  return std::nullopt;
}

size_t SocketServers::sessions() const {
  size_t total = 0;
  for (const Place& place : places_) total += place.server->sessions();
  return total;
}

uint64_t SocketServers::dropped() const {
  uint64_t total = 0;
  for (const Place& place : places_) total += place.server->dropped();
  return total;
}

}  // namespace zn::server
