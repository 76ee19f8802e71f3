// zn-server: options, start, stop. What it serves is in api/, how in http/.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "api/jobs.h"
#include "api/router.h"
#include "api/service.h"
#include "events/control_events.h"
#include "events/room_changes.h"
#include "http/asio.h"
#include "http/server.h"
#include "log.h"
#include "token_command.h"
#include "socketio/servers.h"
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
  zn-server token create --store /data/zn --name ann --scopes read,write,lock --days 365
      prints a token for 'Authorization: Bearer ...'
  zn-server --store /data/zn --address 0.0.0.0 --allow-host zn.example.org --tls-cert zn.pem --tls-key zn.key
      HTTPS for everyone who can reach the port

Environment: ZNDRAW_STORAGE_PATH stands in for --store; a flag wins.
Exit status: 0 stopped by SIGTERM or SIGINT, 1 could not start, 2 wrong arguments.
)";

struct Options {
  std::string store;
  bool create = false;
  bool read_only = false;
  bool insecure_bind = false;
  bool access_log = false;
  double max_reply_mib = 1024;
  int64_t max_upload_mib = 500, import_memory_mib = 4096;
  double cache_gib = 4;
  int64_t cache_maps = zn::CacheOptions().max_maps;
  zn::server::HttpOptions http;
  zn::server::ApiOptions api;
  zn::server::HubOptions hub;
  zn::server::SocketOptions sockets;
  zn::server::AccessOptions access;
  std::string tls_certificate, tls_key;  // PEM files; both or neither
};

// A connection is a descriptor: take as many as the system grants.
void RaiseFileLimit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

// The one given, or the one that lies beside this program; "" when there is none.
std::string FindImporter(const std::string& given) {
  if (!given.empty()) return given;
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "zn-import";
  return !error && std::filesystem::exists(beside, error) ? beside.string() : "";
}

// Jobs are seen by who follows their room. Only their states change the queue; progress is volatile.
void TellOfJob(zn::server::Service& service, const zn::server::Job& job, bool progress) {
  const auto text = [](std::string_view value) { return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); };
  service.events->PublishVolatile(job.room, "job:progress", "{\"id\":" + text(job.id) + ",\"percent\":" +
                                                                std::to_string(static_cast<int>(job.percent)) +
                                                                ",\"message\":" + text(job.message) + "}");
  if (progress) return;
  const nlohmann::json state = nlohmann::json::parse(zn::server::JobJson(job), nullptr, false).value("state", "");
  service.events->Publish(job.room, "queue:update", "{\"id\":" + text(job.id) + ",\"state\":" + state.dump() +
                                                        ",\"position\":" + std::to_string(job.position) + "}");
}

int Fail(int status, std::string_view message) {
  LogLine(spdlog::level::err, "cannot start", {{"error", message}});
  return status;
}

bool IsLoopback(const std::string& address) {
  zn::server::SystemError error;
  auto ip = zn::server::net::ip::make_address(address, error);
  return !error && ip.is_loopback();
}

// SIGHUP: new connections have the certificate that the files hold now.
void ReloadTls(zn::server::TlsContext& tls) {
  if (auto reloaded = tls.Reload(); !reloaded) {
    LogLine(spdlog::level::err, "the new certificate is not used, the one before it stays",
            {{"error", reloaded.error().message}, {"expires", tls.expires()}});
    return;
  }
  LogLine(spdlog::level::info, "certificate reloaded", {{"expires", tls.expires()}});
}

// The store: its own, so that nobody else writes to it, or with --read-only as a reader beside whoever does.
zn::Result<std::unique_ptr<zn::Store>> OpenStore(const Options& options) {
  zn::StoreOptions store_options;
  store_options.read_only = options.read_only;
  store_options.create = options.create;
  store_options.cache.max_bytes = static_cast<int64_t>(options.cache_gib * (1 << 30));
  store_options.cache.max_maps = options.cache_maps;
  return zn::Store::Open(options.store, store_options);
}

