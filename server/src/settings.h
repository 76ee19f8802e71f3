// The settings of zn-server. Each has a flag (--max-reply), a variable of the environment
// (ZNDRAW_MAX_REPLY, or the name that --help gives) and a line in the file that --config names
// (max-reply = 512). A flag wins over the environment, that over the file, the file over the
// default.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>

#include "api/service.h"
#include "control/access.h"
#include "events/hub.h"
#include "http/server.h"
#include "socketio/servers.h"

namespace zn::server {

/// As written; Finish turns them into what the parts of the server take.
struct Settings {
  std::string store, config;
  bool create = false, read_only = false, insecure_bind = false, access_log = false,
       no_anonymous = false;
  bool print_config = false;
  double max_reply_mib = 1024;
  int64_t max_upload_mib = 500, import_memory_mib = 4096, body_memory_mib = 256;
  double cache_gib = 4;
  int64_t collect_rate = 32 << 20, reserve = 64 << 20;  // bytes a second; bytes
  double collect_every_s = 600;
  std::string keep = "all";  // as ParseRetention takes it
  int64_t cache_maps = zn::CacheOptions().max_maps;
  std::optional<double> rate_limit, rate_burst;
  std::string tls_certificate, tls_key;  // PEM files; both or neither
  std::string admin_password_file, session_secret_file;

  HttpOptions http;
  ApiOptions api;
  HubOptions hub;
  SocketOptions sockets;
  AccessOptions access;
  RateLimit rate;
};

/// Adds the options to `app`; `settings` must stay where it is while they are parsed.
void AddSettings(CLI::App& app, Settings& settings);

/// Where each setting that is not the default comes from: "flag", "ZNDRAW_PORT", "zn.toml:3". By
/// flag name without dashes.
using SettingSources = std::map<std::string, std::string>;

/// After `app` has parsed the arguments and the environment: takes the rest from the file, if there
/// is one, and checks what is told by several settings together. kInvalidArgument names the flag,
/// the variable, or file and line.
Result<SettingSources> CompleteSettings(CLI::App& app, int argc, const char* const* argv,
                                        Settings& settings);

/// Every setting with its value as a file for --config, and where it comes from. Secrets are not
/// settings and not in it.
std::string PrintSettings(const CLI::App& app, const SettingSources& sources);

}  // namespace zn::server
