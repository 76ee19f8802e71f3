// The group: what becomes durable together. docs/format.md, "Log".
//
//   offset  size
//   0       4     magic "ZNG1"
//   4       2     version of this header, 1
//   6       2     flags (GroupFlags)
//   8       8     sequence: 1, 2, ... over all files
//   16      8     length in bytes, with this header, without padding
//   24      4     number of records
//   28      4     number of the file it stands in
//   32      8     offset it stands at
//   40      8     durable_to, offset: the end of what was synced before this group was written
//   48      4     durable_to, file
//   52      8     zero
//   60      4     crc32c of bytes 0..59, seeded with the store's salt
//
// Groups start at multiples of 4 KiB of their file; records follow the header at once, zeros fill
// up to the next multiple.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "log/record.h"
#include "zn/engine/error.h"

namespace zn {

inline constexpr size_t kGroupHeaderSize = 64;
inline constexpr uint64_t kGroupAlignment = 4096;

/// A place in the log. Files count from 1; {0, 0} is before everything.
struct LogPosition {
  uint32_t file = 0;
  uint64_t offset = 0;
  friend auto operator<=>(const LogPosition&, const LogPosition&) = default;
};

enum GroupFlags : uint16_t {
  kBeginsFile = 1,     // stands at offset 0; its first record is a checkpoint
  kHasCheckpoint = 2,  // one of its records is a checkpoint
};

struct GroupHeader {
  uint16_t flags = 0;
  uint64_t sequence = 0;
  uint64_t length = 0;
  uint32_t records = 0;
  LogPosition position;
  LogPosition durable_to;

  uint64_t padded_length() const {
    return (length + kGroupAlignment - 1) / kGroupAlignment * kGroupAlignment;
  }
  LogPosition end() const { return {position.file, position.offset + padded_length()}; }
};

/// 64 bytes.
void EncodeGroupHeader(const GroupHeader& header, uint32_t salt, std::byte* out);

/// kCorrupt when magic, CRC, padding or lengths are wrong, or when it was not written for
/// `position`. kUnsupported for a later version of the header.
Result<GroupHeader> DecodeGroupHeader(std::span<const std::byte> bytes, LogPosition position,
                                      uint32_t salt);

/// Visits the records of a group. `bytes` begins with the group's header and holds at least
/// header.length bytes. Checks every header; payloads too, when `check_payloads`. kCorrupt, with
/// the offset in the file, when any is wrong or they do not fill the group. `visit` gets the offset
/// of the payload in the file.
Result<> VisitGroup(const GroupHeader& header, std::span<const std::byte> bytes, uint32_t salt,
                    bool check_payloads,
                    const std::function<Result<>(const RecordHeader&, uint64_t offset,
                                                 std::span<const std::byte> payload)>& visit);

/// "log/000003.log".
std::string LogFileName(uint32_t file);
/// The number in "000003.log"; 0 when it is not the name of a log file.
uint32_t ParseLogFileName(std::string_view name);

}  // namespace zn
