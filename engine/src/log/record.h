// The record: the unit in which packs and logs keep chunks, tree nodes, commits and refs. docs/format.md, "Records".
//
//   offset  size
//   0       4     magic "ZNR1"
//   4       1     type (RecordType)
//   5       3     zero
//   8       8     length of the payload
//   16      32    sha256 of the payload: its name
//   48      4     crc32c of the payload, seeded with the store's salt
//   52      4     crc32c of bytes 0..51, seeded with the salt
//   56      8     zero
//   64      ...   payload, then zeros up to the next multiple of 64
//
// Records start at multiples of 64 of their file, so payloads do too. The salt keeps a record that a user stored as
// data from being taken for a record when a damaged file is scanned.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "zn/engine/error.h"
#include "zn/engine/version.h"

namespace zn {

inline constexpr size_t kRecordHeaderSize = 64;
inline constexpr size_t kRecordAlignment = 64;

/// Stored on disk: never renumber.
enum class RecordType : uint8_t {
  kChunk = 1,       // encoded bytes of one chunk
  kNode = 2,        // a tree node
  kRoot = 3,        // a room's trees and descriptors
  kCommit = 4,
  kRef = 5,         // room -> newest commit and model
  kRoomModel = 6,
  kVersion = 7,     // one version of one frame
  kCheckpoint = 8,  // all refs, at the start of a log file
  kEpoch = 9,       // u64: a writer has started
  kState = 10,      // reserved: state records, fences, idempotency results, audit
  kLost = 11,       // stands where a damaged record was of which no copy was found; see DecodeLostHeader
};

/// Where a record's payload lies. `file` counts packs from 1; with kLogBit set it counts log files.
struct RecordRef {
  static constexpr uint32_t kLogBit = 0x80000000u;
  Sha256 name;
  uint64_t offset = 0;  // of the payload; 0 is no reference (a payload is never at 0)
  uint32_t file = 0;
  uint32_t length = 0;  // of the payload

  explicit operator bool() const { return offset != 0; }
  bool in_log() const { return (file & kLogBit) != 0; }
  friend bool operator==(const RecordRef&, const RecordRef&) = default;
};
inline constexpr size_t kEncodedRefSize = 48;  // name 32, offset 8, file 4, length 4

struct RecordHeader {
  RecordType type;
  uint64_t length;
  Sha256 name;
  uint32_t payload_crc;
};

/// 64 bytes.
void EncodeRecordHeader(const RecordHeader& header, uint32_t salt, std::byte* out);
/// kCorrupt when magic, type, CRC or padding are wrong, and for a lost record, so that whoever reads one says so.
Result<RecordHeader> DecodeRecordHeader(std::span<const std::byte> bytes, uint32_t salt);

/// The header of a lost record: name (zero when unknown) and length of what was there. Its payload is whatever is left.
std::optional<RecordHeader> DecodeLostHeader(std::span<const std::byte> bytes, uint32_t salt);

inline size_t PaddedRecordSize(size_t payload) {
  return kRecordHeaderSize + (payload + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

}  // namespace zn
