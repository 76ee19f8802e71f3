// Rooms made, described, removed.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> PostRoom(const Call& call);
Answer<Reply> PatchRoom(const Call& call);
Answer<Reply> DeleteRoom(const Call& call);
Answer<Reply> GetMetadata(const Call& call);
Answer<Reply> PatchMetadata(const Call& call);

}  // namespace zn::server
