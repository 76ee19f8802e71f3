// Who asks, and what they may.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace zn::server {

/// What a route needs. A bit each; kAdmin includes all others.
enum class Scope : uint8_t { kNone = 0, kRead = 1, kWrite = 2, kLock = 4, kAdmin = 8 };
std::string_view ScopeName(Scope scope);

/// Scopes by room; "*" stands for every room and for what concerns none.
class Scopes {
 public:
  static constexpr uint8_t kAll = 15;
  void Grant(std::string room, uint8_t bits) { rooms_[std::move(room)] |= bits; }
  bool Allow(Scope scope, std::string_view room) const {
    return scope == Scope::kNone || Bits("*", scope) || (!room.empty() && Bits(room, scope));
  }
  /// In any room at all: for lists, which then leave out the others.
  bool AllowSomewhere(Scope scope) const {
    for (const auto& [room, bits] : rooms_)
      if (Has(bits, scope)) return true;
    return scope == Scope::kNone;
  }
  const std::map<std::string, uint8_t, std::less<>>& rooms() const { return rooms_; }

 private:
  static bool Has(uint8_t bits, Scope scope) {
    return (bits & (static_cast<uint8_t>(scope) | static_cast<uint8_t>(Scope::kAdmin))) != 0;
  }
  bool Bits(std::string_view room, Scope scope) const {
    const auto at = rooms_.find(room);
    return at != rooms_.end() && Has(at->second, scope);
  }
  std::map<std::string, uint8_t, std::less<>> rooms_;
};

struct Caller {
  std::string name;        // the actor in commits, locks and the audit log
  bool anonymous = false;  // no token: on loopback only
  Scopes scopes;
  /// Names the credentials, for what is kept per token (idempotency, rate limits): never the token itself.
  std::string token_id;
  int64_t expires_ns = 0;  // Unix time; 0: never

  bool May(Scope scope, std::string_view room) const { return scopes.Allow(scope, room); }
  /// Of everything, or of this room.
  bool IsAdmin(std::string_view room = {}) const { return scopes.Allow(Scope::kAdmin, room); }
};

}  // namespace zn::server
