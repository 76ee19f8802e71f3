#include "socketio/room_client.h"

#include <deque>
#include <map>
#include <set>

#include "api/events.h"
#include "control/access.h"
#include "control/secrets.h"
#include "http/loop.h"
#include "socketio/in_events.h"

namespace zn::server {
namespace {

using nlohmann::json;

constexpr size_t kMaxTokens = 1000;   // of locks that one client holds, remembered for it
constexpr size_t kMaxRooms = 64;      // that one client may follow
constexpr size_t kMaxWaiting = 1000;  // events that one client may have sent ahead of their answers
constexpr int64_t kWatchMs = 1000;

// An event's Socket.IO packet in a WebSocket frame, made once for all clients of a parser.
std::string EncodeText(const Event& event) {
  std::string text = "2[" + json(event.name()).dump() + "," + event.data() + "]";
  const Buffer frame = engineio::MakeMessage(false, text).frame;
  return std::string(reinterpret_cast<const char*>(frame.data()), frame.size());
}
std::string EncodeMsgpack(const Event& event) {
  socketio::Packet packet;
  packet.data = {event.name(), json::parse(event.data())};
  const Buffer frame = socketio::Encode(packet, socketio::Parser::kMsgpack)[0].frame;
  return std::string(reinterpret_cast<const char*>(frame.data()), frame.size());
}

class RoomClient final : public socketio::Application,
                         public Follower,
                         public std::enable_shared_from_this<RoomClient> {
 public:
  RoomClient(RoomClientContext* context, socketio::Socket* socket, Caller caller, std::string token, bool local,
             const PeerAddress& peer, const json& auth)
      : watch_(context->service->access.get(), token, local, caller),
        context_(*context),
        service_(*context->service),
        socket_(socket),
        loop_(socket->loop()),
        parser_(socket->parser()),
        identity_{std::move(caller), std::move(token), peer, socket->sid()},
        auth_(auth.is_object() ? auth : json::object()),
        resume_token_(RandomToken()) {}

  void OnConnect() override {
    if (!identity_.caller.anonymous) Watch();
    const json before = auth_.value("resume_token", json());
    if (before.is_string())
      if (auto sid = context_.resumable.Take(before.get<std::string>()))
        service_.control->OnConnectionResumed(*sid, identity_.connection);
    context_.resumable.Put(resume_token_, identity_.connection);
    socket_->Emit({"session", {{"sid", identity_.connection}, {"resume_token", resume_token_}}});
    const json resume = auth_.value("resume", json());
    if (!resume.is_object()) return;
    for (const auto& [topic, place] : resume.items()) {
      if (!place.is_string() || followed_.size() >= kMaxRooms) continue;
      // A place that is none is as one of another epoch.
      Resume(topic, EventPosition::Parse(place.get<std::string>()).value_or(EventPosition{}));
    }
  }

  void OnEvent(json event, std::optional<uint64_t> ack) override {
    if (EndedWithToken()) return;
    if (waiting_.size() >= kMaxWaiting) {
      socket_->Close("too many events at once");
      return;
    }
    waiting_.push_back({std::move(event), ack});
    if (!busy_) Next();
  }

  void OnDisconnect(std::string_view) override {
    socket_ = nullptr;
    for (const std::string& topic : followed_) service_.events->Unfollow(loop_, topic, this);
    followed_.clear();
    waiting_.clear();
    service_.control->OnConnectionGone(identity_.connection);
    loop_.After(kConnectionGraceMs,
                [context = &context_, token = resume_token_] { context->resumable.Drop(token); });
  }

  // Of the hub.
  void OnEvent(const EventRef& event) override {
    if (!socket_) return;
    // Who follows the room as well gets the room's copy.
    if (event->topic() == kOverview && followed_.count(event->room()) > 0) return;
    if (!identity_.caller.May(Scope::kRead, event->room())) return;
    const Buffer& frame = parser_ == socketio::Parser::kDefault
                              ? event->Encoded(Event::kSocketText, EncodeText)
                              : event->Encoded(Event::kSocketMsgpack, EncodeMsgpack);
    socket_->Send(engineio::MessageOf(frame));
  }

 private:
  struct Waiting {
    json event;
    std::optional<uint64_t> ack;
  };

  void Watch() {
    loop_.After(kWatchMs, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (self && self->socket_ && !self->EndedWithToken()) self->Watch();
    });
  }

  // Ends the session when its token does not hold any more. A client that comes back is told so as well.
  bool EndedWithToken() {
    const auto reason = watch_.Over();
    if (!reason) return false;
    socket_->Emit({"dropped", {{"reason", *reason}}});
    if (socket_) socket_->Close(*reason);  // the first may have ended it: a client that did not read
    return true;
  }

  // In the order in which they came, one at a time: an acquire and the release behind it must not
  // meet.
  void Next() {
    busy_ = false;
    if (!socket_ || waiting_.empty()) return;
    busy_ = true;
    auto call = std::make_shared<Waiting>(std::move(waiting_.front()));
    waiting_.pop_front();
    loop_.RunOnPool([self = shared_from_this(), call, sender = Describe()] {
      const json& event = call->event;
      auto answer = std::make_shared<Answer<InReply>>(
          AnswerInEvent(self->service_, *self->context_.handler, sender,
                        event[0].is_string() ? event[0].get<std::string>() : "",
                        event.size() > 1 ? event[1] : json()));
      self->loop_.Post([self, call, answer] { self->Finish(*call, std::move(*answer)); });
    });
  }

