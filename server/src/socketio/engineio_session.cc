#include "socketio/engineio_session.h"

#include <algorithm>
#include <utility>

#include "http/websocket.h"

namespace zn::server::engineio {

Session::Session(std::string sid, const EngineOptions& options, int64_t now_ms)
    : sid_(std::move(sid)),
      options_(options),
      now_(now_ms),
      next_ping_(now_ms + options.ping_interval_ms) {}

Session::~Session() = default;

std::string Session::Handshake(bool polling) const {
  return "{\"sid\":\"" + sid_ + "\",\"upgrades\":" + (polling ? "[\"websocket\"]" : "[]") +
         ",\"pingInterval\":" + std::to_string(options_.ping_interval_ms) +
         ",\"pingTimeout\":" + std::to_string(options_.ping_timeout_ms) +
         ",\"maxPayload\":" + std::to_string(options_.max_payload) + "}";
}

void Session::OnPoll(std::shared_ptr<PollReply> reply) {
  if (closed_ || upgraded_) {
    reply->Answer(400, "");
    return;
  }
  if (poll_) {  // two at a time: the client is confused about who it is
    std::shared_ptr<PollReply> first = std::exchange(poll_, nullptr);
    first->Answer(200, "1");
    reply->Answer(400, "");
    Finish("transport error");
    return;
  }
  poll_ = std::move(reply);
  if (!queue_.empty()) {
    FlushPoll();
  } else if (probed_) {
    std::exchange(poll_, nullptr)->Answer(200, "6");
  }
}

void Session::OnPollGone(const PollReply* reply) {
  if (poll_.get() != reply) return;
  poll_.reset();
  if (!upgraded_ && !probed_) Finish("transport close");
}

int Session::OnPost(std::string_view body) {
  if (closed_ || upgraded_) return 400;
  if (body.size() > options_.max_payload) {
    Finish("transport error");
    return 413;
  }
  auto packets = DecodePayload(body);
  if (!packets) {
    Finish("parse error");
    return 400;
  }
  for (Packet& packet : *packets) {
    if (closed_) break;
    OnPacket(std::move(packet));
  }
  return 200;
}

void Session::Open(std::shared_ptr<SocketLink> socket) {
  socket_ = std::move(socket);
  upgraded_ = true;
  socket_->Send(FrameOf(TextPacket(PacketType::kOpen, Handshake(false))));
}

bool Session::Probe(std::shared_ptr<SocketLink> socket) {
  if (closed_ || upgraded_ || socket_) return false;
  socket_ = std::move(socket);
  probe_by_ = now_ + options_.upgrade_timeout_ms;
  return true;
}

void Session::OnSocketMessage(const SocketLink* socket, bool binary, std::string data) {
  if (closed_ || socket_.get() != socket) return;
  std::optional<Packet> packet;
  if (binary) {
    packet = Packet{PacketType::kMessage, true, std::move(data)};
  } else {
    packet = DecodePacket(data);
  }
  if (!upgraded_) {
    if (!packet || !OnProbePacket(*packet)) EndProbe("bad probe");
  } else if (!packet) {
    Finish("parse error");
  } else {
    OnPacket(std::move(*packet));
  }
}

// "2probe" is answered, and from then on polls end at once, so that the client can pause them; "5"
// makes the WebSocket the transport.
bool Session::OnProbePacket(const Packet& packet) {
  if (packet.type == PacketType::kPing && packet.data == "probe" && !probed_) {
    probed_ = true;
    socket_->Send(FrameOf(TextPacket(PacketType::kPong, "probe")));
    if (poll_) std::exchange(poll_, nullptr)->Answer(200, "6");
    return true;
  }
  if (packet.type != PacketType::kUpgrade || !probed_) return false;
  upgraded_ = true;
  probe_by_ = 0;
  if (poll_) std::exchange(poll_, nullptr)->Answer(200, "6");
  for (const OutPacket& queued : queue_) socket_->Send(FrameOf(queued));
  queue_.clear();
  queued_bytes_ = 0;
  return true;
}

void Session::EndProbe(std::string_view reason) {
  std::shared_ptr<SocketLink> socket = std::exchange(socket_, nullptr);
  probed_ = false;
  probe_by_ = 0;
  socket->Close(websocket::kPolicy, reason);
}

void Session::OnSocketClosed(const SocketLink* socket) {
  if (closed_ || socket_.get() != socket) return;
  if (upgraded_) {
    Finish("transport close");
    return;
  }
  socket_.reset();  // the client stays on polling
  probed_ = false;
  probe_by_ = 0;
}

void Session::OnPacket(Packet packet) {
  switch (packet.type) {
    case PacketType::kPong:
      pong_by_ = 0;
      next_ping_ = now_ + options_.ping_interval_ms;
      return;
    case PacketType::kMessage:
      user_->OnMessage(std::move(packet));
      return;
    case PacketType::kClose:
      // A poll that waits is ended, not answered: there is nothing to say any more.
      if (poll_) std::exchange(poll_, nullptr)->Answer(200, "6");
      Finish("transport close");
      return;
    default:  // pings are the server's, and the others belong to the handshake
      Finish("parse error");
  }
}

void Session::Send(OutPacket packet) {
  if (closed_) return;
  const size_t size = packet.size();
  if (upgraded_) {
    if (socket_->unsent() + size > options_.max_unsent) {
      DropSlow();
      return;
    }
    socket_->Send(FrameOf(packet));
    return;
  }
  if (queued_bytes_ + size > options_.max_unsent) {
    DropSlow();
    return;
  }
  queued_bytes_ += size;
  queue_.push_back(std::move(packet));
  FlushPoll();
}

void Session::FlushPoll() {
  if (!poll_ || queue_.empty()) return;
  std::string payload = TakePayload(&queue_, options_.max_payload);
  queued_bytes_ = 0;
  for (const OutPacket& packet : queue_) queued_bytes_ += packet.size();
  std::exchange(poll_, nullptr)->Answer(200, std::move(payload));
}

void Session::DropSlow() {
  ++dropped_;
  if (upgraded_)
    socket_->Drop(websocket::kPolicy,
                  "more than " + std::to_string(options_.max_unsent) + " bytes waited to be read");
  Finish("slow consumer");
}

void Session::Close(std::string_view reason) {
  if (closed_) return;
  if (upgraded_) {
    socket_->Send(FrameOf(TextPacket(PacketType::kClose)));
  } else {
    queue_.push_back(TextPacket(PacketType::kClose));
    FlushPoll();
  }
  Finish(reason);
}

void Session::Finish(std::string_view reason) {
  if (std::exchange(closed_, true)) return;
  if (poll_) std::exchange(poll_, nullptr)->Answer(200, "1");
  if (socket_) std::exchange(socket_, nullptr)->Close(websocket::kNormal, "");
  queue_.clear();
  if (std::shared_ptr<SessionUser> user = std::exchange(user_, nullptr)) user->OnClose(reason);
  if (on_closed_) std::exchange(on_closed_, nullptr)();
}

int64_t Session::Tick(int64_t now_ms) {
  now_ = now_ms;
  if (closed_) return INT64_MAX;
  if (pong_by_ != 0 && now_ >= pong_by_) {
    Finish("ping timeout");
    return INT64_MAX;
  }
  if (pong_by_ == 0 && now_ >= next_ping_) {
    pong_by_ = now_ + options_.ping_timeout_ms;
    Send(TextPacket(PacketType::kPing));
    if (closed_) return INT64_MAX;
  }
  if (probe_by_ != 0 && now_ >= probe_by_) EndProbe("the upgrade took too long");
  int64_t next = pong_by_ != 0 ? pong_by_ : next_ping_;
  if (probe_by_ != 0) next = std::min(next, probe_by_);
  return next;
}

}  // namespace zn::server::engineio
