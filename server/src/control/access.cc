#include "control/access.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/frames_query.h"
#include "control/audit.h"
#include "control/secrets.h"
#include "http/query.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr std::string_view kTokenPrefix("token\0", 6);
constexpr std::string_view kSecretKey("secret\0session", 14);
constexpr std::string_view kSessionMark = "zs1.";
constexpr size_t kMaxTokens = 10'000;
constexpr size_t kMaxTokenName = 255;

std::string TokenKey(std::string_view token) { return std::string(kTokenPrefix) + Sha256Bytes(token); }

std::string IdOf(std::string_view key) { return ToHex(key.substr(kTokenPrefix.size(), 8)); }

std::optional<TokenInfo> ReadToken(const Record& record) {
  const json value = json::parse(record.value, nullptr, false);
  if (!value.is_object() || record.key.size() != kTokenPrefix.size() + 32) return std::nullopt;
  TokenInfo info;
  info.id = IdOf(record.key);
  info.name = value.value("name", "");
  info.created_ns = value.value("created", int64_t{0});
  info.expires_ns = value.value("expires", int64_t{0});
  auto scopes = ParseScopes(value.value("scopes", ""));
  if (!scopes) return std::nullopt;
  info.scopes = std::move(*scopes);
  return info;
}

Problem Unauthorized(std::string detail) {
  Problem problem(401, "unauthorized", std::move(detail));
  problem.headers = "WWW-Authenticate: Bearer realm=\"zn-server\"\r\n";
  return problem;
}

std::string SessionText(std::string_view secret, std::string_view name, int64_t expires_ns) {
  const std::string payload = ToHex(name) + "." + std::to_string(expires_ns);
  return std::string(kSessionMark) + payload + "." + ToHex(HmacSha256(secret, payload));
}

}  // namespace

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kNone: return "none";
    case Scope::kRead: return "read";
    case Scope::kWrite: return "write";
    case Scope::kLock: return "lock";
    case Scope::kAdmin: return "admin";
  }
  return "none";
}

Result<Scopes> ParseScopes(std::string_view text) {
  Scopes scopes;
  while (!text.empty()) {
    std::string_view part = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    std::string room = "*";
    if (const size_t equals = part.find('='); equals != part.npos) {
      room = part.substr(0, equals);
      part.remove_prefix(equals + 1);
    }
    if (room != "*") ZN_RETURN_IF_ERROR(ValidateRoomName(room));
    uint8_t bits = 0;
    while (!part.empty()) {
      const std::string_view name = part.substr(0, part.find(','));
      part.remove_prefix(std::min(part.size(), name.size() + 1));
      uint8_t bit = 0;
      for (const Scope scope : {Scope::kRead, Scope::kWrite, Scope::kLock, Scope::kAdmin})
        if (name == ScopeName(scope)) bit = static_cast<uint8_t>(scope);
      if (bit == 0)
        return Error{ErrorCode::kInvalidArgument,
                     "'" + std::string(name) + "' is not a scope; scopes are read, write, lock and admin"};
      bits |= bit;
    }
    if (bits == 0) return Error{ErrorCode::kInvalidArgument, "room " + room + " is given no scope"};
    scopes.Grant(std::move(room), bits);
  }
  if (scopes.rooms().empty()) return Error{ErrorCode::kInvalidArgument, "no scopes: a token without any is of no use"};
  return scopes;
}

std::string FormatScopes(const Scopes& scopes) {
  std::string text;
  for (const auto& [room, bits] : scopes.rooms()) {
    if (!text.empty()) text += ';';
    text += room + "=";
    bool first = true;
    for (const Scope scope : {Scope::kRead, Scope::kWrite, Scope::kLock, Scope::kAdmin}) {
      if ((bits & static_cast<uint8_t>(scope)) == 0) continue;
      if (!first) text += ',';
      text += ScopeName(scope);
      first = false;
    }
  }
  return text;
}

