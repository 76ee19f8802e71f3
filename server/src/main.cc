// zn-server: options, start, stop. What it serves is in api/, how in http/.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "api/router.h"
#include "api/service.h"
#include "http/asio.h"
#include "http/server.h"
#include "log.h"
#include "zn/engine/store.h"

namespace {

using zn::server::LogField;
using zn::server::LogLine;

constexpr char kExamples[] = R"(
Examples:
  zn-server --store trajectories
      serves the store on http://127.0.0.1:5000
  curl 'http://127.0.0.1:5000/api/rooms'
  curl -o last.npy 'http://127.0.0.1:5000/api/rooms/md/frames/-1?data=positions&format=npy'
  zn-server --store /data/zn --port 8080 --read-only --cache-gib 16
  zn-server --store /data/zn --address 0.0.0.0 --insecure-bind --allow-host zn.example.org
      plain HTTP for everyone who can reach the port: put a TLS proxy in front

Environment: ZNDRAW_STORAGE_PATH stands in for --store; a flag wins.
Exit status: 0 stopped by SIGTERM or SIGINT, 1 could not start, 2 wrong arguments.
)";

struct Options {
  std::string store;
  bool read_only = false;
  bool insecure_bind = false;
  bool access_log = false;
  double max_reply_mib = 1024;
  double cache_gib = 4;
  zn::server::HttpOptions http;
  zn::server::ApiOptions api;
};

int Fail(int status, std::string_view message) {
  LogLine(spdlog::level::err, "cannot start", {{"error", message}});
  return status;
}

bool IsLoopback(const std::string& address) {
  zn::server::SystemError error;
  auto ip = zn::server::net::ip::make_address(address, error);
  return !error && ip.is_loopback();
}

// The store: its own, so that nobody else writes to it, or with --read-only as a reader beside whoever does.
zn::Result<std::unique_ptr<zn::Store>> OpenStore(const Options& options) {
  zn::StoreOptions store_options;
  store_options.read_only = options.read_only;
  store_options.cache.max_bytes = static_cast<int64_t>(options.cache_gib * (1 << 30));
  return zn::Store::Open(options.store, store_options);
}

int Serve(Options options) {
  auto store = OpenStore(options);
  if (!store) {
    std::string message = options.store + ": " + store.error().message;
    if (store.error().code == zn::ErrorCode::kNotFound) message += " (zn-import makes a store)";
    if (store.error().code == zn::ErrorCode::kBusy) message += "; --read-only serves it beside that process";
    return Fail(1, message);
  }

  // Blocked in every thread from here on: one place waits for them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  zn::server::Service service;
  service.store = store->get();
  service.options = options.api;
  zn::server::ApiHandler handler(&service);
  auto server = zn::server::HttpServer::Start(options.http, &handler);
  if (!server) return Fail(1, server.error().message);
  service.http_stats = [&server] { return (*server)->stats(); };
  LogLine(spdlog::level::info, "serving",
          {{"url", "http://" + options.http.address + ":" + std::to_string((*server)->port())},
           {"store", options.store},
           {"rooms", std::to_string((*store)->stats().rooms)}});

  // What another process commits is taken in here (nothing, while the store is ours).
  constexpr timespec kRefresh{0, 20'000'000};
  bool refresh_failed = false;
  int signal = -1;
  while ((signal = sigtimedwait(&signals, nullptr, &kRefresh)) < 0) {
    auto refreshed = (*store)->Refresh();
    if (!refreshed && !refresh_failed)
      LogLine(spdlog::level::err, "cannot follow the store",
              {{"error", refreshed.error().message}});
    refresh_failed = !refreshed;
  }
  LogLine(spdlog::level::info, "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  service.stopping = true;
  (*server)->Stop();
  service.http_stats = nullptr;
  server->reset();
  store->reset();
  LogLine(spdlog::level::info, "stopped", {});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("zn-server"));
  spdlog::set_pattern("%v");

  Options options;
  CLI::App app{"Serves the trajectories of a ZnStore over HTTP."};
  app.footer(kExamples);
  app.set_version_flag("--version", ZN_VERSION);
  app.option_defaults()->always_capture_default();
  app.add_option("--store", options.store, "Directory of the store")
      ->envname("ZNDRAW_STORAGE_PATH");
  app.add_option("--port", options.http.port, "TCP port; 0 takes a free one and logs it");
  app.add_option("--address", options.http.address, "IP address to listen on");
  app.add_flag("--insecure-bind", options.insecure_bind,
               "Allow an --address that is not loopback: plain HTTP, no login");
  app.add_flag("--read-only", options.read_only, "Take no lock, refuse every write, and serve what another process (zn-import) commits as it does");
  app.add_option("--allow-host", options.api.allowed_hosts,
                 "A further name that requests may have in Host (repeatable)");
  app.add_option("--allow-origin", options.api.allowed_origins,
                 "An origin whose pages may use this server, as https://example.org (repeatable)");
  app.add_option("--threads", options.http.io_threads,
                 "Threads that serve connections; 0: one a core");
  app.add_option("--max-reply", options.max_reply_mib, "Largest reply in MiB")
      ->check(CLI::Range(1.0, 1048576.0));
  app.add_option("--max-body", options.http.max_body, "Largest request body in bytes");
  app.add_option("--max-connections", options.http.max_connections, "Connections at a time")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--idle-timeout", options.http.idle_seconds,
                 "Seconds between requests of a connection")
      ->check(CLI::Range(1, 86400));
  app.add_option("--header-timeout", options.http.header_seconds,
                 "Seconds that a request's head may take")
      ->check(CLI::Range(1, 86400));
  app.add_option("--write-timeout", options.http.write_seconds,
                 "Seconds without a client reading its reply")
      ->check(CLI::Range(1, 86400));
  app.add_option("--stop-timeout", options.http.stop_seconds,
                 "Seconds for replies in flight when stopping")
      ->check(CLI::Range(0, 3600));
  app.add_option("--cache-gib", options.cache_gib, "GiB of decoded chunks kept on disk")
      ->check(CLI::Range(0.0, 1048576.0));
  app.add_flag("--access-log", options.access_log, "Log every request");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : 2;
  }
  if (options.store.empty())
    return Fail(2, "name the store: --store DIR, or ZNDRAW_STORAGE_PATH in the environment");
  if (std::getenv("ZNDRAW_REDIS_URL"))
    return Fail(
        1, "ZNDRAW_REDIS_URL is set, but control state in Redis is not supported yet: unset it");
  if (!IsLoopback(options.http.address) && !options.insecure_bind)
    return Fail(2, options.http.address +
                       " is not a loopback address: plain HTTP there needs --insecure-bind");
  options.api.read_only = options.read_only;
  options.api.max_reply = static_cast<int64_t>(options.max_reply_mib * (1 << 20));
  if (options.access_log) options.http.access_log = zn::server::LogAccess;
  return Serve(std::move(options));
}
