// Frames written over HTTP: added, replaced, edited, removed, and their history walked.
#pragma once

#include "api/router.h"

namespace zn::server {

Answer<Reply> PostFrames(const Call& call);      // append, insert, copy by reference
Answer<Reply> PutFrame(const Call& call);        // replace
Answer<Reply> PatchFrame(const Call& call);      // fields and single atoms of one
Answer<Reply> PatchFrames(const Call& call);     // fields of many
Answer<Reply> DeleteFrame(const Call& call);
Answer<Reply> DeleteFrames(const Call& call);    // ?indices=
Answer<Reply> UndoFrame(const Call& call);
Answer<Reply> RedoFrame(const Call& call);
Answer<Reply> RestoreRoom(const Call& call);     // {commit}
Answer<Reply> UploadFrame(const Call& call);     // an older name: PUT in the default room, or POST of the frame behind its last

}  // namespace zn::server