int Serve(Options options) {
  if (!options.tls_certificate.empty()) {
    auto tls = zn::server::TlsContext::Load(options.tls_certificate, options.tls_key);
    if (!tls) return Fail(1, tls.error().message);
    options.http.tls = std::move(*tls);
  }
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
  if (options.http.tls) sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  RaiseFileLimit();

  zn::server::Service service;
  service.store = store->get();
  service.options = options.api;
  // A writer's start has an epoch of its own; who only follows takes the time instead.
  zn::server::HubOptions hub = options.hub;
  hub.epoch = options.read_only ? static_cast<uint64_t>(std::time(nullptr)) * 1000 : (*store)->epoch();
  hub.max_replay = options.api.follow.max_unsent / 2;
  service.events = std::make_unique<zn::server::EventHub>(hub);
  service.listeners.push_back([&service](const zn::RoomChange& change) {
    zn::server::PublishRoomChange(service.events.get(), change);
  });
  if (auto started = service.Start(options.access); !started) return Fail(1, started.error().message);
  auto control_events = std::make_unique<zn::server::ControlEvents>(&service);
  service.control->SetListener(control_events->Listener());
  service.state->SetListener(control_events->StateListener());
  service.options.import_program = FindImporter(options.api.import_program);
  if (!options.read_only)
    service.jobs = std::make_unique<zn::server::Jobs>(store->get(), [&service](const zn::server::Job& job, bool progress) {
      TellOfJob(service, job, progress);
    });
  zn::server::ApiHandler handler(&service);
  service.sockets = std::make_unique<zn::server::SocketServers>(&service, &handler, options.sockets);
  auto server = zn::server::HttpServer::Start(options.http, &handler);
  if (!server) return Fail(1, server.error().message);
  service.http_stats = [&server] { return (*server)->stats(); };
  LogLine(spdlog::level::info, "serving",
          {{"url", (options.http.tls ? "https://" : "http://") + options.http.address + ":" + std::to_string((*server)->port())},
           {"store", options.store},
           {"rooms", std::to_string((*store)->stats().rooms)}});

  // What another process commits is taken in here (nothing, while the store is ours).
  constexpr timespec kRefresh{0, 20'000'000};
  bool refresh_failed = false;
  int signal = -1;
  while ((signal = sigtimedwait(&signals, nullptr, &kRefresh)) < 0 || signal == SIGHUP) {
    if (signal == SIGHUP) ReloadTls(*options.http.tls);
    auto refreshed = (*store)->Refresh();
    if (!refreshed && !refresh_failed)
      LogLine(spdlog::level::err, "cannot follow the store",
              {{"error", refreshed.error().message}});
    refresh_failed = !refreshed;
    service.Tick();
  }
  LogLine(spdlog::level::info, "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  service.stopping = true;
  (*server)->Stop();
  service.jobs.reset();
  service.events->Close();
  service.http_stats = nullptr;
  server->reset();
  control_events.reset();
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
  app.add_flag("--create", options.create, "Make the store when there is none");
  app.add_option("--port", options.http.port, "TCP port; 0 takes a free one and logs it");
  app.add_option("--address", options.http.address, "IP address to listen on");
  app.add_flag("--insecure-bind", options.insecure_bind,
               "Allow plain HTTP on an --address that is not loopback");
  app.add_option("--tls-cert", options.tls_certificate,
                 "PEM file of the certificate and those that signed it: HTTPS instead of HTTP; read again on SIGHUP");
  app.add_option("--tls-key", options.tls_key, "PEM file of its key, without a passphrase");
  app.add_flag("--read-only", options.read_only, "Take no lock, refuse every write, and serve what another process (zn-import) commits as it does");
  app.add_option("--allow-host", options.api.allowed_hosts,
                 "A further name that requests may have in Host (repeatable)");
  app.add_option("--allow-origin", options.api.allowed_origins,
                 "An origin whose pages may use this server, as https://example.org (repeatable)");
  app.add_option("--threads", options.http.io_threads,
                 "Threads that serve connections; 0: one a core");
  app.add_option("--max-reply", options.max_reply_mib, "Largest reply in MiB")
      ->check(CLI::Range(1.0, 1048576.0));
  app.add_option("--max-body", options.http.max_body, "Largest body of frames in bytes");
  app.add_option("--max-upload", options.max_upload_mib, "Largest file to import in MiB")
      ->envname("ZNDRAW_MAX_UPLOAD_MB")
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--upload-temp", options.http.spool_folder, "Folder for bodies and uploads while they are read")
      ->envname("ZNDRAW_UPLOAD_TEMP")
      ->check(CLI::ExistingDirectory);
  app.add_option("--import-program", options.api.import_program, "zn-import, if it does not lie beside this program");
  app.add_option("--import-memory", options.import_memory_mib, "MiB of address space of an import's reader")
      ->check(CLI::Range(256, 1 << 24));
  app.add_option("--import-seconds", options.api.import_seconds, "Seconds of processor time of an import's reader")
      ->check(CLI::Range(1, 1 << 24));
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
  app.add_option("--cache-maps", options.cache_maps, "Decoded chunks mapped at a time")
      ->check(CLI::PositiveNumber);
  app.add_option("--events-kept", options.hub.events_per_topic,
                 "Events of a room that a client can catch up on")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--events-memory", options.hub.max_bytes, "Bytes of events kept, of all rooms")
      ->check(CLI::Range(1 << 16, 1 << 30));
  app.add_option("--max-unsent", options.api.follow.max_unsent,
                 "Bytes that may wait for a client that follows events before it is dropped")
      ->check(CLI::Range(1 << 10, 1 << 30));
  app.add_option("--event-heartbeat", options.api.follow.heartbeat_ms,
                 "Milliseconds between the comments of an idle event stream")
      ->check(CLI::Range(100, 3600000));
  app.add_flag("--conformance", options.sockets.conformance,
               "For the public protocol test suites: Engine.IO echoes at /engine.io/, Socket.IO at "
               "/socket.io/, short timeouts; port 3000 unless --port is given");
  app.add_flag("--access-log", options.access_log, "Log every request");
  app.add_option("--admin-username", options.access.admin_username, "User name of the admin, for /api/login")
      ->envname("ZNDRAW_ADMIN_USERNAME");
  app.add_option("--admin-password", options.access.admin_password, "Password of the admin; better in the environment")
      ->envname("ZNDRAW_ADMIN_PASSWORD");
  app.add_option("--session-secret", options.access.session_secret,
                 "What session tokens are signed with; when absent, the store keeps a random one")
      ->envname("FLASK_SECRET_KEY");
  app.add_flag("!--no-anonymous", options.access.anonymous_on_loopback,
               "Ask everybody for a token, also on this machine");
  zn::server::TokenCommand tokens;
  tokens.AddTo(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : 2;
  }
  if (tokens.command->parsed()) return tokens.Run();
  if (options.store.empty())
    return Fail(2, "name the store: --store DIR, or ZNDRAW_STORAGE_PATH in the environment");
  if (std::getenv("ZNDRAW_REDIS_URL"))
    return Fail(
        1, "ZNDRAW_REDIS_URL is set, but control state in Redis is not supported yet: unset it");
  if (options.tls_certificate.empty() != options.tls_key.empty())
    return Fail(2, "--tls-cert and --tls-key go together");
  if (!IsLoopback(options.http.address) && !options.insecure_bind && options.tls_certificate.empty())
    return Fail(2, options.http.address + " is not a loopback address: give --tls-cert and --tls-key, or --insecure-bind for plain HTTP");
  options.api.read_only = options.read_only;
  options.api.max_upload = static_cast<uint64_t>(options.max_upload_mib) << 20;
  options.api.upload_folder = options.http.spool_folder;
  options.api.import_memory = options.import_memory_mib << 20;
  options.api.max_reply = static_cast<int64_t>(options.max_reply_mib * (1 << 20));
  if (options.sockets.conformance && app.count("--port") == 0) options.http.port = 3000;
  if (options.access_log) options.http.access_log = zn::server::LogAccess;
  return Serve(std::move(options));
}