  void Finish(const Waiting& call, Answer<InReply> answer) {
    if (!socket_) return;
    if (answer && answer->effect.kind != Effect::kNone) Apply(&answer);
    if (call.ack) {
      json body;
      if (answer) {
        body = std::move(answer->body);
        body["ok"] = true;
      } else {
        const std::string name = call.event[0].is_string() ? call.event[0].get<std::string>() : "";
        body = {{"ok", false}, {"error", json::parse(answer.error().ToJson("event:" + name))}};
      }
      socket_->Ack(*call.ack, json::array({std::move(body)}));
    }
    Next();
  }

  void Apply(Answer<InReply>* answer) {
    const Effect effect = (*answer)->effect;
    switch (effect.kind) {
      case Effect::kNone:
        return;
      case Effect::kLeave:
        Leave(effect.topic);
        return;
      case Effect::kKeepToken:
        if (tokens_.size() < kMaxTokens || tokens_.count(effect.place) > 0)
          tokens_[effect.place] = effect.token;
        return;
      case Effect::kForgetToken:
        tokens_.erase(effect.place);
        return;
      case Effect::kJoin:
        if (followed_.size() >= kMaxRooms && followed_.count(effect.topic) == 0) {
          *answer = Problem(429, "too-many", "a client follows at most 64 rooms");
          return;
        }
        if (effect.topic != kOverview) Leave(std::string(kOverview));
        Leave(effect.topic);  // joining again is how to resume
        (*answer)->body["position"] = Follow(effect.topic, effect.since).ToString();
    }
  }

  // Where the topic is followed from. When `since` cannot be resumed, a resync comes first.
  EventPosition Follow(const std::string& topic, std::optional<EventPosition> since) {
    EventHub::Followed followed = service_.events->Follow(loop_, topic, since, this);
    if (followed.resync) {
      Resync(topic);
    } else {
      followed_.insert(topic);
    }
    return followed.position;
  }

  void Leave(const std::string& topic) {
    if (followed_.erase(topic) > 0) service_.events->Unfollow(loop_, topic, this);
  }

  // As join:room with a position, but nobody asked and nobody is answered.
  void Resume(const std::string& topic, const EventPosition& since) {
    loop_.RunOnPool([self = shared_from_this(), topic, since] {
      const Caller& caller = self->identity_.caller;
      const bool exists =
          topic == kOverview ||
          (caller.May(Scope::kRead, topic) && self->service_.FindRoom(topic, &caller).has_value());
      self->loop_.Post([self, topic, since, exists] {
        if (!self->socket_ || self->followed_.count(topic) > 0) return;
        if (exists) {
          self->Follow(topic, since);
        } else {
          self->socket_->Emit({"room:delete", {{"roomId", topic}}});
        }
      });
    });
  }

  void Resync(const std::string& topic) {
    loop_.RunOnPool([self = shared_from_this(), topic] {
      const EventPosition position = self->service_.events->position(topic);
      auto state = ResyncState(self->service_, topic, position);
      self->loop_.Post([self, topic, position, state = std::move(state)] {
        if (!self->socket_ || !state || self->followed_.count(topic) > 0) return;
        self->socket_->Emit({"resync", json::parse(*state)});
        self->Follow(topic, position);
      });
    });
  }

  Sender Describe() const {
    const json label = auth_.value("actor_id", json());
    Sender sender{identity_, label.is_string() ? label.get<std::string>() : "", "", tokens_};
    for (const std::string& topic : followed_) {
      if (topic == kOverview) continue;
      if (!sender.only_room.empty()) {
        sender.only_room.clear();
        break;
      }
      sender.only_room = topic;
    }
    return sender;
  }

  Access::Watch watch_;
  RoomClientContext& context_;
  Service& service_;
  socketio::Socket* socket_;  // null once it is gone
  Loop& loop_;
  const socketio::Parser parser_;
  const Identity identity_;
  const json auth_;
  const std::string resume_token_;
  std::map<std::pair<std::string, std::string>, std::string> tokens_;  // see Sender
  std::set<std::string> followed_;
  std::deque<Waiting> waiting_;
  bool busy_ = false;
};

}  // namespace

void ResumeTable::Put(const std::string& token, const std::string& sid) {
  std::lock_guard lock(mutex_);
  sids_[token] = sid;
}

std::optional<std::string> ResumeTable::Take(const std::string& token) {
  std::lock_guard lock(mutex_);
  auto found = sids_.find(token);
  if (found == sids_.end()) return std::nullopt;
  std::string sid = std::move(found->second);
  sids_.erase(found);
  return sid;
}

void ResumeTable::Drop(const std::string& token) {
  std::lock_guard lock(mutex_);
  sids_.erase(token);
}

socketio::MakeApplication RoomClients(RoomClientContext* context, const Request& request) {
  using Made = std::variant<std::shared_ptr<socketio::Application>, socketio::ConnectError>;
  auto sent = BearerToken(request);
  const std::string token = sent && *sent ? **sent : "";
  return [context, token, local = IsLocal(request), peer = request.peer](
             socketio::Socket* socket, const std::string& nsp, const json& auth) -> Made {
    if (nsp != "/") return socketio::ConnectError{"Invalid namespace", {}};
    std::string given = token;
    if (auth.is_object() && auth.contains("token") && auth["token"].is_string())
      given = auth["token"].get<std::string>();
    auto caller = context->service->access->Identify(given, local);
    if (!caller)
      return socketio::ConnectError{caller.error().detail,
                                    json::parse(caller.error().ToJson("/socket.io/"))};
    return std::make_shared<RoomClient>(context, socket, std::move(*caller), std::move(given), local, peer, auth);
  };
}

}  // namespace zn::server
