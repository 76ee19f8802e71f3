// An Engine.IO session: what a client and the server agree on whatever transport carries it.
//
// It starts on long polling or on a WebSocket, may change once from the first to the second, is
// kept alive by pings, and ends. Sockets and HTTP are behind PollReply and SocketLink, time behind
// Tick, so that every rule of the protocol can be tested without either. All members are for one
// thread: the session's loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "socketio/engineio_packet.h"

namespace zn::server::engineio {

struct EngineOptions {
  int64_t ping_interval_ms = 25000;
  int64_t ping_timeout_ms = 20000;
  int64_t upgrade_timeout_ms = 10000;
  size_t max_payload = 1'000'000;  // bytes of a message or of a POST
  size_t max_unsent = 1 << 20;     // bytes that may wait for a client; see FollowOptions
};

/// A GET that waits for packets. Destroyed without an answer when the client gave it up.
class PollReply {
 public:
  virtual ~PollReply() = default;
  /// The only call. `status` is 200 or 400.
  virtual void Answer(int status, std::string body) = 0;
};

/// A WebSocket.
class SocketLink {
 public:
  virtual ~SocketLink() = default;
  virtual void Send(Pieces frame) = 0;
  virtual size_t unsent() const = 0;
  /// Sends what is queued and a close frame.
  virtual void Close(int code, std::string_view reason) = 0;
  /// As Close, but what is queued is forgotten.
  virtual void Drop(int code, std::string_view reason) = 0;
};

class Session;

/// What speaks through the session: Socket.IO.
class SessionUser {
 public:
  virtual ~SessionUser() = default;
  virtual void OnMessage(Packet message) = 0;
  /// The last call. `reason` as in Socket.IO: "transport close", "ping timeout", ...
  virtual void OnClose(std::string_view reason) = 0;
};

class Session {
 public:
  Session(std::string sid, const EngineOptions& options, int64_t now_ms);
  ~Session();

  /// Before anything else. Called back with OnClose exactly once.
  void SetUser(std::shared_ptr<SessionUser> user) { user_ = std::move(user); }
  /// Called once, when the session is over.
  void SetOnClosed(std::function<void()> on_closed) { on_closed_ = std::move(on_closed); }

  const std::string& sid() const { return sid_; }
  bool closed() const { return closed_; }
  /// The first packet: "{"sid":...}".
  std::string Handshake(bool polling) const;

  // Long polling. -------------------------------------------------------------------------------
  void OnPoll(std::shared_ptr<PollReply> reply);
  /// The client gave the request up.
  void OnPollGone(const PollReply* reply);
  /// The status of the reply to a POST: 200, 400 (the session is over), 413.
  int OnPost(std::string_view body);

  // WebSocket. ----------------------------------------------------------------------------------
  /// The session began with it; sends the handshake.
  void Open(std::shared_ptr<SocketLink> socket);
  /// A client on long polling tries it. False: not now; the socket is to be closed.
  bool Probe(std::shared_ptr<SocketLink> socket);
  void OnSocketMessage(const SocketLink* socket, bool binary, std::string data);
  void OnSocketClosed(const SocketLink* socket);

  // ---------------------------------------------------------------------------------------------
  /// To the client. One that does not keep up is dropped.
  void Send(OutPacket packet);
  void Close(std::string_view reason);
  /// Does what is due; returns when it wants to be called next.
  int64_t Tick(int64_t now_ms);
  uint64_t dropped() const { return dropped_; }

 private:
  void OnPacket(Packet packet);
  bool OnProbePacket(const Packet& packet);
  void FlushPoll();
  void Queue(OutPacket packet);
  void Finish(std::string_view reason);
  void DropSlow();
  void EndProbe(std::string_view reason);

  const std::string sid_;
  const EngineOptions options_;
  std::shared_ptr<SessionUser> user_;
  std::function<void()> on_closed_;
  int64_t now_;
  int64_t next_ping_, pong_by_ = 0, probe_by_ = 0;
  bool closed_ = false;
  bool upgraded_ = false;  // the transport is `socket_`
  bool probed_ = false;    // the client's probe was answered: polls end at once

  std::shared_ptr<SocketLink> socket_;  // in use, or being tried
  std::shared_ptr<PollReply> poll_;
  std::deque<OutPacket> queue_;  // for the next poll
  size_t queued_bytes_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace zn::server::engineio
