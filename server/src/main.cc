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
#include "http/server.h"
#include "log.h"
#include "settings.h"
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

Every setting is also a variable of the environment (its name stands behind the flag) and a line of --config's file; a flag
wins over the environment, that over the file. Secrets are only in the environment or in files of their own.
Exit status: 0 stopped by SIGTERM or SIGINT, 1 could not start, 2 wrong arguments.
)";

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

// SIGHUP: new connections have the certificate that the files hold now. Nothing else is kept from files: tokens are looked
// up in the store by each request, and the log is standard error.
void Reload(zn::server::TlsContext* tls) {
  if (!tls) {
    LogLine(spdlog::level::info, "SIGHUP: there is nothing to reload", {});
    return;
  }
  if (auto reloaded = tls->Reload(); !reloaded) {
    LogLine(spdlog::level::err, "the new certificate is not used, the one before it stays",
            {{"error", reloaded.error().message}, {"expires", tls->expires()}});
    return;
  }
  LogLine(spdlog::level::info, "certificate reloaded", {{"expires", tls->expires()}});
}

// The store: its own, so that nobody else writes to it, or with --read-only as a reader beside whoever does.
zn::Result<std::unique_ptr<zn::Store>> OpenStore(const zn::server::Settings& options) {
  zn::StoreOptions store_options;
  store_options.read_only = options.read_only;
  store_options.create = options.create;
  store_options.cache.max_bytes = static_cast<int64_t>(options.cache_gib * (1 << 30));
  store_options.cache.max_maps = options.cache_maps;
  store_options.reserve_bytes = options.reserve;
  store_options.collection.bytes_per_second = options.collect_rate;
  store_options.collection.every = std::chrono::milliseconds(static_cast<int64_t>(options.collect_every_s * 1000));
  ZN_ASSIGN_OR_RETURN(store_options.default_retention, zn::ParseRetention(options.keep));
  return zn::Store::Open(options.store, store_options);
}

int Serve(zn::server::Settings options) {
  if (!options.tls_certificate.empty()) {
    auto tls = zn::server::TlsContext::Load(options.tls_certificate, options.tls_key);
    if (!tls) return Fail(1, tls.error().message);
    options.http.tls = std::move(*tls);
  }
  // Blocked in every thread from here on, the store's too: one place waits for them, and a thread that
  // took one would end the process without a word.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  auto store = OpenStore(options);
  if (!store) {
    std::string message = options.store + ": " + store.error().message;
    if (store.error().code == zn::ErrorCode::kNotFound) message += " (zn-import makes a store)";
    if (store.error().code == zn::ErrorCode::kReadOnly) message += "; --read-only serves it";
    if (store.error().code == zn::ErrorCode::kBusy) message += "; --read-only serves it beside that process";
    return Fail(1, message);
  }
  RaiseFileLimit();

  zn::server::Service service(options.rate);
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
    if (signal == SIGHUP) Reload(options.http.tls.get());
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
  if (!options.read_only) (void)service.lock_audit.Flush(**store, 0, true);
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

  zn::server::Settings settings;
  CLI::App app{"Serves the trajectories of a ZnStore over HTTP."};
  app.footer(kExamples);
  app.set_version_flag("--version", ZN_VERSION);
  app.option_defaults()->always_capture_default();
  zn::server::AddSettings(app, settings);
  zn::server::TokenCommand tokens;
  tokens.AddTo(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    int status = app.exit(error);
    return status == 0 ? 0 : 2;
  }
  if (tokens.command->parsed()) return tokens.Run();
  const auto sources = zn::server::CompleteSettings(app, argc, argv, settings);
  if (!sources) return Fail(2, sources.error().message);
  if (settings.print_config) {
    std::fputs(zn::server::PrintSettings(app, *sources).c_str(), stdout);
    return 0;
  }
  if (settings.store.empty())
    return Fail(2, "name the store: --store DIR, ZNDRAW_STORAGE_PATH in the environment, or store = \"DIR\" in --config's file");
  if (std::getenv("ZNDRAW_REDIS_URL"))
    return Fail(1, "ZNDRAW_REDIS_URL is set, but control state in Redis is not supported yet: unset it");
  return Serve(std::move(settings));
}
