// The groups of a log file that may be damaged, and making groups again. Works on bytes;
// docs/format.md, "Log".
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "log/group.h"

namespace zn::check {

struct GroupAt {
  GroupHeader header;
  uint64_t begin = 0, end = 0;
};
/// Bytes of a log file.
struct Extent {
  uint64_t begin = 0, end = 0;
};

/// Commits and room models of a sound group that no ref in it names: every one is written together
/// with its ref, so an older ref stands there in place of it.
class UnnamedRecords {
 public:
  void See(RecordType type, const Sha256& name, std::span<const std::byte> payload);
  std::vector<std::pair<RecordType, Sha256>> Take();

 private:
  std::vector<std::pair<RecordType, Sha256>> written_;
  std::vector<Sha256> named_;
};

struct LogStructure {
  std::vector<GroupAt> groups;  // sound in every record, ascending
  std::vector<Extent> bad;      // between them, and up to `must_end`
  uint64_t end = 0;             // of all of these; what stands behind was never acknowledged
};
/// `must_end`: up to here the file is known to have been synced; 0 when nothing is known.
LogStructure ReadStructure(std::span<const std::byte> bytes, uint32_t file, uint32_t salt,
                           uint64_t must_end);

/// What stands around a bad extent.
struct Surroundings {
  uint32_t file = 0;
  uint64_t sequence_before = 0;           // 0: begins the log
  LogPosition end_before;                 // of the group before, perhaps in another file
  std::optional<uint64_t> sequence_next;  // of the next group, perhaps in another file
};

/// Makes the headers of groups and records in `extent` again, as they were, when every payload is
/// whole. False, with `bytes` unchanged, when it cannot be done without a doubt.
bool RebuildGroups(std::vector<std::byte>& bytes, const Extent& extent, const Surroundings& around,
                   uint32_t salt);

/// A record that is to be marked as lost at its place.
struct LostAt {
  uint64_t payload = 0;
  uint32_t length = 0;
  Sha256 name;
};
/// Fills `extent` with groups of what is whole in it, of marks for `lost`, and of nameless marks in
/// between, so that the log can be walked past it. Refs and the like are kept only where their
/// group's own header says that they belong there. False when the numbers around it do not fit.
bool FillGroups(std::vector<std::byte>& bytes, const Extent& extent, const Surroundings& around,
                std::span<const LostAt> lost, uint32_t salt);

}  // namespace zn::check