Result<std::string> CreateToken(Store& store, const std::string& name, const Scopes& scopes, int64_t expires_ns,
                                int64_t now_ns, const std::string& actor) {
  if (name.empty() || name.size() > kMaxTokenName)
    return Error{ErrorCode::kInvalidArgument, "a token needs a name of 1 to 255 bytes: it is the actor of what it does"};
  if (expires_ns != 0 && expires_ns <= now_ns)
    return Error{ErrorCode::kInvalidArgument, "the token would have expired already"};
  const std::string token = RandomToken();
  const std::string key = TokenKey(token);
  const json value = {{"name", name}, {"scopes", FormatScopes(scopes)}, {"created", now_ns}, {"expires", expires_ns}};
  const auto updated = store.Update([&](RecordTransaction& records) -> Result<> {
    ZN_ASSIGN_OR_RETURN(const auto there, records.ScanPrefix(kTokenPrefix, kMaxTokens));
    if (there.size() >= kMaxTokens) return Error{ErrorCode::kTooLarge, "there are 10,000 tokens; revoke some first"};
    ZN_RETURN_IF_ERROR(records.Put(key, value.dump(-1, ' ', false, json::error_handler_t::replace)));
    return records.AppendAudit("", AuditText({.time_ns = now_ns, .actor = actor, .scope = "token", .target = IdOf(key),
                                              .key = name, .new_value = json(FormatScopes(scopes)).dump()}));
  });
  if (!updated) return updated.error();
  return token;
}

Result<std::vector<TokenInfo>> ListTokens(const Store& store) {
  ZN_ASSIGN_OR_RETURN(const auto records, store.records().ScanPrefix(kTokenPrefix, kMaxTokens));
  std::vector<TokenInfo> tokens;
  for (const Record& record : records)
    if (auto info = ReadToken(record)) tokens.push_back(std::move(*info));
  std::sort(tokens.begin(), tokens.end(),
            [](const TokenInfo& a, const TokenInfo& b) { return a.created_ns < b.created_ns; });
  return tokens;
}

Result<TokenInfo> RevokeToken(Store& store, std::string_view id, int64_t now_ns, const std::string& actor) {
  TokenInfo revoked;
  const auto updated = store.Update([&](RecordTransaction& records) -> Result<> {
    ZN_ASSIGN_OR_RETURN(const auto all, records.ScanPrefix(kTokenPrefix, kMaxTokens));
    const Record* found = nullptr;
    for (const Record& record : all) {
      const auto info = ReadToken(record);
      if (!info || id.empty() || (!info->id.starts_with(id) && info->name != id)) continue;
      if (found)
        return Error{ErrorCode::kInvalidArgument, "several tokens are named '" + std::string(id) + "': give the whole id"};
      found = &record;
      revoked = *info;
    }
    if (!found) return Error{ErrorCode::kNotFound, "there is no token '" + std::string(id) + "'"};
    ZN_RETURN_IF_ERROR(records.Erase(found->key));
    return records.AppendAudit("", AuditText({.time_ns = now_ns, .actor = actor, .scope = "token", .target = revoked.id,
                                              .key = revoked.name, .old_value = json(FormatScopes(revoked.scopes)).dump()}));
  });
  if (!updated) return updated.error();
  return revoked;
}

Result<std::unique_ptr<Access>> Access::Open(Store* store, AccessOptions options, std::function<int64_t()> wall_ns) {
  if (options.admin_username.empty() != options.admin_password.empty())
    return Error{ErrorCode::kInvalidArgument, "an admin needs both a user name and a password"};
  if (options.session_secret.empty() && !options.admin_username.empty()) {
    ZN_ASSIGN_OR_RETURN(const auto kept, store->records().Get(kSecretKey));
    options.session_secret = kept ? *kept : RandomToken();
    if (!kept) {
      const auto put = store->Update([&](RecordTransaction& t) { return t.Put(kSecretKey, options.session_secret); });
      // A store that is only read cannot keep it: sessions then end with this process.
      if (!put && put.error().code != ErrorCode::kReadOnly) return put.error();
    }
  }
  return std::unique_ptr<Access>(new Access(store, std::move(options), std::move(wall_ns)));
}

Answer<std::optional<std::string>> BearerToken(const Request& request) {
  if (const std::string_view* header = request.Find("authorization")) {
    constexpr std::string_view kBearer = "bearer ";
    if (header->size() <= kBearer.size() || !EqualsIgnoreCase(header->substr(0, kBearer.size()), kBearer))
      return Unauthorized("Authorization takes 'Bearer' and a token");
    return std::optional<std::string>(Trim(header->substr(kBearer.size())));
  }
  // Looked for only where the word stands: most queries have none.
  if (request.query.find("token=") == std::string_view::npos && request.query.find('%') == std::string_view::npos)
    return std::optional<std::string>();
  const auto parameters = ParseQuery(request.query);
  if (!parameters) return BadRequest("malformed percent-encoding in the query");
  return TakeParameter(*parameters, "token");
}

