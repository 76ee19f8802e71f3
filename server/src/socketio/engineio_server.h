// Engine.IO over this server's HTTP: requests to sessions, and sessions to connections.
//
// A session lives on the loop of the connection that opened it; what arrives elsewhere (a poll on
// another connection, the WebSocket it changes to) is posted there. The table of sessions is all
// that threads share.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "http/reply.h"
#include "http/request.h"
#include "socketio/engineio_session.h"

namespace zn::server {
class Loop;
}

namespace zn::server::engineio {

/// What a session is opened with.
struct Opening {
  Loop& loop;
  std::shared_ptr<Session> session;
  const OwnedRequest& request;  // good during the call
};

/// The path's server. Members may be called from any thread.
class EngineServer {
 public:
  using MakeUser = std::function<std::shared_ptr<SessionUser>(const Opening&)>;

  EngineServer(const EngineOptions& options, size_t max_sessions, MakeUser make_user)
      : options_(options), max_sessions_(max_sessions), make_user_(std::move(make_user)) {}

  /// `cors` are header lines for replies that are made later (the caller adds them to others).
  /// REQUIRES: Origin and Host were checked.
  Reply Handle(std::shared_ptr<const OwnedRequest> request, std::string cors);

  size_t sessions() const;
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  // For the owners of connections, on any thread. -------------------------------------------------
  struct Home {
    Loop* loop = nullptr;
    std::shared_ptr<Session> session;
    int64_t armed = INT64_MAX;  // of the loop's thread: when the session's timer fires
  };
  /// A new session on `loop`, whose thread this is; null at the limit.
  std::shared_ptr<Home> Open(Loop& loop, const OwnedRequest& request);
  /// Runs `act` on the session's thread, with its clock set.
  static void Run(const std::shared_ptr<Home>& home, std::function<void(Session&)> act);
  const EngineOptions& options() const { return options_; }

 private:
  std::shared_ptr<Home> Find(const std::string& sid) const;
  static void Arm(const std::shared_ptr<Home>& home, int64_t when);

  const EngineOptions options_;
  const size_t max_sessions_;
  const MakeUser make_user_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Home>> sessions_;  // guarded by mutex_
  std::atomic<uint64_t> dropped_{0};
};

/// 20 characters of base64url over 120 random bits.
std::string RandomId();

}  // namespace zn::server::engineio
