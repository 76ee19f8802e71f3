// Rooms, their fields and their history.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> ListRooms(const Call& call);
Answer<Reply> GetRoom(const Call& call);
Answer<Reply> GetFields(const Call& call);
Answer<Reply> GetCommits(const Call& call);

}  // namespace zn::server
