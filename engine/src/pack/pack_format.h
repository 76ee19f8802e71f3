// The bytes of STORE/packs. docs/format.md, "Packs".
//
// NNNNNN.pack   a header of 64 bytes, then records (log/record.h)
// NNNNNN.idx    of a sealed pack: its names, sorted, and where their records are
// NNNNNN.moved  of a collected pack: where its living records went
//
// Every integrity check is seeded with the store's salt, so that a file of another store is
// refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "log/record.h"
#include "zn/engine/error.h"

namespace zn {

inline constexpr size_t kPackHeaderSize = 64;

/// A longer payload is checked in blocks of this size, so that reading a row of a chunk touches the
/// blocks it lies in and not the whole chunk.
inline constexpr size_t kCheckBlock = 4096;

/// 0 magic "ZNP1", 4 version u32 = 2, 8 zeros, 60 crc32c of bytes 0..59.
void EncodePackHeader(uint32_t salt, std::byte* out);
Result<> CheckPackHeader(std::span<const std::byte> bytes, uint32_t salt);

/// What stands before a payload in a pack: the record's header and, when the payload is longer than
/// kCheckBlock, a table with the salted CRC-32C (u32) of each of its blocks, padded with zeros to a
/// multiple of 64. The header then holds the CRC of the table, without its padding, instead of the
/// payload's.
size_t PackRecordHeadSize(uint64_t payload);
/// Head, payload, padding.
uint64_t PackRecordSize(uint64_t payload);
std::vector<std::byte> EncodePackRecordHead(RecordType type, const Sha256& name,
                                            std::span<const std::byte> payload, uint32_t salt);

/// The head of a record where it lies, checked; the bytes must outlive it.
class PackRecordHead {
 public:
  /// `head` has PackRecordHeadSize(length) bytes for the `length` that a reference, or the header
  /// itself, names. kCorrupt when header or table are damaged, or of another length.
  static Result<PackRecordHead> Open(std::span<const std::byte> head, uint64_t length,
                                     uint32_t salt);

  const RecordHeader& header() const { return header_; }
  size_t blocks() const { return (header_.length + kCheckBlock - 1) / kCheckBlock; }
  /// Whether the bytes of block `i` are those that were written.
  bool IsSound(size_t i, std::span<const std::byte> block) const;

 private:
  RecordHeader header_{};
  const std::byte* table_ = nullptr;  // null when there is one block at most
  uint32_t salt_ = 0;
};

/// A record of a pack. Offsets are those of payloads.
struct PackEntry {
  Sha256 name;
  uint64_t offset = 0;
  uint32_t length = 0;
  RecordType type = RecordType::kChunk;  // of a scan; an index does not say
};

/// Sorts `entries` by name, then offset.
///   0    magic "ZNI1", version u32 = 1, count u64, size of the pack u64, crc32c of all behind the
///   header u32, zeros,
///        crc32c of bytes 0..59 at 60
///   64   256 u32: how many names have a first byte of at most 0, 1, ... 255
///   1088 count names of 32 bytes
///   then count times {offset u64, length u32, zero u32}
std::vector<std::byte> EncodePackIndex(std::vector<PackEntry> entries, uint64_t pack_size,
                                       uint32_t salt);

/// An index where it lies; the bytes must outlive it.
class PackIndex {
 public:
  /// Checks the header and the table of first bytes. What stands behind them is checked by
  /// CheckBody only: an index of a full pack is megabytes, and whoever finds a record checks the
  /// record.
  static Result<PackIndex> Open(std::span<const std::byte> bytes, uint32_t salt);
  Result<> CheckBody() const;

  uint64_t count() const { return count_; }
  uint64_t pack_size() const { return pack_size_; }
  /// REQUIRES: i < count().
  PackEntry entry(uint64_t i) const;
  std::optional<PackEntry> Find(const Sha256& name) const;

 private:
  uint32_t FirstBytes(size_t byte) const;
  const std::byte* NameAt(uint64_t i) const;

  std::span<const std::byte> bytes_;
  uint64_t count_ = 0;
  uint64_t pack_size_ = 0;
  uint32_t salt_ = 0;
};

/// Where a record of a collected pack went.
struct Move {
  uint64_t old_offset = 0;
  uint64_t offset = 0;
  uint32_t file = 0;
  uint32_t length = 0;
};

/// Sorts by old offset.
///   0    magic "ZNM1", version u32 = 1, count u64, crc32c of all behind the header u32, zeros,
///   crc32c of bytes 0..59 at 60 64   count times {old offset u64, offset u64, file u32, length
///   u32}
std::vector<std::byte> EncodeMoves(std::vector<Move> moves, uint32_t salt);
/// Checks everything.
Result<std::vector<Move>> DecodeMoves(std::span<const std::byte> bytes, uint32_t salt);

/// Records one after the other from the pack's header on, until the first that is not valid.
/// `check_payloads` also checks their blocks. Gives the entries and where they end.
struct PackScan {
  std::vector<PackEntry> entries;
  uint64_t end = 0;
  std::optional<Error> bad;  // why it stopped before the end of the file
};
PackScan ScanPack(std::span<const std::byte> pack, uint32_t salt, bool check_payloads);

/// "000003.pack".
std::string PackFileName(uint32_t pack, std::string_view extension);
/// The number in "000003" + extension; 0 when `name` is not of this form.
uint32_t ParsePackFileName(std::string_view name, std::string_view extension);

}  // namespace zn
