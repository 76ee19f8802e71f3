// What changes of frames and rooms say in the audit log, in the commit's own transaction.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/audit.h"
#include "zn/engine/records.h"
#include "zn/engine/room.h"

namespace zn::server {

struct Call;

/// Who changed something, when, over what.
struct AuditSource {
  int64_t time_ns = 0;
  std::string actor, origin, room;
};
AuditSource SourceOf(const Call& call);

/// A line for each frame of a commit with up to 100 of them ("edit", "append", "delete", ...), one
/// line for a larger one. Hashes are not in it, since they cost reading the frames: see WithHashes.
/// Nothing when nothing changed.
Result<> AuditFrames(RecordTransaction& records, const AuditSource& source,
                     std::string_view operation, const CommitInfo& draft);

/// `key`: what of the room changed. The values are JSON, "" for null.
Result<> AuditRoom(RecordTransaction& records, const AuditSource& source, std::string_view key,
                   const std::string& old_value, const std::string& new_value);
/// A line for each member of the model that differs.
Result<> AuditModel(RecordTransaction& records, const AuditSource& source, const RoomModel& before,
                    const RoomModel& after);

/// The lines as they are shown: `old` and `new` of frames are the hashes of the version and the one
/// before it, as far as the room's history still has them. At most `budget` frames are read for
/// that; it is counted down.
std::string WithHashes(const Call& call, const Snapshot& head, const std::string& line,
                       int* budget);

}  // namespace zn::server
