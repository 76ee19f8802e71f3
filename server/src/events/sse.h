// Server-Sent Events (WHATWG HTML, "Server-sent events") over the hub.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "events/hub.h"
#include "events/options.h"
#include "http/channel.h"

namespace zn::server {

/// "id: 1:7\nevent: frame_updated\ndata: {...}\n\n"; volatile events have no id.
std::string EncodeSse(const Event& event);

/// What a client that cannot resume is told: a JSON object with the topic's position (read before
/// the rest) and state. Called on the pool; nullopt when the room is gone.
using ResyncSource = std::function<std::optional<std::string>(const EventPosition& position)>;
/// Whether this client may see an event; called on the I/O thread.
using EventFilter = std::function<bool(const Event&)>;

struct SseRequest {
  std::string topic;
  std::optional<EventPosition> since;
  bool resync = false;  // the client named a place that is none
  ResyncSource state;
  EventFilter visible;  // empty: everything is
  /// Asked every second on the I/O thread: why the stream has to end, if it has to. Empty: it never has to.
  std::function<std::optional<std::string>()> over;
};

/// The owner of a connection that streams a topic's events. `hub` must outlive the server's
/// threads.
std::shared_ptr<ChannelOwner> MakeSseStream(EventHub* hub, const FollowOptions& options,
                                            SseRequest request);

}  // namespace zn::server
