// Events over HTTP: streams of Server-Sent Events.
#pragma once

#include <optional>
#include <string>

#include "api/router.h"

namespace zn::server {

Answer<Reply> GetRoomEvents(const Call& call);
Answer<Reply> GetOverviewEvents(const Call& call);

/// What a client that cannot resume is told of a topic: {room, position, commit, locks, presenter,
/// presence}, for the overview {position}. `position` was read before. nullopt: no such room.
std::optional<std::string> ResyncState(Service& service, const std::string& topic,
                                       const EventPosition& position);

}  // namespace zn::server
