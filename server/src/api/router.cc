#include "api/router.h"

#include <algorithm>
#include <cassert>

#include "api/credentials.h"
#include "api/events.h"
#include "api/frames.h"
#include "api/hot_path.h"
#include "api/import.h"
#include "api/locks.h"
#include "api/rooms.h"
#include "api/state.h"
#include "api/system.h"
#include "api/write_frames.h"
#include "api/write_rooms.h"
#include "api/zarr.h"
#include "http/query.h"
#include "log.h"
#include "socketio/servers.h"

namespace zn::server {
namespace {

constexpr Route kRoutes[] = {
    {Method::kGet, "/healthz", Scope::kNone, GetHealth},
    {Method::kGet, "/readyz", Scope::kNone, GetReady},
    {Method::kGet, "/metrics", Scope::kNone, GetMetrics},
    {Method::kGet, "/api/version", Scope::kNone, GetVersion},
    {Method::kPost, "/api/login", Scope::kNone, PostLogin},
    {Method::kGet, "/api/audit", Scope::kAdmin, GetAudit},
    {Method::kGet, "/api/tokens", Scope::kAdmin, ListAllTokens},
    {Method::kPost, "/api/tokens", Scope::kAdmin, PostToken},
    {Method::kDelete, "/api/tokens/{id}", Scope::kAdmin, DeleteToken},
    {Method::kGet, "/api/events", Scope::kRead, GetOverviewEvents},
    {Method::kGet, "/api/rooms", Scope::kRead, ListRooms},
    {Method::kPost, "/api/rooms", Scope::kWrite, PostRoom},
    {Method::kGet, "/api/rooms/{room}", Scope::kRead, GetRoom},
    {Method::kPatch, "/api/rooms/{room}", Scope::kWrite, PatchRoom},
    {Method::kDelete, "/api/rooms/{room}", Scope::kAdmin, DeleteRoom},
    {Method::kGet, "/api/rooms/{room}/metadata", Scope::kRead, GetMetadata},
    {Method::kPatch, "/api/rooms/{room}/metadata", Scope::kWrite, PatchMetadata},
    {Method::kPost, "/api/rooms/{room}/restore", Scope::kWrite, RestoreRoom},
    {Method::kPost, "/api/rooms/{room}/import", Scope::kWrite, PostImport},
    {Method::kGet, "/api/rooms/{room}/fields", Scope::kRead, GetFields},
    {Method::kGet, "/api/rooms/{room}/commits", Scope::kRead, GetCommits},
    {Method::kGet, "/api/rooms/{room}/events", Scope::kRead, GetRoomEvents},
    {Method::kGet, "/api/rooms/{room}/locks", Scope::kRead, ListLocks},
    {Method::kGet, "/api/rooms/{room}/locks/{target}", Scope::kRead, GetLock},
    {Method::kPut, "/api/rooms/{room}/locks/{target}", Scope::kLock, PutLock},
    {Method::kPost, "/api/rooms/{room}/locks/{target}", Scope::kLock, RefreshLock},
    {Method::kDelete, "/api/rooms/{room}/locks/{target}", Scope::kLock, DeleteLock},
    {Method::kPut, "/api/rooms/{room}/presenter", Scope::kLock, PutPresenter},
    {Method::kPost, "/api/rooms/{room}/presenter", Scope::kLock, RenewPresenter},
    {Method::kDelete, "/api/rooms/{room}/presenter", Scope::kLock, DeletePresenter},
    {Method::kPost, "/api/rooms/{room}/presence", Scope::kRead, PostPresence},
    {Method::kGet, "/api/rooms/{room}/state", Scope::kRead, ListState},
    {Method::kPost, "/api/rooms/{room}/state", Scope::kWrite, PostState},
    {Method::kGet, "/api/rooms/{room}/state/{scope}/{target}/{key}", Scope::kRead, GetState},
    {Method::kPut, "/api/rooms/{room}/state/{scope}/{target}/{key}", Scope::kWrite, PutState},
    {Method::kDelete, "/api/rooms/{room}/state/{scope}/{target}/{key}", Scope::kWrite, DeleteState},
    {Method::kGet, "/api/rooms/{room}/audit", Scope::kAdmin, GetAudit},
    {Method::kGet, "/api/rooms/{room}/frames", Scope::kRead, GetFrames},
    {Method::kPost, "/api/rooms/{room}/frames", Scope::kWrite, PostFrames},
    {Method::kPatch, "/api/rooms/{room}/frames", Scope::kWrite, PatchFrames},
    {Method::kDelete, "/api/rooms/{room}/frames", Scope::kWrite, DeleteFrames},
    {Method::kGet, "/api/rooms/{room}/frames/meta", Scope::kRead, GetFramesMeta},
    {Method::kGet, "/api/rooms/{room}/frames/changes", Scope::kRead, GetFramesChanges},
    {Method::kPost, "/api/rooms/{room}/frames/select", Scope::kRead, SelectFrames},
    {Method::kGet, "/api/rooms/{room}/frames/{frame}", Scope::kRead, GetFrame},
    {Method::kPut, "/api/rooms/{room}/frames/{frame}", Scope::kWrite, PutFrame},
    {Method::kPatch, "/api/rooms/{room}/frames/{frame}", Scope::kWrite, PatchFrame},
    {Method::kDelete, "/api/rooms/{room}/frames/{frame}", Scope::kWrite, DeleteFrame},
    {Method::kPost, "/api/rooms/{room}/frames/{frame}/undo", Scope::kWrite, UndoFrame},
    {Method::kPost, "/api/rooms/{room}/frames/{frame}/redo", Scope::kWrite, RedoFrame},
    {Method::kGet, "/api/rooms/{room}/frames/{frame}/versions", Scope::kRead, GetFrameVersions},
    {Method::kPost, "/upload/frame/{frame}", Scope::kWrite, UploadFrame},
    {Method::kGet, "/api/jobs", Scope::kRead, ListJobs},
    {Method::kGet, "/api/jobs/{job}", Scope::kRead, GetJob},
    {Method::kDelete, "/api/jobs/{job}", Scope::kWrite, DeleteJob},
    {Method::kGet, "/zarr", Scope::kRead, GetZarr},
    {Method::kGet, "/zarr/{key}", Scope::kRead, GetZarr},
    {Method::kGet, "/zarr-sharded", Scope::kRead, GetZarrSharded},
    {Method::kGet, "/zarr-sharded/{key}", Scope::kRead, GetZarrSharded},
};

constexpr std::string_view kRooms = "/api/rooms/";
constexpr std::string_view kData = "/data/";

using Arguments = std::vector<std::pair<std::string_view, std::string_view>>;

// Fills in the placeholders, as sent. One takes one segment that is not empty; {key} takes all that is left.
bool Match(std::string_view pattern, std::string_view path, Arguments* arguments) {
  arguments->clear();
  for (;;) {
    size_t a = pattern.find('/', 1), b = path.find('/', 1);
    std::string_view want = pattern.substr(0, a), have = path.substr(0, b);
    if (want == "/{key}") {
      if (path.empty()) return false;
      arguments->emplace_back("key", path.substr(1));
      return true;
    }
    if (want.size() > 2 && want[1] == '{') {
      if (have.size() < 2) return false;
      arguments->emplace_back(want.substr(2, want.size() - 3), have.substr(1));
    } else if (want != have) {
      return false;
    }
    if (a == std::string_view::npos || b == std::string_view::npos)
      return a == std::string_view::npos && b == std::string_view::npos;
    pattern.remove_prefix(a);
    path.remove_prefix(b);
  }
}

bool OriginAllowed(const ApiOptions& options, const Request& request) {
  for (const std::string& allowed : options.allowed_origins)
    if (allowed == "*" || allowed == request.origin) return true;
  size_t scheme = request.origin.find("://");
  return scheme != std::string_view::npos && request.origin.substr(scheme + 3) == request.host;
}

std::string CorsHeaders(const ApiOptions& options, const Request& request) {
  if (request.origin.empty() || options.allowed_origins.empty()) return "";
  return "Access-Control-Allow-Origin: " + std::string(request.origin) +
         "\r\nAccess-Control-Expose-Headers: ETag, Frame-Id, Frame-Version, Frame-Hash, Zn-Commit, "
         "Zn-Position, Zn-State-Version, Zn-Unchanged, Link, Location, Content-Range, Retry-After, "
         "Idempotency-Replayed\r\n";
}

std::string_view MethodName(Method method) {
  switch (method) {
    case Method::kPost: return "POST";
    case Method::kPut: return "PUT";
    case Method::kPatch: return "PATCH";
    case Method::kDelete: return "DELETE";
    default: return "GET, HEAD";
  }
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

const std::string& Call::Argument(std::string_view name) const {
  const auto at = std::find_if(arguments.begin(), arguments.end(), [&](const auto& item) { return item.first == name; });
  assert(at != arguments.end());
  return at->second;
}

std::optional<Problem> CheckOrigin(const ApiOptions& options, const Request& request) {
  std::string_view name = HostName(request.host);
  bool known = request.host.empty() || NamesLoopback(request.host);
  for (const std::string& host : options.allowed_hosts) known |= host == "*" || host == name;
  if (!known)
    return Problem(403, "foreign-host",
                   "this server does not answer for the host '" + std::string(name) +
                       "': start it with --allow-host " + std::string(name) + " if it should");
  if (!request.origin.empty() && !OriginAllowed(options, request))
    return Problem(403, "foreign-origin",
                   "pages of " + std::string(request.origin) +
                       " may not use this server: start it with --allow-origin if they should");
  return std::nullopt;
}

std::unique_ptr<WorkerState> ApiHandler::NewWorkerState() { return std::make_unique<HotState>(); }

void ApiHandler::Tidy(WorkerState* state) {
  static_cast<HotState*>(state)->Tidy();
  service_->zarr.Tidy();
}

std::optional<Reply> ApiHandler::Limit(const Request& request) {
  if (!service_->limits.limited()) return std::nullopt;
  auto refused = service_->limits.Refuse(request, service_->clock.steady_ms());
  if (!refused) return std::nullopt;
  Reply reply = Reply::Of(*refused, request.path);
  reply.headers += CorsHeaders(service_->options, request);
  return reply;
}

int ApiHandler::TryInline(const Request& request, const InlineContext& context) {
  if (int status = TryHotPath(*service_, request, context)) return status;
  return TryZarrHotPath(*service_, request, context);
}

/// The caller, if it may use the route.
Answer<Caller> ApiHandler::Admit(const Route& route, const Request& request, const std::string& room,
                                 const Identity* sender) const {
  if (route.scope == Scope::kNone) return Caller();
  if (!service_->access) return Problem(503, "unavailable", "the server is starting");
  Caller caller;
  if (sender) {
    caller = sender->caller;
  } else {
    auto identified = service_->access->Identify(request);
    if (!identified) {
      if (auto refused = service_->limits.RefuseStranger(request.peer, service_->clock.steady_ms())) return std::move(*refused);
      return std::move(identified.error());
    }
    caller = std::move(*identified);
  }
  if (room.empty() ? !caller.scopes.AllowSomewhere(Scope::kRead) : !caller.May(Scope::kRead, room)) {
    if (!room.empty()) return service_->NoSuchRoom(room, &caller);
    return Problem(403, "forbidden", "the token allows nothing here");
  }
  // What concerns no room is an admin's of everything; other routes look at the rooms themselves.
  const bool allowed = !room.empty()                   ? caller.May(route.scope, room)
                       : route.scope == Scope::kAdmin ? caller.IsAdmin()
                                                      : caller.scopes.AllowSomewhere(route.scope);
  if (!allowed)
    return Problem(403, "forbidden",
                   "this needs the scope '" + std::string(ScopeName(route.scope)) + "', which " + caller.name +
                       " does not have" + (room.empty() ? "" : " in room " + room));
  if (service_->options.read_only && route.scope != Scope::kRead && request.method != Method::kGet &&
      request.method != Method::kHead)
    return Problem(403, "read-only", "this server only reads: it was started with --read-only");
  return caller;
}

uint64_t ApiHandler::BodyLimit(const Request& request) {
  constexpr uint64_t kSmall = 16 << 20;
  const bool writes = request.method == Method::kPost || request.method == Method::kPut || request.method == Method::kPatch;
  if (!writes) return kSmall;
  if (request.path.ends_with("/import")) return service_->options.max_upload;
  if (request.path.ends_with("/frames")) return UINT64_MAX;
  const bool one_frame = request.path.find("/frames/") != request.path.npos && request.method != Method::kPost;
  return one_frame || request.path.starts_with("/upload/frame/") ? UINT64_MAX : kSmall;
}

std::optional<Reply> ApiHandler::Refuse(const OwnedRequest& owned) {
  Answer<Reply> answer = Dispatch(owned, nullptr, true);
  if (answer) return std::nullopt;
  return Reply::Of(answer.error(), owned.request.path);
}

bool ApiHandler::IsQuick(const Request& request) {
  constexpr int64_t kSmallBody = 16 << 10;
  return request.path.starts_with(kRooms) && request.path.find("/locks/") != request.path.npos &&
         !request.chunked && request.content_length < kSmallBody &&
         request.query.find("force") == request.query.npos && request.query.find('%') == request.query.npos;
}

Answer<Reply> ApiHandler::Dispatch(const OwnedRequest& owned, const Identity* sender, bool only_admit) {
  const Request& request = owned.request;
  if (!sender)
    if (auto foreign = CheckOrigin(service_->options, request)) return std::move(*foreign);

  if (service_->sockets && !sender)
    if (auto reply = service_->sockets->Handle(owned, CorsHeaders(service_->options, request)))
      return std::move(*reply);
  std::string path(request.path);
  if (path.compare(0, kData.size(), kData) == 0)
    path = std::string(kRooms) + path.substr(kData.size());
  std::string allow;
  std::string_view matched;  // the pattern of the most specific route for the path
  Arguments arguments;
  for (const Route& route : kRoutes) {
    if (!matched.empty() && route.pattern != matched) continue;
    if (!Match(route.pattern, path, &arguments)) continue;
    matched = route.pattern;
    bool method_fits = request.method == route.method ||
                       (request.method == Method::kHead && route.method == Method::kGet);
    if (!method_fits) {
      if (!allow.empty()) allow += ", ";
      allow += MethodName(route.method);
      continue;
    }
    Call call{*service_, owned, {}, sender ? sender->connection : "", {}, {}, {}, {}};
    for (const auto& [name, text] : arguments) {
      auto decoded = PercentDecode(text, false);
      if (!decoded) return BadRequest("malformed percent-encoding in the path");
      if (name == "room") call.room = *decoded;
      if (name == "frame") call.frame = *decoded;
      call.arguments.emplace_back(name, std::move(*decoded));
    }
    ZN_ASSIGN_OR_RETURN(call.caller, Admit(route, request, call.room, sender));
    if (owned.body_too_large)
      return Problem(413, "too-large", "the request's body is larger than this server takes");
    if (only_admit) return Reply();
    call.position = service_->events->position(call.room.empty() ? kOverview : std::string_view(call.room));
    return route.answer(call);
  }
  if (allow.empty()) {
    if (request.target == "*" && request.method == Method::kOptions)
      allow = "GET, HEAD, POST, PUT, PATCH, DELETE";
    else
      return NotFound("there is nothing at " + std::string(request.path));
  }
  allow += ", OPTIONS";
  if (request.method == Method::kOptions) {
    Reply reply;
    reply.status = 204;
    reply.headers = "Allow: " + allow + "\r\n";
    if (!request.origin.empty() && !service_->options.allowed_origins.empty())
      reply.headers += "Access-Control-Allow-Methods: " + allow +
                       "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, Accept, "
                       "If-None-Match, If-Match, Range, Last-Event-ID, Lock-Token, Idempotency-Key, Content-Digest\r\nAccess-Control-Max-Age: 600\r\n";
    return reply;
  }
  Problem problem(405, "method-not-allowed",
                  std::string(request.method_text) + " is not possible here; " + allow + " are");
  problem.headers = "Allow: " + allow + "\r\n";
  return problem;
}

Reply ApiHandler::Handle(const OwnedRequest& owned) { return Complete(owned, Dispatch(owned, nullptr)); }

Reply ApiHandler::HandleAs(const OwnedRequest& owned, const Identity& sender) {
  return Complete(owned, Dispatch(owned, &sender));
}

Reply ApiHandler::Complete(const OwnedRequest& owned, Answer<Reply> answer) const {
  Reply reply = answer ? std::move(*answer) : Reply::Of(answer.error(), owned.request.path);
  if (reply.status >= 500)
    LogLine(spdlog::level::err, "request failed",
            {{"method", owned.request.method_text},
             {"target", Redact(owned.request.target)},
             {"status", std::to_string(reply.status)},
             {"detail", answer ? "" : answer.error().detail}});
  std::string cors = CorsHeaders(service_->options, owned.request);
  // Which representation a reply is depends on these, whatever the outcome.
  if (reply.status == 200 || reply.status == 304)
    reply.headers += cors.empty() ? "Vary: Accept, Accept-Encoding\r\n"
                                  : "Vary: Accept, Accept-Encoding, Origin\r\n";
  if (reply.status != 403) reply.headers += cors;
  return reply;
}

}  // namespace zn::server
