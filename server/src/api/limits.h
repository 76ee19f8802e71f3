// How often clients may ask: requests and Socket.IO's events by token, or by address without one,
// and failed logins.
#pragma once

#include <optional>
#include <string_view>

#include "http/problem.h"
#include "http/rate_limit.h"

namespace zn::server {

/// Thread-safe.
class RequestLimits {
 public:
  explicit RequestLimits(const RateLimit& requests);

  /// False: nothing but logins is limited, and Refuse never does.
  bool limited() const { return limited_; }

  /// nullopt, and one is counted; or the 429. Probes of health are never refused.
  std::optional<Problem> Refuse(const Request& request, int64_t now_ms);
  /// The same for what comes over a connection whose client said who it is when it began.
  std::optional<Problem> Refuse(std::string_view token, const PeerAddress& peer, int64_t now_ms);
  /// For credentials that were wrong: inventing tokens does not get anybody past the address's
  /// limit.
  std::optional<Problem> RefuseStranger(const PeerAddress& peer, int64_t now_ms);

  /// Logins have a limit whatever the options: 10 failures, then one every 2 s.
  std::optional<Problem> RefuseLogin(const PeerAddress& peer, int64_t now_ms);
  void LoginFailed(const PeerAddress& peer, int64_t now_ms);

 private:
  const bool limited_;
  RateLimiter requests_, logins_;
};

}  // namespace zn::server
