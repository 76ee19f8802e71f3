#include "log/group.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr uint32_t kMagic = 0x31474e5a;  // "ZNG1"
constexpr uint16_t kVersion = 1;
constexpr size_t kCrcOffset = 60;

}  // namespace

void EncodeGroupHeader(const GroupHeader& header, uint32_t salt, std::byte* out) {
  ByteWriter writer;
  writer.Put(kMagic);
  writer.Put(kVersion);
  writer.Put(header.flags);
  writer.Put(header.sequence);
  writer.Put(header.length);
  writer.Put(header.records);
  writer.Put(header.position.file);
  writer.Put(header.position.offset);
  writer.Put(header.durable_to.offset);
  writer.Put(header.durable_to.file);
  writer.Put(uint64_t{0});
  writer.Put(Crc32c(writer.bytes(), salt));
  std::memcpy(out, writer.bytes().data(), kGroupHeaderSize);
}

Result<GroupHeader> DecodeGroupHeader(std::span<const std::byte> bytes, LogPosition position,
                                      uint32_t salt) {
  if (bytes.size() < kGroupHeaderSize) {
    return Error{ErrorCode::kCorrupt, "the file ends within a group's header"};
  }
  bytes = bytes.first(kGroupHeaderSize);
  ByteReader reader(bytes);
  if (reader.Get<uint32_t>() != kMagic) return Error{ErrorCode::kCorrupt, "no group begins here"};
  uint16_t version = reader.Get<uint16_t>();
  GroupHeader header;
  header.flags = reader.Get<uint16_t>();
  header.sequence = reader.Get<uint64_t>();
  header.length = reader.Get<uint64_t>();
  header.records = reader.Get<uint32_t>();
  header.position.file = reader.Get<uint32_t>();
  header.position.offset = reader.Get<uint64_t>();
  header.durable_to.offset = reader.Get<uint64_t>();
  header.durable_to.file = reader.Get<uint32_t>();
  uint64_t zero = reader.Get<uint64_t>();
  if (reader.Get<uint32_t>() != Crc32c(bytes.first(kCrcOffset), salt)) {
    return Error{ErrorCode::kCorrupt, "wrong checksum of a group's header"};
  }
  if (version != kVersion) {
    return Error{ErrorCode::kUnsupported,
                 "a group's header has version " + std::to_string(version)};
  }
  constexpr uint64_t kMost = uint64_t{1} << 62;  // so that sums of lengths and offsets cannot wrap
  if (zero != 0 || header.position != position || header.sequence == 0 || header.length > kMost ||
      header.position.offset > kMost || header.records == 0 ||
      header.length < kGroupHeaderSize + uint64_t{header.records} * kRecordHeaderSize ||
      header.durable_to > header.position ||
      ((header.flags & kBeginsFile) != 0) != (position.offset == 0)) {
    return Error{ErrorCode::kCorrupt, "a group's header contradicts itself or its place"};
  }
  return header;
}

Result<> VisitGroup(const GroupHeader& header, std::span<const std::byte> bytes, uint32_t salt,
                    bool check_payloads,
                    const std::function<Result<>(const RecordHeader&, uint64_t offset,
                                                 std::span<const std::byte> payload)>& visit) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), header.length));
  size_t at = kGroupHeaderSize;
  auto corrupt = [&](const std::string& what) {
    return Error{ErrorCode::kCorrupt, LogFileName(header.position.file) + " at offset " +
                                          std::to_string(header.position.offset + at) + ": " +
                                          what};
  };
  if (bytes.size() < header.length) return corrupt("the file ends within a group");
  for (uint32_t i = 0; i < header.records; ++i) {
    const auto rest = bytes.subspan(std::min(at, bytes.size()));
    if (const auto lost = DecodeLostHeader(rest, salt);
        lost && lost->length <= bytes.size() - at - kRecordHeaderSize) {
      at += PaddedRecordSize(lost->length);  // not visited: there is nothing to see
      continue;
    }
    auto record = DecodeRecordHeader(rest, salt);
    if (!record) return corrupt(record.error().message);
    if (record->length > bytes.size() - at - kRecordHeaderSize) {
      return corrupt("a record reaches beyond its group");
    }
    auto payload = bytes.subspan(at + kRecordHeaderSize, record->length);
    if (check_payloads && Crc32c(payload, salt) != record->payload_crc) {
      return corrupt("wrong checksum of a record");
    }
    if (i == 0 && (header.flags & kBeginsFile) && record->type != RecordType::kCheckpoint) {
      return corrupt("a file does not begin with a checkpoint");
    }
    ZN_RETURN_IF_ERROR(visit(*record, header.position.offset + at + kRecordHeaderSize, payload));
    at += PaddedRecordSize(record->length);
  }
  if (at != header.length) return corrupt("the records do not fill their group");
  return {};
}

std::string LogFileName(uint32_t file) {
  char name[32];
  std::snprintf(name, sizeof name, "log/%06u.log", file);
  return name;
}

uint32_t ParseLogFileName(std::string_view name) {
  constexpr std::string_view kSuffix = ".log";
  if (name.size() < 6 + kSuffix.size() || name.size() > 10 + kSuffix.size() ||
      name.substr(name.size() - kSuffix.size()) != kSuffix) {
    return 0;
  }
  uint64_t number = 0;
  for (char c : name.substr(0, name.size() - kSuffix.size())) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  if (number == 0 || number >= RecordRef::kLogBit) return 0;
  // "0000003.log" would be a second name of file 3.
  return "log/" + std::string(name) == LogFileName(static_cast<uint32_t>(number))
             ? static_cast<uint32_t>(number)
             : 0;
}

}  // namespace zn
