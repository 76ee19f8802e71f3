#include "socketio/engineio_server.h"

#include <openssl/rand.h>

#include <cstdlib>
#include <optional>

#include "http/base64.h"
#include "http/loop.h"
#include "http/query.h"
#include "http/websocket.h"
#include "socketio/engineio_transports.h"

namespace zn::server::engineio {
namespace {

// The codes of the protocol's reference implementation; clients show the message.
enum ErrorCode {
  kTransport = 0,
  kUnknownSid = 1,
  kMethod = 2,
  kBad = 3,
  kForbidden = 4,
  kVersion = 5
};

Reply Refuse(ErrorCode code, std::string_view message, int status = 400) {
  return Reply::Json(
      "{\"code\":" + std::to_string(code) + ",\"message\":\"" + std::string(message) + "\"}",
      status);
}

struct Parameters {
  std::string version, transport;
  std::optional<std::string> sid;
};

std::optional<Parameters> ParseParameters(std::string_view query) {
  auto given = ParseQuery(query);
  if (!given) return std::nullopt;
  Parameters parameters;
  for (const Parameter& parameter : *given) {
    auto value = PercentDecode(parameter.raw, true);
    if (!value) return std::nullopt;
    if (parameter.name == "EIO") parameters.version = *value;
    if (parameter.name == "transport") parameters.transport = *value;
    if (parameter.name == "sid") parameters.sid = *value;
    if (parameter.name == "j") return std::nullopt;  // JSONP left the protocol
  }
  return parameters;
}

}  // namespace

std::string RandomId() {
  unsigned char bytes[15];
  if (RAND_bytes(bytes, sizeof bytes) != 1)
    std::abort();  // no session is better than a guessable one
  std::string id = EncodeBase64({reinterpret_cast<const char*>(bytes), sizeof bytes});
  for (char& c : id) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return id;
}

Reply EngineServer::Handle(std::shared_ptr<const OwnedRequest> owned, std::string cors) {
  const Request& request = owned->request;
  if (request.method == Method::kOptions) {
    Reply reply;
    reply.status = 204;
    reply.headers =
        "Allow: GET, POST, OPTIONS\r\nAccess-Control-Allow-Methods: GET, POST\r\n"
        "Access-Control-Allow-Headers: Authorization, Content-Type\r\n"
        "Access-Control-Max-Age: 600\r\n";
    return reply;
  }
  auto parameters = ParseParameters(request.query);
  if (!parameters) return Refuse(kBad, "Bad request");
  const bool polling = parameters->transport == "polling";
  if (!polling && parameters->transport != "websocket")
    return Refuse(kTransport, "Transport unknown");
  if (parameters->version != "4") return Refuse(kVersion, "Unsupported protocol version");

  std::shared_ptr<Home> home;
  if (parameters->sid) {
    home = Find(*parameters->sid);
    if (!home) return Refuse(kUnknownSid, "Session ID unknown");
  }
  if (!polling) {
    auto headers = websocket::AcceptHeaders(request);
    if (!headers) {
      Reply reply = Refuse(kBad, headers.error().detail, headers.error().status);
      reply.headers += headers.error().headers;
      return reply;
    }
    Reply reply = Reply::HandOver(Handover::kUpgrade,
                                  MakeSocketOwner(this, std::move(home), std::move(owned)));
    reply.headers = std::move(*headers);
    return reply;
  }
  if (!home) {
    if (request.method != Method::kGet) return Refuse(kMethod, "Bad handshake method");
    return Reply::HandOver(Handover::kDeferred,
                           MakeHandshakeOwner(this, std::move(owned), std::move(cors)));
  }
  if (request.method == Method::kGet)
    return Reply::HandOver(Handover::kDeferred, MakePollOwner(std::move(home), std::move(cors)));
  if (request.method == Method::kPost)
    return Reply::HandOver(Handover::kDeferred,
                           MakePostOwner(std::move(home), std::move(owned), std::move(cors)));
  return Refuse(kMethod, "Bad request method");
}

size_t EngineServer::sessions() const {
  std::lock_guard lock(mutex_);
  return sessions_.size();
}

std::shared_ptr<EngineServer::Home> EngineServer::Find(const std::string& sid) const {
  std::lock_guard lock(mutex_);
  auto found = sessions_.find(sid);
  return found == sessions_.end() ? nullptr : found->second;
}

std::shared_ptr<EngineServer::Home> EngineServer::Open(Loop& loop, const OwnedRequest& request) {
  auto home = std::make_shared<Home>();
  home->loop = &loop;
  home->session = std::make_shared<Session>(RandomId(), options_, loop.NowMs());
  {
    std::lock_guard lock(mutex_);
    if (sessions_.size() >= max_sessions_) return nullptr;
    sessions_[home->session->sid()] = home;
  }
  home->session->SetOnClosed([this, session = home->session.get()] {
    dropped_.fetch_add(session->dropped(), std::memory_order_relaxed);
    std::lock_guard lock(mutex_);
    sessions_.erase(session->sid());
  });
  home->session->SetUser(make_user_({loop, home->session, request}));
  Arm(home, home->session->Tick(loop.NowMs()));
  return home;
}

void EngineServer::Run(const std::shared_ptr<Home>& home, std::function<void(Session&)> act) {
  home->loop->Post([home, act = std::move(act)] {
    home->session->Tick(home->loop->NowMs());
    act(*home->session);
    Arm(home, home->session->Tick(home->loop->NowMs()));
  });
}

// One timer at a time unless something earlier turns up; one that fires too early arms the next.
void EngineServer::Arm(const std::shared_ptr<Home>& home, int64_t when) {
  if (when >= home->armed) return;
  home->armed = when;
  home->loop->After(std::max<int64_t>(0, when - home->loop->NowMs()),
                    [weak = std::weak_ptr<Home>(home), when] {
                      auto alive = weak.lock();
                      if (!alive || alive->armed != when) return;
                      alive->armed = INT64_MAX;
                      Arm(alive, alive->session->Tick(alive->loop->NowMs()));
                    });
}

}  // namespace zn::server::engineio
