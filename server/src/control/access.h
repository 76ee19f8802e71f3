// Tokens and sessions: who a request comes from.
//
// A token is 256 bits, shown once when it is made; the store keeps its SHA-256 with name, scopes and expiry as a control
// record ("token"). A session token is what /api/login gives: a signed statement of name and expiry, kept nowhere. Both are
// sent as `Authorization: Bearer`, or as `?token=` where a client cannot set headers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/caller.h"
#include "http/problem.h"
#include "http/request.h"
#include "zn/engine/store.h"

namespace zn::server {

inline constexpr int64_t kMaxTokenSeconds = int64_t{100} * 365 * 86400;

struct AccessOptions {
  std::string admin_username, admin_password;  // both empty: nobody can log in
  std::string session_secret;                  // FLASK_SECRET_KEY; empty: one that the store keeps
  int64_t session_seconds = 12 * 3600;
  bool anonymous_on_loopback = true;
};

struct TokenInfo {
  std::string id;  // the first 16 hex digits of the hash: enough to name it, useless to use it
  std::string name;
  Scopes scopes;
  int64_t created_ns = 0;
  int64_t expires_ns = 0;  // 0: never
};

/// Scopes as "read,write" for every room, or "room=read,write;other=read".
Result<Scopes> ParseScopes(std::string_view text);
std::string FormatScopes(const Scopes& scopes);

/// Makes a token and returns its text, which is nowhere else. `actor`: for the audit log.
Result<std::string> CreateToken(Store& store, const std::string& name, const Scopes& scopes, int64_t expires_ns,
                                int64_t now_ns, const std::string& actor);
Result<std::vector<TokenInfo>> ListTokens(const Store& store);
/// kNotFound, or kInvalidArgument when several begin with `id`.
Result<TokenInfo> RevokeToken(Store& store, std::string_view id, int64_t now_ns, const std::string& actor);

/// Thread-safe.
class Access {
 public:
  /// `wall_ns`: Unix time. The store keeps a secret for sessions when none is given and it can be written to.
  static Result<std::unique_ptr<Access>> Open(Store* store, AccessOptions options, std::function<int64_t()> wall_ns);

  /// 401 for credentials that are wrong, over or missing.
  Answer<Caller> Identify(const Request& request) const;
  /// The same for a token as such ("": none), from the loopback or elsewhere: for Socket.IO's `auth`.
  Answer<Caller> Identify(std::string_view token, bool local) const;
  bool anonymous_on_loopback() const { return options_.anonymous_on_loopback; }
  /// A session token for the admin; 401 otherwise, 404 when no admin is configured.
  Answer<std::string> Login(std::string_view username, std::string_view password) const;
  int64_t session_seconds() const { return options_.session_seconds; }

  /// For a connection that stays open: whether what it was opened with still holds. Of one thread; the Access must outlive it.
  class Watch {
   public:
    Watch(const Access* access, std::string token, bool local, const Caller& caller)
        : access_(access), token_(std::move(token)), local_(local), caller_(caller), generation_(access->generation()) {}
    /// Why it does not, nullopt while it does. Cheap unless tokens may have changed since it was asked before.
    std::optional<std::string> Over();

   private:
    const Access* access_;
    std::string token_;
    bool local_;
    Caller caller_;
    uint64_t generation_;
  };

  /// Changes whenever a token was made or revoked: what was allowed before must be asked again.
  uint64_t generation() const { return store_->records().generation(); }

 private:
  Access(Store* store, AccessOptions options, std::function<int64_t()> wall_ns)
      : store_(store), options_(std::move(options)), wall_ns_(std::move(wall_ns)) {}
  Store* const store_;
  AccessOptions options_;
  const std::function<int64_t()> wall_ns_;
};

/// The token of a request: Authorization, or `?token=`. nullopt: none; 400 and 401 for malformed ones.
Answer<std::optional<std::string>> BearerToken(const Request& request);

}  // namespace zn::server
