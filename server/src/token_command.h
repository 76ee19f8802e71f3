// `zn-server token create|list|revoke`: tokens of a store that no server holds.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

namespace zn::server {

struct TokenCommand {
  std::string store;
  std::string name, scopes = "read", id;
  double days = 0;  // 0: never ends
  CLI::App* command = nullptr;
  CLI::App* create = nullptr;
  CLI::App* list = nullptr;
  CLI::App* revoke = nullptr;

  /// Adds the subcommand and its options; `this` must stay where it is while they are parsed.
  void AddTo(CLI::App& app);
  /// The exit status. REQUIRES: `command` was parsed.
  int Run() const;
};

}  // namespace zn::server
