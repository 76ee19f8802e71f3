#include "socketio/socketio_client.h"

#include "http/loop.h"

namespace zn::server::socketio {
namespace {

class Client;

class ClientSocket final : public Socket {
 public:
  ClientSocket(Client* client, std::string nsp)
      : client_(client), nsp_(std::move(nsp)), sid_(engineio::RandomId()) {}

  const std::string& sid() const override { return sid_; }
  Loop& loop() override;
  Parser parser() const override;
  void Emit(json event) override;
  void Send(const engineio::OutPacket& message) override;
  void Ack(uint64_t id, json arguments) override;
  void Close(std::string_view reason) override;

  std::shared_ptr<Application> application;

 private:
  Client* const client_;
  const std::string nsp_, sid_;
};

class Client final : public engineio::SessionUser, public std::enable_shared_from_this<Client> {
 public:
  Client(const engineio::Opening& opening, const ClientOptions& options, Parser parser,
         MakeApplication make)
      : loop_(opening.loop),
        session_(opening.session),
        options_(options),
        parser_(parser),
        decoder_(parser, options.max_bytes),
        make_(std::move(make)) {}

  void ExpectConnect() {
    loop_.After(options_.connect_timeout_ms, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self && !self->connected_once_) self->Close("connect timeout");
    });
  }

  void OnMessage(engineio::Packet message) override {
    Packet packet;
    switch (decoder_.Feed(message, &packet)) {
      case Decoder::Status::kMore:
        return;
      case Decoder::Status::kBad:
        Close("parse error");
        return;
      case Decoder::Status::kPacket:
        OnPacket(std::move(packet));
    }
  }

  void OnClose(std::string_view reason) override {
    // Later: it may be a socket's own sending that closed the session.
    loop_.Post(
        [self = shared_from_this(), sockets = std::move(sockets_), why = std::string(reason)] {
          for (const auto& [nsp, socket] : sockets) socket->application->OnDisconnect(why);
        });
    sockets_.clear();
  }

  void Write(const Packet& packet) {
    for (engineio::OutPacket& message : Encode(packet, parser_)) Send(std::move(message));
  }
  void Send(engineio::OutPacket message) {
    if (auto session = session_.lock()) session->Send(std::move(message));
  }
  // Later, since the caller may be in the middle of what closing takes apart.
  void Close(std::string_view reason) {
    loop_.Post([weak = session_, why = std::string(reason)] {
      if (auto session = weak.lock()) session->Close(why);
    });
  }
  Loop& loop() { return loop_; }
  Parser parser() const { return parser_; }

 private:
  void OnPacket(Packet packet) {
    auto found = sockets_.find(packet.nsp);
    switch (packet.type) {
      case PacketType::kConnect:
        if (found == sockets_.end()) {
          Connect(packet.nsp, packet.data);
        } else {
          Close("parse error");
        }
        return;
      case PacketType::kDisconnect:
        if (found == sockets_.end()) return;
        Leave(found, "client namespace disconnect");
        return;
      case PacketType::kEvent:
        if (found == sockets_.end()) {
          if (!connected_once_) Close("parse error");
          return;  // it was on its way when the client left the namespace
        }
        found->second->application->OnEvent(std::move(packet.data), packet.id);
        return;
      case PacketType::kAck:
        return;  // this server asks for none
      default:
        Close("parse error");
    }
  }

  void Connect(const std::string& nsp, const json& auth) {
    if (sockets_.size() >= options_.max_namespaces) {
      Close("too many namespaces");
      return;
    }
    auto socket = std::make_shared<ClientSocket>(this, nsp);
    auto made = make_(socket.get(), nsp, auth);
    if (auto* error = std::get_if<ConnectError>(&made)) {
      json data = {{"message", error->message}};
      if (!error->data.is_null()) data["data"] = error->data;
      Write({PacketType::kConnectError, nsp, {}, std::move(data)});
      return;
    }
    connected_once_ = true;
    socket->application = std::move(std::get<std::shared_ptr<Application>>(made));
    sockets_[nsp] = socket;
    Write({PacketType::kConnect, nsp, {}, {{"sid", socket->sid()}}});
    socket->application->OnConnect();
  }

  void Leave(std::map<std::string, std::shared_ptr<ClientSocket>>::iterator found,
             std::string_view reason) {
    std::shared_ptr<ClientSocket> socket = std::move(found->second);
    sockets_.erase(found);
    socket->application->OnDisconnect(reason);
  }

  Loop& loop_;
  const std::weak_ptr<engineio::Session> session_;  // which owns this
  const ClientOptions options_;
  const Parser parser_;
  Decoder decoder_;
  const MakeApplication make_;
  std::map<std::string, std::shared_ptr<ClientSocket>> sockets_;  // by namespace
  bool connected_once_ = false;
};

Loop& ClientSocket::loop() { return client_->loop(); }
Parser ClientSocket::parser() const { return client_->parser(); }
void ClientSocket::Emit(json event) {
  client_->Write({PacketType::kEvent, nsp_, {}, std::move(event)});
}
void ClientSocket::Send(const engineio::OutPacket& message) { client_->Send(message); }
void ClientSocket::Ack(uint64_t id, json arguments) {
  client_->Write({PacketType::kAck, nsp_, id, std::move(arguments)});
}
void ClientSocket::Close(std::string_view reason) { client_->Close(reason); }

}  // namespace

std::shared_ptr<engineio::SessionUser> MakeClient(const engineio::Opening& opening,
                                                  const ClientOptions& options, Parser parser,
                                                  MakeApplication make) {
  auto client = std::make_shared<Client>(opening, options, parser, std::move(make));
  client->ExpectConnect();
  return client;
}

}  // namespace zn::server::socketio
