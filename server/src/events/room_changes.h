// From what the engine did to a room to the events that say so.
#pragma once

#include "events/hub.h"
#include "zn/engine/store.h"

namespace zn::server {

/// Publishes one change: to be called by the store's listener, whose order becomes the history's.
///   edits, undo, redo    frame_updated for each frame (beyond kMaxFrameEvents: frames:invalidate,
///   reset) append, import, insert, delete, reorder, restore    frames:invalidate created, model,
///   deleted, and commits that change the number of frames    room:update, room:delete
/// Maintenance changes nothing that a client could see, and makes none.
void PublishRoomChange(EventHub* hub, const RoomChange& change);

inline constexpr size_t kMaxFrameEvents = 100;

}  // namespace zn::server
