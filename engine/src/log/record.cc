#include "log/record.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr uint32_t kMagic = 0x31524e5a;  // "ZNR1"
constexpr size_t kCrcOffset = 52;

/// Of any type.
Result<RecordHeader> Decode(std::span<const std::byte> bytes, uint32_t salt);

}  // namespace

void EncodeRecordHeader(const RecordHeader& header, uint32_t salt, std::byte* out) {
  std::memset(out, 0, kRecordHeaderSize);
  std::memcpy(out, &kMagic, 4);
  std::memcpy(out + 4, &header.type, 1);
  std::memcpy(out + 8, &header.length, 8);
  std::memcpy(out + 16, header.name.bytes.data(), 32);
  std::memcpy(out + 48, &header.payload_crc, 4);
  uint32_t crc = Crc32c({out, kCrcOffset}, salt);
  std::memcpy(out + kCrcOffset, &crc, 4);
}

Result<RecordHeader> DecodeRecordHeader(std::span<const std::byte> bytes, uint32_t salt) {
  auto header = Decode(bytes, salt);
  if (header && header->type == RecordType::kLost)
    return Error{ErrorCode::kCorrupt,
                 "lost: the record was damaged, and zn-fsck found no copy of it"};
  return header;
}

std::optional<RecordHeader> DecodeLostHeader(std::span<const std::byte> bytes, uint32_t salt) {
  auto header = Decode(bytes, salt);
  if (!header || header->type != RecordType::kLost) return std::nullopt;
  return *header;
}

namespace {

Result<RecordHeader> Decode(std::span<const std::byte> bytes, uint32_t salt) {
  if (bytes.size() < kRecordHeaderSize) {
    return Error{ErrorCode::kCorrupt, "the file ends within a record's header"};
  }
  bytes = bytes.first(kRecordHeaderSize);
  ByteReader reader(bytes);
  if (reader.Get<uint32_t>() != kMagic) return Error{ErrorCode::kCorrupt, "no record begins here"};
  RecordHeader header{};
  header.type = reader.Get<RecordType>();
  auto zeros = reader.GetBytes(3);
  header.length = reader.Get<uint64_t>();
  auto name = reader.GetBytes(header.name.bytes.size());
  std::copy(name.begin(), name.end(), header.name.bytes.begin());
  header.payload_crc = reader.Get<uint32_t>();
  uint32_t crc = reader.Get<uint32_t>();
  auto tail = reader.GetBytes(8);
  if (crc != Crc32c(bytes.first(kCrcOffset), salt)) {
    return Error{ErrorCode::kCorrupt, "wrong checksum of a record's header"};
  }
  auto not_zero = [](std::byte b) { return b != std::byte{0}; };
  if (std::any_of(zeros.begin(), zeros.end(), not_zero) ||
      std::any_of(tail.begin(), tail.end(), not_zero)) {
    return Error{ErrorCode::kCorrupt, "non-zero padding in a record's header"};
  }
  if (header.type < RecordType::kChunk || header.type > RecordType::kLost) {
    return Error{ErrorCode::kCorrupt,
                 "unknown record type " + std::to_string(static_cast<int>(header.type))};
  }
  return header;
}

}  // namespace

}  // namespace zn
