// Reading frames: one, a selection, a long selection by POST; and what is known about them.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> GetFrames(const Call& call);
Answer<Reply> GetFrame(const Call& call);
Answer<Reply> SelectFrames(const Call& call);

// frames_meta.cc
Answer<Reply> GetFramesMeta(const Call& call);
Answer<Reply> GetFramesChanges(const Call& call);
Answer<Reply> GetFrameVersions(const Call& call);

}  // namespace zn::server
