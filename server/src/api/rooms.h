// Rooms, their fields and their history.
#pragma once

#include "api/router.h"

namespace zn::server {

/// The room model as JSON.
std::string RoomModelText(const Service& service, const RoomInfo& info);
/// The same where the default room is known; asks the store nothing.
std::string RoomModelText(const Service& service, const RoomInfo& info, const std::string& default_room);

Answer<Reply> ListRooms(const Call& call);
Answer<Reply> GetRoom(const Call& call);
Answer<Reply> GetFields(const Call& call);
Answer<Reply> GetCommits(const Call& call);

}  // namespace zn::server
