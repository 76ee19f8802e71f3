#include "socketio/engineio_transports.h"

#include "http/loop.h"
#include "http/websocket.h"

namespace zn::server::engineio {
namespace {

Reply TextReply(int status, std::string body, const std::string& cors) {
  Reply reply = Reply::Json(std::move(body), status);
  reply.content_type = "text/plain; charset=UTF-8";
  reply.headers = "Cache-Control: no-store\r\n" + cors;
  return reply;
}

class HandshakeOwner final : public ChannelOwner {
 public:
  HandshakeOwner(EngineServer* server, std::shared_ptr<const OwnedRequest> request,
                 std::string cors)
      : server_(server), request_(std::move(request)), cors_(std::move(cors)) {}

  void OnOpen(std::shared_ptr<Channel> channel) override {
    auto home = server_->Open(channel->loop(), *request_);
    if (home) {
      channel->Finish(TextReply(200, "0" + home->session->Handshake(true), cors_));
    } else {
      channel->Finish(Reply::Of(Problem(503, "busy", "too many sessions"), ""));
    }
  }
  void OnStopping() override {}
  void OnClosed() override {}

 private:
  EngineServer* const server_;
  const std::shared_ptr<const OwnedRequest> request_;
  const std::string cors_;
};

class ChannelPoll final : public PollReply {
 public:
  ChannelPoll(std::shared_ptr<Channel> channel, std::string cors)
      : channel_(std::move(channel)), cors_(std::move(cors)) {}
  void Answer(int status, std::string body) override {
    channel_->Finish(TextReply(status, std::move(body), cors_));
  }

 private:
  const std::shared_ptr<Channel> channel_;
  const std::string cors_;
};

class PollOwner final : public ChannelOwner {
 public:
  PollOwner(std::shared_ptr<EngineServer::Home> home, std::string cors)
      : home_(std::move(home)), cors_(std::move(cors)) {}

  void OnOpen(std::shared_ptr<Channel> channel) override {
    reply_ = std::make_shared<ChannelPoll>(std::move(channel), cors_);
    EngineServer::Run(home_, [reply = reply_](Session& session) { session.OnPoll(reply); });
  }
  void OnStopping() override {
    EngineServer::Run(home_, [](Session& session) { session.Close("server shutting down"); });
  }
  void OnClosed() override {
    EngineServer::Run(home_, [reply = reply_](Session& s) { s.OnPollGone(reply.get()); });
  }

 private:
  const std::shared_ptr<EngineServer::Home> home_;
  const std::string cors_;
  std::shared_ptr<ChannelPoll> reply_;
};

class PostOwner final : public ChannelOwner {
 public:
  PostOwner(std::shared_ptr<EngineServer::Home> home, std::shared_ptr<const OwnedRequest> request,
            std::string cors)
      : home_(std::move(home)), request_(std::move(request)), cors_(std::move(cors)) {}

  void OnOpen(std::shared_ptr<Channel> channel) override {
    EngineServer::Run(home_, [channel, request = request_, cors = cors_](Session& session) {
      const int status = session.OnPost(request->body);
      channel->Finish(TextReply(status, status == 200 ? "ok" : "", cors));
    });
  }
  void OnStopping() override {}
  void OnClosed() override {}

 private:
  const std::shared_ptr<EngineServer::Home> home_;
  const std::shared_ptr<const OwnedRequest> request_;
  const std::string cors_;
};

class ChannelSocket final : public SocketLink {
 public:
  explicit ChannelSocket(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  void Send(Pieces frame) override { channel_->Send(std::move(frame)); }
  size_t unsent() const override { return channel_->unsent(); }
  void Close(int code, std::string_view reason) override {
    channel_->Send({BufferOf(websocket::CloseFrame(code, reason))});
    channel_->End();
  }
  void Drop(int code, std::string_view reason) override {
    channel_->Drop({BufferOf(websocket::CloseFrame(code, reason))});
  }

 private:
  const std::shared_ptr<Channel> channel_;
};

class SocketOwner final : public ChannelOwner {
 public:
  SocketOwner(EngineServer* server, std::shared_ptr<EngineServer::Home> home,
              std::shared_ptr<const OwnedRequest> request)
      : server_(server),
        home_(std::move(home)),
        request_(std::move(request)),
        decoder_(server->options().max_payload) {}

