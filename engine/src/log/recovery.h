// Finding the valid end of a log after whatever happened to it. docs/format.md, "Log".
//
// At most one group is being written at any time, and only after everything before it was synced.
// So when a group is bad, either nothing valid can follow (a torn tail: it was never acknowledged),
// or a later group says, in its durable_to, that the bad one had been synced: then the disk lost
// what was acknowledged, and the log is corrupt.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "log/group.h"
#include "log/head.h"
#include "log/log.h"
#include "log/log_maps.h"

namespace zn {

/// Groups of one file, in order, as far as they are valid.
struct FileWalk {
  uint64_t end = 0;          // of the last valid group: where it stopped
  GroupHeader last;          // the last valid group; records == 0 when there is none
  std::optional<Error> bad;  // why it stopped before the end of the file
};
/// `bytes` is the whole file. Checks headers, sequences and every record's CRC from the group at
/// `from` on.
FileWalk WalkLogFile(std::span<const std::byte> bytes, LogPosition from, uint32_t salt);

/// A group's header at or behind `from`, at a multiple of 4 KiB, that is valid and says that more
/// than `beyond` had been synced before it.
std::optional<GroupHeader> FindLaterGroup(std::span<const std::byte> bytes, LogPosition from,
                                          LogPosition beyond, uint32_t salt);

/// Numbers of the log files there are, ascending.
Result<std::vector<uint32_t>> ListLogFiles(const FileSystem& files, const std::string& directory);

struct Recovered {
  Head head;                          // durable {0, 0}: an empty log
  bool tail_is_dead = false;          // more bytes follow the end: go on in a new file
  bool ends_with_checkpoint = false;  // the checkpoint's group is the last one
};

/// What a writer or, without a valid head, a reader finds. Writes nothing when options.read_only; a
/// writer copies torn tails to quarantine/, and makes sure that what it found is on the disk.
Result<Recovered> RecoverLog(FileSystem& files, const LogMaps& maps, const LogOptions& options,
                             std::optional<Head> hint);

}  // namespace zn
