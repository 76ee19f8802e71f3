// Socket.IO over an Engine.IO session: namespaces, events and acknowledgements. What is said in a
// namespace is the application's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "socketio/engineio_server.h"
#include "socketio/socketio_packet.h"

namespace zn::server::socketio {

/// One client in one namespace. Everything is for the session's loop.
class Socket {
 public:
  virtual ~Socket() = default;
  /// Its name, unlike that of the session no secret.
  virtual const std::string& sid() const = 0;
  virtual Loop& loop() = 0;
  virtual Parser parser() const = 0;
  /// [name, arguments...]
  virtual void Emit(json event) = 0;
  /// A message that was encoded beforehand.
  virtual void Send(const engineio::OutPacket& message) = 0;
  /// Answers an event that asked for it, once.
  virtual void Ack(uint64_t id, json arguments) = 0;
  /// Ends the whole session.
  virtual void Close(std::string_view reason) = 0;
};

/// What answers in a namespace, one object a socket.
class Application {
 public:
  virtual ~Application() = default;
  /// The client was told that it is connected.
  virtual void OnConnect() = 0;
  /// `event` is [name, arguments...].
  virtual void OnEvent(json event, std::optional<uint64_t> ack) = 0;
  /// The last call; the socket is gone afterwards.
  virtual void OnDisconnect(std::string_view reason) = 0;
};

/// Why a client may not connect: the text, and {data} for the client's error.
struct ConnectError {
  std::string message;
  json data;
};
/// `auth` is the object the client sent, or null. `socket` outlives the application.
using MakeApplication = std::function<std::variant<std::shared_ptr<Application>, ConnectError>(
    Socket* socket, const std::string& nsp, const json& auth)>;

struct ClientOptions {
  int64_t connect_timeout_ms = 45000;  // from the session's opening to the first CONNECT
  size_t max_bytes = 4'000'000;        // of a packet with its attachments
  size_t max_namespaces = 8;
};

/// The user of a new session: for EngineServer.
std::shared_ptr<engineio::SessionUser> MakeClient(const engineio::Opening& opening,
                                                  const ClientOptions& options, Parser parser,
                                                  MakeApplication make);

}  // namespace zn::server::socketio
