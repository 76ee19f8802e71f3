#include "token_command.h"

#include <cstdio>

#include "api/service.h"
#include "control/access.h"
#include "zn/engine/store.h"

namespace zn::server {
namespace {

int Fail(const std::string& message) {
  std::fprintf(stderr, "zn-server token: %s\n", message.c_str());
  return 1;
}

void Print(const TokenInfo& token) {
  std::printf("%s  %-20s  %-30s  %s\n", token.id.c_str(), token.name.c_str(), FormatScopes(token.scopes).c_str(),
              token.expires_ns == 0 ? "does not end" : ("ends " + TimeText(token.expires_ns)).c_str());
}

}  // namespace

void TokenCommand::AddTo(CLI::App& app) {
  command = app.add_subcommand("token", "Makes, lists and revokes access tokens");
  command->require_subcommand(1);
  const auto with_store = [&](CLI::App* sub) {
    sub->add_option("--store", store, "Directory of the store")->envname("ZNDRAW_STORAGE_PATH")->required();
    return sub;
  };
  create = with_store(command->add_subcommand("create", "Makes a token and prints it: it is shown this once"));
  create->add_option("--name", name, "Who has it: the actor of what it does")->required();
  create->add_option("--scopes", scopes, "read, write, lock, admin; for every room, or as 'room=read,write;other=read'");
  create->add_option("--days", days, "Days until it ends; 0: never")->check(CLI::Range(0.0, 36500.0));
  list = with_store(command->add_subcommand("list", "Lists tokens: id, name, scopes, end"));
  revoke = with_store(command->add_subcommand("revoke", "Makes a token worthless"));
  revoke->add_option("id", id, "Its id (or the start of it), or its name")->required();
}

int TokenCommand::Run() const {
  StoreOptions options;
  options.read_only = list->parsed();
  options.background_maintenance = false;
  auto opened = Store::Open(store, options);
  if (!opened) {
    if (opened.error().code != ErrorCode::kBusy) return Fail(opened.error().message);
    return Fail("a server holds the store " + store +
                ": ask it, as its admin: POST /api/tokens with {\"name\", \"scopes\", \"expires_in\"}, "
                "DELETE /api/tokens/<id>; or stop it first");
  }
  Store& s = **opened;
  const int64_t now_ns = ControlClock::System().wall_ns();
  if (create->parsed()) {
    const auto parsed = ParseScopes(scopes);
    if (!parsed) return Fail(parsed.error().message);
    const int64_t ends = days > 0 ? now_ns + static_cast<int64_t>(days * 86400e9) : 0;
    const auto token = CreateToken(s, name, *parsed, ends, now_ns, "zn-server token");
    if (!token) return Fail(token.error().message);
    std::printf("%s\n", token->c_str());
    return 0;
  }
  if (list->parsed()) {
    const auto tokens = ListTokens(s);
    if (!tokens) return Fail(tokens.error().message);
    for (const TokenInfo& token : *tokens) Print(token);
    return 0;
  }
  const auto revoked = RevokeToken(s, id, now_ns, "zn-server token");
  if (!revoked) return Fail(revoked.error().message);
  Print(*revoked);
  return 0;
}

}  // namespace zn::server
