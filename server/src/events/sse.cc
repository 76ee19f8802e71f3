#include "events/sse.h"

#include "http/loop.h"

namespace zn::server {
namespace {

constexpr int64_t kWatchMs = 1000;

// A block without data: browsers dispatch nothing and remember the id, so that even a client that
// saw no event yet resumes from where it began.
std::string IdBlock(const EventPosition& position) {
  return "retry: 1000\nid: " + position.ToString() + "\n\n";
}

class SseStream final : public ChannelOwner,
                        public Follower,
                        public std::enable_shared_from_this<SseStream> {
 public:
  SseStream(EventHub* hub, const FollowOptions& options, SseRequest request)
      : hub_(hub), options_(options), request_(std::move(request)) {}

  void OnOpen(std::shared_ptr<Channel> channel) override {
    channel_ = std::move(channel);
    if (request_.resync) {
      Resync();
    } else {
      Start(request_.since);
    }
    Beat();
    if (request_.over) Watch();
  }

  void OnEvent(const EventRef& event) override {
    if (dropped_ || (request_.visible && !request_.visible(*event))) return;
    const Buffer& bytes = event->Encoded(Event::kSse, EncodeSse);
    if (channel_->unsent() + bytes.size() > options_.max_unsent) {
      hub_->CountDropped();
      Drop("more than " + std::to_string(options_.max_unsent) + " bytes waited to be read");
      return;
    }
    channel_->Send({bytes});
  }

  void OnStopping() override { channel_->End(); }

  void OnClosed() override {
    closed_ = true;
    Leave();
  }

 private:
  void Start(std::optional<EventPosition> since) {
    if (!since) {
      since = hub_->position(request_.topic);
      channel_->Send({BufferOf(IdBlock(*since))});
    }
    EventHub::Followed followed = hub_->Follow(channel_->loop(), request_.topic, since, this);
    following_ = !followed.resync;
    if (followed.resync) Resync();
  }

  // The state is read on the pool; what happens meanwhile is replayed from its position.
  void Resync() {
    channel_->loop().RunOnPool([self = shared_from_this()] {
      const EventPosition position = self->hub_->position(self->request_.topic);
      auto state = self->request_.state(position);
      self->channel_->loop().Post([self, position, state = std::move(state)] {
        if (self->closed_ || self->dropped_) return;
        if (!state) {
          self->channel_->End();
          return;
        }
        self->channel_->Send(
            {BufferOf("id: " + position.ToString() + "\nevent: resync\ndata: " + *state + "\n\n")});
        self->Start(position);
      });
    });
  }

  void Beat() {
    channel_->loop().After(options_.heartbeat_ms, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->closed_) return;
      if (self->channel_->unsent() == 0) self->channel_->Send({BufferOf(":\n\n")});
      self->Beat();
    });
  }

  void Watch() {
    channel_->loop().After(kWatchMs, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->closed_ || self->dropped_) return;
      if (const auto reason = self->request_.over()) {
        self->Drop(*reason);
      } else {
        self->Watch();
      }
    });
  }

  // `reason` is text that JSON takes as it is.
  void Drop(const std::string& reason) {
    dropped_ = true;
    channel_->Drop({BufferOf("event: dropped\ndata: {\"reason\":\"" + reason + "\"}\n\n")});
    Leave();
  }

  void Leave() {
    if (following_) hub_->Unfollow(channel_->loop(), request_.topic, this);
    following_ = false;
  }

  EventHub* const hub_;
  const FollowOptions options_;
  const SseRequest request_;
  std::shared_ptr<Channel> channel_;
  bool following_ = false, dropped_ = false, closed_ = false;
};

}  // namespace

std::string EncodeSse(const Event& event) {
  std::string out;
  // The data of a sequenced event ends with its position.
  if (event.sequence() != 0) {
    const size_t end = event.data().size() - 2;  // ..."position":"7:1"}
    const size_t at = event.data().rfind('"', end - 1) + 1;
    out = "id: " + event.data().substr(at, end - at) + "\n";
  }
  return out + "event: " + event.name() + "\ndata: " + event.data() + "\n\n";
}

std::shared_ptr<ChannelOwner> MakeSseStream(EventHub* hub, const FollowOptions& options,
                                            SseRequest request) {
  return std::make_shared<SseStream>(hub, options, std::move(request));
}

}  // namespace zn::server