Answer<Caller> Access::Identify(const Request& request) const {
  ZN_ASSIGN_OR_RETURN(const auto token, BearerToken(request));
  return Identify(token ? *token : std::string(), IsLocal(request));
}

Answer<Caller> Access::Identify(std::string_view token, bool local) const {
  Caller caller;
  if (token.empty()) {
    if (!local || !options_.anonymous_on_loopback)
      return Unauthorized("a token is needed here: send 'Authorization: Bearer ...' (zn-server token create makes one)");
    caller.name = "anonymous";
    caller.anonymous = true;
    caller.token_id = "anonymous";
    caller.scopes.Grant("*", static_cast<uint8_t>(Scope::kRead) | static_cast<uint8_t>(Scope::kWrite) |
                                 static_cast<uint8_t>(Scope::kLock));
    return caller;
  }
  Problem refused = Unauthorized("the token is unknown, was revoked or has expired");
  if (token.starts_with(kSessionMark)) {
    if (options_.admin_username.empty()) return refused;
    const std::string_view body = token.substr(kSessionMark.size());
    const size_t first = body.find('.'), second = body.rfind('.');
    if (first == body.npos || second == first) return refused;
    const std::string_view payload = body.substr(0, second), time = body.substr(first + 1, second - first - 1);
    int64_t expires_ns = 0;
    const auto parsed = std::from_chars(time.data(), time.data() + time.size(), expires_ns);
    if (parsed.ptr != time.data() + time.size() || parsed.ec != std::errc()) return refused;
    const std::string expected = SessionText(options_.session_secret, options_.admin_username, expires_ns);
    if (!EqualInConstantTime(expected, token) || expires_ns <= wall_ns_() || payload.empty()) return refused;
    caller.name = options_.admin_username;
    caller.token_id = "session:" + caller.name;
    caller.expires_ns = expires_ns;
    caller.scopes.Grant("*", Scopes::kAll);
    return caller;
  }
  // Found by its hash: how long that takes tells nothing about tokens there are.
  const std::string key = TokenKey(token);
  ZN_ASSIGN_OR_RETURN(auto value, store_->records().Get(key));
  const auto info = value ? ReadToken({key, std::move(*value)}) : std::nullopt;
  if (!info || (info->expires_ns != 0 && info->expires_ns <= wall_ns_())) return refused;
  caller.name = info->name;
  caller.token_id = info->id;
  caller.expires_ns = info->expires_ns;
  caller.scopes = info->scopes;
  return caller;
}

std::optional<std::string> Access::Watch::Over() {
  if (caller_.anonymous) return std::nullopt;  // as long as the process
  if (caller_.expires_ns != 0 && caller_.expires_ns <= access_->wall_ns_()) return "the token has expired";
  // Taken before the look: what changes meanwhile is looked at the next time.
  const uint64_t generation = access_->generation();
  if (generation == generation_) return std::nullopt;
  if (auto again = access_->Identify(token_, local_); !again) return "the token was revoked";
  generation_ = generation;
  return std::nullopt;
}

Answer<std::string> Access::Login(std::string_view username, std::string_view password) const {
  if (options_.admin_username.empty())
    return NotFound("nobody can log in: the server has no ZNDRAW_ADMIN_USERNAME and ZNDRAW_ADMIN_PASSWORD");
  // Hashes first, so that neither a difference nor the length shows in the time it takes.
  const bool name_fits = EqualInConstantTime(Sha256Bytes(username), Sha256Bytes(options_.admin_username));
  const bool password_fits = EqualInConstantTime(Sha256Bytes(password), Sha256Bytes(options_.admin_password));
  if (!(name_fits & password_fits)) return Unauthorized("wrong user name or password");
  return SessionText(options_.session_secret, options_.admin_username,
                     wall_ns_() + options_.session_seconds * 1'000'000'000);
}

}  // namespace zn::server
