// Frames and fields of one room, from a snapshot into a store.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <tl/expected.hpp>

#include "exit_code.h"
#include "zn/engine/backup.h"

namespace zn::tools {

struct FramesRestore {
  std::string snapshot;       // its whole id
  std::string room;           // "NAME" or "NAME@COMMIT"
  std::string indices = ":";  // in the API's grammar
  std::string fields;         // separated by commas; "": all
  std::string store;          // where they go: a directory, made if there is none
  std::string as;             // the new room's name; "": as it was
  int threads = 0;
};
struct FramesRestored {
  std::string room;
  int64_t frames = 0, atoms = 0, stored_bytes = 0;
};

/// Makes a room of the frames, in one commit: their newest content as new frames, without history.
/// Only what they need is read from the repository.
tl::expected<FramesRestored, Failure> RestoreFrames(
    BackupRepository& repository, const FramesRestore& options, const std::atomic<bool>& stop,
    const std::function<void(const BackupProgress&)>& progress);

}  // namespace zn::tools