  void OnOpen(std::shared_ptr<Channel> channel) override {
    channel_ = channel;
    socket_ = std::make_shared<ChannelSocket>(std::move(channel));
    if (home_) {
      EngineServer::Run(home_, [socket = socket_](Session& session) {
        if (!session.Probe(socket)) socket->Close(websocket::kPolicy, "not a time to upgrade");
      });
    } else if ((home_ = server_->Open(channel_->loop(), *request_))) {
      home_->session->Open(socket_);
    } else {
      socket_->Close(websocket::kGoingAway, "too many sessions");
    }
    request_.reset();
  }

  void OnBytes(std::string_view bytes) override {
    if (failed_ || !home_) return;
    std::vector<websocket::Message> messages;
    const int code = decoder_.Feed(bytes, &messages);
    for (websocket::Message& message : messages) Take(std::move(message));
    if (code == 0) return;
    failed_ = true;
    socket_->Close(code, "");
  }

  void OnStopping() override {
    if (home_)
      EngineServer::Run(home_, [](Session& session) { session.Close("server shutting down"); });
  }

  void OnClosed() override {
    if (home_)
      EngineServer::Run(home_, [socket = socket_](Session& s) { s.OnSocketClosed(socket.get()); });
  }

 private:
  void Take(websocket::Message message) {
    switch (message.opcode) {
      case websocket::Opcode::kPing: {
        if (channel_->unsent() > server_->options().max_unsent) {
          failed_ = true;
          socket_->Drop(websocket::kPolicy, "pongs are not read");
          return;
        }
        std::string pong;
        websocket::AppendFrameHeader(websocket::Opcode::kPong, message.payload.size(), pong);
        channel_->Send({BufferOf(pong + message.payload)});
        return;
      }
      case websocket::Opcode::kPong:
        return;
      case websocket::Opcode::kClose:
        failed_ = true;
        socket_->Close(message.code == websocket::kNoCode ? websocket::kNormal : message.code, "");
        return;
      default:
        EngineServer::Run(
            home_, [socket = socket_, message = std::move(message)](Session& s) mutable {
              s.OnSocketMessage(socket.get(), message.opcode == websocket::Opcode::kBinary,
                                std::move(message.payload));
            });
    }
  }

  EngineServer* const server_;
  std::shared_ptr<EngineServer::Home> home_;
  std::shared_ptr<const OwnedRequest> request_;
  websocket::FrameDecoder decoder_;
  std::shared_ptr<Channel> channel_;
  std::shared_ptr<ChannelSocket> socket_;
  bool failed_ = false;
};

}  // namespace

std::shared_ptr<ChannelOwner> MakeHandshakeOwner(EngineServer* server,
                                                 std::shared_ptr<const OwnedRequest> request,
                                                 std::string cors) {
  return std::make_shared<HandshakeOwner>(server, std::move(request), std::move(cors));
}

std::shared_ptr<ChannelOwner> MakePollOwner(std::shared_ptr<EngineServer::Home> home,
                                            std::string cors) {
  return std::make_shared<PollOwner>(std::move(home), std::move(cors));
}

std::shared_ptr<ChannelOwner> MakePostOwner(std::shared_ptr<EngineServer::Home> home,
                                            std::shared_ptr<const OwnedRequest> request,
                                            std::string cors) {
  return std::make_shared<PostOwner>(std::move(home), std::move(request), std::move(cors));
}

std::shared_ptr<ChannelOwner> MakeSocketOwner(EngineServer* server,
                                              std::shared_ptr<EngineServer::Home> home,
                                              std::shared_ptr<const OwnedRequest> request) {
  return std::make_shared<SocketOwner>(server, std::move(home), std::move(request));
}

}  // namespace zn::server::engineio
