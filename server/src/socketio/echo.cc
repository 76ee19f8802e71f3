#include "socketio/echo.h"

namespace zn::server {
namespace {

using nlohmann::json;

class EngineEcho final : public engineio::SessionUser {
 public:
  explicit EngineEcho(std::weak_ptr<engineio::Session> session) : session_(std::move(session)) {}
  void OnMessage(engineio::Packet message) override {
    if (auto session = session_.lock())
      session->Send(engineio::MakeMessage(message.binary, message.data));
  }
  void OnClose(std::string_view) override {}

 private:
  const std::weak_ptr<engineio::Session> session_;
};

class EchoApplication final : public socketio::Application {
 public:
  EchoApplication(socketio::Socket* socket, json auth)
      : socket_(socket), auth_(auth.is_null() ? json::object() : std::move(auth)) {}
  void OnConnect() override { socket_->Emit({"auth", auth_}); }
  void OnEvent(json event, std::optional<uint64_t> ack) override {
    if (event[0] == "message") {
      event[0] = "message-back";
      socket_->Emit(std::move(event));
    } else if (event[0] == "message-with-ack" && ack) {
      event.erase(0);
      socket_->Ack(*ack, std::move(event));
    }
  }
  void OnDisconnect(std::string_view) override {}

 private:
  socketio::Socket* const socket_;
  const json auth_;
};

}  // namespace

std::shared_ptr<engineio::SessionUser> MakeEngineEcho(const engineio::Opening& opening) {
  return std::make_shared<EngineEcho>(opening.session);
}

socketio::MakeApplication SocketEcho() {
  return [](socketio::Socket* socket, const std::string& nsp, const json& auth)
             -> std::variant<std::shared_ptr<socketio::Application>, socketio::ConnectError> {
    if (nsp != "/" && nsp != "/custom") return socketio::ConnectError{"Invalid namespace", {}};
    return std::make_shared<EchoApplication>(socket, auth);
  };
}

}  // namespace zn::server
