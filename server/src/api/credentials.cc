#include "api/credentials.h"

#include <algorithm>

#include "api/body_json.h"
#include "api/frames_query.h"
#include "api/paging.h"

namespace zn::server {
namespace {

using nlohmann::json;

json TokenJson(const TokenInfo& token) {
  return {{"id", token.id},
          {"name", token.name},
          {"scopes", FormatScopes(token.scopes)},
          {"created", TimeText(token.created_ns)},
          {"expires", token.expires_ns == 0 ? json(nullptr) : json(TimeText(token.expires_ns))}};
}

Reply Secret(const json& body, int status) {
  Reply reply = Reply::Json(Dump(body), status);
  reply.headers = "Cache-Control: no-store\r\n";
  return reply;
}

}  // namespace

Answer<Reply> PostLogin(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const json body, BodyObject(call, {"username", "password"}));
  ZN_ASSIGN_OR_RETURN(const auto username, TextMember(body, "username"));
  ZN_ASSIGN_OR_RETURN(const auto password, TextMember(body, "password"));
  if (!username || !password) return BadRequest("username and password are needed");
  if (!call.service.access) return Problem(503, "unavailable", "the server is starting");
  const int64_t now_ms = call.service.clock.steady_ms();
  if (auto refused = call.service.limits.RefuseLogin(call.request().peer, now_ms)) return std::move(*refused);
  const auto token = call.service.access->Login(*username, *password);
  if (!token) {
    if (token.error().status == 401) call.service.limits.LoginFailed(call.request().peer, now_ms);
    return token.error();
  }
  return Secret({{"token", *token}, {"token_type", "Bearer"}, {"expires_in", call.service.access->session_seconds()}}, 200);
}

Answer<Reply> ListAllTokens(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const std::vector<Parameter> parameters, Parameters(call.request()));
  ZN_RETURN_IF_ERROR(RefuseUnknown(parameters, {"limit", "after", "token"}));
  ZN_ASSIGN_OR_RETURN(const Page page, ParsePage(parameters));
  ZN_ASSIGN_OR_RETURN(const auto tokens, ListTokens(*call.service.store));  // oldest first
  auto token = tokens.begin();
  if (!page.after.empty()) {
    token = std::find_if(token, tokens.end(), [&](const TokenInfo& each) { return each.id == page.after; });
    if (token == tokens.end()) return BadRequest("after: there is no token '" + page.after + "' any more: begin again");
    ++token;
  }
  json list = json::array();
  for (; token != tokens.end() && list.size() < page.limit; ++token) list.push_back(TokenJson(*token));
  Reply reply = Secret(list, 200);
  if (token != tokens.end()) reply.headers += NextLink(call.request(), parameters, std::prev(token)->id);
  return reply;
}

Answer<Reply> PostToken(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const json body, BodyObject(call, {"name", "scopes", "expires_in"}));
  ZN_ASSIGN_OR_RETURN(const auto name, TextMember(body, "name"));
  ZN_ASSIGN_OR_RETURN(const auto scopes_text, TextMember(body, "scopes"));
  ZN_ASSIGN_OR_RETURN(const auto seconds, IntegerMember(body, "expires_in"));
  if (seconds && (*seconds <= 0 || *seconds > kMaxTokenSeconds))
    return BadRequest("expires_in: a token lasts 1 second to 100 years");
  ZN_ASSIGN_OR_RETURN(const Scopes scopes, ParseScopes(scopes_text.value_or("")));
  const int64_t now_ns = call.service.clock.wall_ns();
  ZN_ASSIGN_OR_RETURN(const std::string token,
                      CreateToken(*call.service.store, name.value_or(""), scopes,
                                  seconds ? now_ns + *seconds * 1'000'000'000 : 0, now_ns, call.caller.name));
  return Secret({{"token", token}, {"name", *name}, {"scopes", FormatScopes(scopes)}}, 201);
}

Answer<Reply> DeleteToken(const Call& call) {
  ZN_ASSIGN_OR_RETURN(const TokenInfo revoked, RevokeToken(*call.service.store, call.Argument("id"),
                                                           call.service.clock.wall_ns(), call.caller.name));
  return Secret(TokenJson(revoked), 200);
}

}  // namespace zn::server
