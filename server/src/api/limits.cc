#include "api/limits.h"

#include "control/access.h"

namespace zn::server {
namespace {

constexpr RateLimit kFailedLogins{0.5, 10};

std::optional<Problem> Answer429(int64_t wait_ms, std::string detail) {
  if (wait_ms == 0) return std::nullopt;
  const int64_t seconds = (wait_ms + 999) / 1000;
  Problem problem(429, "rate-limited", std::move(detail));
  problem.headers = "Retry-After: " + std::to_string(seconds) + "\r\n";
  return std::move(problem).With("retry_after", seconds).With("retry_after_ms", wait_ms);
}

constexpr const char* kTooOften =
    "more requests than this server takes from one client (--rate-limit)";

}  // namespace

RequestLimits::RequestLimits(const RateLimit& requests)
    : limited_(requests.per_second > 0), requests_(requests), logins_(kFailedLogins) {}

std::optional<Problem> RequestLimits::Refuse(const Request& request, int64_t now_ms) {
  if (!limited_ || request.path == "/healthz" || request.path == "/readyz") return std::nullopt;
  const auto token = BearerToken(request);
  return Refuse(token && *token ? std::string_view(**token) : std::string_view(), request.peer,
                now_ms);
}

std::optional<Problem> RequestLimits::Refuse(std::string_view token, const PeerAddress& peer,
                                             int64_t now_ms) {
  if (!limited_) return std::nullopt;
  const uint64_t key = token.empty() ? requests_.KeyOf(peer) : requests_.KeyOf(token);
  return Answer429(requests_.Take(key, now_ms), kTooOften);
}

std::optional<Problem> RequestLimits::RefuseStranger(const PeerAddress& peer, int64_t now_ms) {
  return limited_ ? Answer429(requests_.Take(requests_.KeyOf(peer), now_ms), kTooOften)
                  : std::nullopt;
}

std::optional<Problem> RequestLimits::RefuseLogin(const PeerAddress& peer, int64_t now_ms) {
  return Answer429(logins_.Wait(logins_.KeyOf(peer), now_ms),
                   "too many logins failed; wait a little");
}

void RequestLimits::LoginFailed(const PeerAddress& peer, int64_t now_ms) {
  (void)logins_.Take(logins_.KeyOf(peer), now_ms);
}

}  // namespace zn::server
