#include "api/router.h"

#include <algorithm>

#include "api/frames.h"
#include "api/hot_path.h"
#include "api/rooms.h"
#include "api/system.h"
#include "http/query.h"
#include "log.h"

namespace zn::server {
namespace {

constexpr Route kRoutes[] = {
    {Method::kGet, "/healthz", GetHealth},
    {Method::kGet, "/readyz", GetReady},
    {Method::kGet, "/metrics", GetMetrics},
    {Method::kGet, "/api/version", GetVersion},
    {Method::kGet, "/api/rooms", ListRooms},
    {Method::kGet, "/api/rooms/{room}", GetRoom},
    {Method::kGet, "/api/rooms/{room}/fields", GetFields},
    {Method::kGet, "/api/rooms/{room}/commits", GetCommits},
    {Method::kGet, "/api/rooms/{room}/frames", GetFrames},
    {Method::kGet, "/api/rooms/{room}/frames/meta", GetFramesMeta},
    {Method::kGet, "/api/rooms/{room}/frames/changes", GetFramesChanges},
    {Method::kPost, "/api/rooms/{room}/frames/select", SelectFrames},
    {Method::kGet, "/api/rooms/{room}/frames/{frame}", GetFrame},
    {Method::kGet, "/api/rooms/{room}/frames/{frame}/versions", GetFrameVersions},
};

constexpr std::string_view kRooms = "/api/rooms/";
constexpr std::string_view kData = "/data/";

// Fills in room and frame. A placeholder takes one segment that is not empty.
bool Match(std::string_view pattern, std::string_view path, std::string_view* room,
           std::string_view* frame) {
  for (;;) {
    size_t a = pattern.find('/', 1), b = path.find('/', 1);
    std::string_view want = pattern.substr(0, a), have = path.substr(0, b);
    if (want == "/{room}" || want == "/{frame}") {
      if (have.size() < 2) return false;
      (want == "/{room}" ? *room : *frame) = have.substr(1);
    } else if (want != have) {
      return false;
    }
    if (a == std::string_view::npos || b == std::string_view::npos)
      return a == std::string_view::npos && b == std::string_view::npos;
    pattern.remove_prefix(a);
    path.remove_prefix(b);
  }
}

std::string_view HostName(std::string_view host) {
  if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool IsLoopbackName(std::string_view name) {
  if (EqualsIgnoreCase(name, "localhost") || name == "[::1]") return true;
  if (name.substr(0, 4) != "127.") return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
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
         "Zn-Position, Zn-Unchanged, Link, Content-Range\r\n";
}

std::string_view MethodName(Method method) {
  return method == Method::kPost ? "POST" : "GET, HEAD";
}

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

std::optional<Problem> CheckOrigin(const ApiOptions& options, const Request& request) {
  std::string_view name = HostName(request.host);
  bool known = request.host.empty() || IsLoopbackName(name);
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

void ApiHandler::Tidy(WorkerState* state) { static_cast<HotState*>(state)->Tidy(); }

int ApiHandler::TryInline(const Request& request, const InlineContext& context) {
  return TryHotPath(*service_, request, context);
}

Answer<Reply> ApiHandler::Dispatch(const OwnedRequest& owned) {
  const Request& request = owned.request;
  if (auto foreign = CheckOrigin(service_->options, request)) return std::move(*foreign);

  std::string path(request.path);
  if (path.compare(0, kData.size(), kData) == 0)
    path = std::string(kRooms) + path.substr(kData.size());
  std::string allow;
  for (const Route& route : kRoutes) {
    std::string_view room, frame;
    if (!Match(route.pattern, path, &room, &frame)) continue;
    bool method_fits = request.method == route.method ||
                       (request.method == Method::kHead && route.method == Method::kGet);
    if (!method_fits) {
      // frames/{frame} also matches what a more specific route before it answers with another
      // method.
      if (allow.empty()) allow = MethodName(route.method);
      continue;
    }
    if (!allow.empty()) break;
    auto room_name = PercentDecode(room, false), frame_name = PercentDecode(frame, false);
    if (!room_name || !frame_name) return BadRequest("malformed percent-encoding in the path");
    if (owned.body_too_large)
      return Problem(413, "too-large", "the request's body is larger than this server takes");
    return route.answer({*service_, owned, std::move(*room_name), std::move(*frame_name)});
  }
  if (allow.empty()) {
    if (request.target == "*" && request.method == Method::kOptions)
      allow = "GET, HEAD, POST";
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
                       "If-None-Match, If-Match, Range\r\nAccess-Control-Max-Age: 600\r\n";
    return reply;
  }
  Problem problem(405, "method-not-allowed",
                  std::string(request.method_text) + " is not possible here; " + allow + " are");
  problem.headers = "Allow: " + allow + "\r\n";
  return problem;
}

Reply ApiHandler::Handle(const OwnedRequest& owned) {
  Answer<Reply> answer = Dispatch(owned);
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
