#include "pack/pack_format.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/bytes.h"

namespace zn {
namespace {

constexpr uint32_t kPackMagic = 0x31504e5a;   // "ZNP1"
constexpr uint32_t kIndexMagic = 0x31494e5a;  // "ZNI1"
constexpr uint32_t kMovesMagic = 0x314d4e5a;  // "ZNM1"
constexpr uint32_t kPackVersion = 2;
constexpr uint32_t kVersion = 1;    // of indexes and tables of moves
constexpr size_t kHeaderSize = 64;  // of each of the three
constexpr size_t kCrcOffset = 60;
constexpr size_t kFanoutSize = 256 * 4;
constexpr size_t kNameSize = 32;
constexpr size_t kPlaceSize = 16;
constexpr size_t kMoveSize = 24;

constexpr size_t kChecksumSize = 4;

uint32_t VersionOf(uint32_t magic) { return magic == kPackMagic ? kPackVersion : kVersion; }

size_t BlocksInTable(uint64_t payload) {
  return payload <= kCheckBlock ? 0 : (payload + kCheckBlock - 1) / kCheckBlock;
}

std::vector<std::byte> Header(uint32_t magic, const ByteWriter& fields, uint32_t salt) {
  ByteWriter writer;
  writer.Put(magic);
  writer.Put(VersionOf(magic));
  writer.PutBytes(fields.bytes());
  std::vector<std::byte> header = writer.Take();
  header.resize(kHeaderSize);
  uint32_t crc = Crc32c(std::span(header).first(kCrcOffset), salt);
  std::memcpy(header.data() + kCrcOffset, &crc, 4);
  return header;
}

/// The fields behind magic and version.
Result<ByteReader> OpenHeader(std::span<const std::byte> bytes, uint32_t magic, uint32_t salt) {
  if (bytes.size() < kHeaderSize) return Error{ErrorCode::kCorrupt, "too short for its header"};
  ByteReader reader(bytes.first(kCrcOffset));
  if (reader.Get<uint32_t>() != magic) return Error{ErrorCode::kCorrupt, "bad magic"};
  uint32_t crc;
  std::memcpy(&crc, bytes.data() + kCrcOffset, 4);
  if (crc != Crc32c(bytes.first(kCrcOffset), salt)) {
    return Error{ErrorCode::kCorrupt, "wrong checksum of the header, or a file of another store"};
  }
  if (uint32_t version = reader.Get<uint32_t>(); version != VersionOf(magic)) {
    return Error{ErrorCode::kUnsupported, "version " + std::to_string(version)};
  }
  return reader;
}

}  // namespace

void EncodePackHeader(uint32_t salt, std::byte* out) {
  auto header = Header(kPackMagic, ByteWriter(), salt);
  std::copy(header.begin(), header.end(), out);
}

Result<> CheckPackHeader(std::span<const std::byte> bytes, uint32_t salt) {
  ZN_RETURN_IF_ERROR(OpenHeader(bytes, kPackMagic, salt));
  return {};
}

size_t PackRecordHeadSize(uint64_t payload) {
  const size_t table = BlocksInTable(payload) * kChecksumSize;
  return kRecordHeaderSize + (table + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

uint64_t PackRecordSize(uint64_t payload) {
  return PackRecordHeadSize(payload) - kRecordHeaderSize + PaddedRecordSize(payload);
}

std::vector<std::byte> EncodePackRecordHead(RecordType type, const Sha256& name,
                                            std::span<const std::byte> payload, uint32_t salt) {
  std::vector<std::byte> head(PackRecordHeadSize(payload.size()));
  const size_t blocks = BlocksInTable(payload.size());
  std::byte* const table = head.data() + kRecordHeaderSize;
  for (size_t i = 0; i < blocks; ++i) {
    const size_t at = i * kCheckBlock;
    const uint32_t crc =
        Crc32c(payload.subspan(at, std::min(kCheckBlock, payload.size() - at)), salt);
    std::memcpy(table + i * kChecksumSize, &crc, kChecksumSize);
  }
  const uint32_t crc =
      blocks == 0 ? Crc32c(payload, salt) : Crc32c({table, blocks * kChecksumSize}, salt);
  EncodeRecordHeader({type, payload.size(), name, crc}, salt, head.data());
  return head;
}

Result<PackRecordHead> PackRecordHead::Open(std::span<const std::byte> head, uint64_t length,
                                            uint32_t salt) {
  PackRecordHead opened;
  opened.salt_ = salt;
  ZN_ASSIGN_OR_RETURN(opened.header_, DecodeRecordHeader(head, salt));
  if (opened.header_.length != length) {
    return Error{ErrorCode::kCorrupt, "another record than the one referred to"};
  }
  const size_t blocks = BlocksInTable(length);
  if (blocks == 0) return opened;
  if (head.size() < PackRecordHeadSize(length)) {
    return Error{ErrorCode::kCorrupt, "the file ends within a record's head"};
  }
  const auto table = head.subspan(kRecordHeaderSize, blocks * kChecksumSize);
  if (Crc32c(table, salt) != opened.header_.payload_crc) {
    return Error{ErrorCode::kCorrupt, "wrong checksum of a record's table of checksums"};
  }
  opened.table_ = table.data();
  return opened;
}

bool PackRecordHead::IsSound(size_t i, std::span<const std::byte> block) const {
  uint32_t crc = header_.payload_crc;
  if (table_ != nullptr) std::memcpy(&crc, table_ + i * kChecksumSize, kChecksumSize);
  return Crc32c(block, salt_) == crc;
}

std::vector<std::byte> EncodePackIndex(std::vector<PackEntry> entries, uint64_t pack_size,
                                       uint32_t salt) {
  std::sort(entries.begin(), entries.end(), [](const PackEntry& a, const PackEntry& b) {
    return a.name != b.name ? a.name < b.name : a.offset < b.offset;
  });
  ByteWriter body;
  size_t i = 0;
  for (int byte = 0; byte < 256; ++byte) {
    while (i < entries.size() && static_cast<int>(entries[i].name.bytes[0]) <= byte) ++i;
    body.Put(static_cast<uint32_t>(i));
  }
  for (const PackEntry& entry : entries) body.PutBytes(entry.name.bytes);
  for (const PackEntry& entry : entries) {
    body.Put(entry.offset);
    body.Put(entry.length);
    body.Put(uint32_t{0});
  }
  ByteWriter fields;
  fields.Put(static_cast<uint64_t>(entries.size()));
  fields.Put(pack_size);
  fields.Put(Crc32c(body.bytes(), salt));
  auto bytes = Header(kIndexMagic, fields, salt);
  bytes.insert(bytes.end(), body.bytes().begin(), body.bytes().end());
  return bytes;
}

Result<PackIndex> PackIndex::Open(std::span<const std::byte> bytes, uint32_t salt) {
  ZN_ASSIGN_OR_RETURN(ByteReader reader, OpenHeader(bytes, kIndexMagic, salt));
  PackIndex index;
  index.count_ = reader.Get<uint64_t>();
  index.pack_size_ = reader.Get<uint64_t>();
  index.bytes_ = bytes;
  index.salt_ = salt;
  if (index.count_ > UINT32_MAX ||
      bytes.size() != kHeaderSize + kFanoutSize + index.count_ * (kNameSize + kPlaceSize)) {
    return Error{ErrorCode::kCorrupt, "its size does not fit its number of names"};
  }
  uint32_t before = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    uint32_t names = index.FirstBytes(byte);
    if (names < before || names > index.count_) {
      return Error{ErrorCode::kCorrupt, "its table of first bytes is not ascending"};
    }
    before = names;
  }
  if (before != index.count_) {
    return Error{ErrorCode::kCorrupt, "its table of first bytes does not hold every name"};
  }
  return index;
}

Result<> PackIndex::CheckBody() const {
  uint32_t crc;
  std::memcpy(&crc, bytes_.data() + 24, 4);
  if (Crc32c(bytes_.subspan(kHeaderSize), salt_) != crc) {
    return Error{ErrorCode::kCorrupt, "wrong checksum of the index"};
  }
  return {};
}

uint32_t PackIndex::FirstBytes(size_t byte) const {
  uint32_t names;
  std::memcpy(&names, bytes_.data() + kHeaderSize + 4 * byte, 4);
  return names;
}

const std::byte* PackIndex::NameAt(uint64_t i) const {
  return bytes_.data() + kHeaderSize + kFanoutSize + kNameSize * i;
}

PackEntry PackIndex::entry(uint64_t i) const {
  PackEntry entry;
  std::memcpy(entry.name.bytes.data(), NameAt(i), kNameSize);
  const std::byte* place = NameAt(count_) + kPlaceSize * i;
  std::memcpy(&entry.offset, place, 8);
  std::memcpy(&entry.length, place + 8, 4);
  return entry;
}

std::optional<PackEntry> PackIndex::Find(const Sha256& name) const {
  const size_t byte = static_cast<size_t>(name.bytes[0]);
  uint64_t begin = byte == 0 ? 0 : FirstBytes(byte - 1);
  uint64_t end = FirstBytes(byte);
  while (begin < end) {
    uint64_t middle = begin + (end - begin) / 2;
    if (std::memcmp(NameAt(middle), name.bytes.data(), kNameSize) < 0) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  if (begin == count_ || std::memcmp(NameAt(begin), name.bytes.data(), kNameSize) != 0) {
    return std::nullopt;
  }
  return entry(begin);
}

std::vector<std::byte> EncodeMoves(std::vector<Move> moves, uint32_t salt) {
  std::sort(moves.begin(), moves.end(),
            [](const Move& a, const Move& b) { return a.old_offset < b.old_offset; });
  ByteWriter body;
  for (const Move& move : moves) {
    body.Put(move.old_offset);
    body.Put(move.offset);
    body.Put(move.file);
    body.Put(move.length);
  }
  ByteWriter fields;
  fields.Put(static_cast<uint64_t>(moves.size()));
  fields.Put(Crc32c(body.bytes(), salt));
  auto bytes = Header(kMovesMagic, fields, salt);
  bytes.insert(bytes.end(), body.bytes().begin(), body.bytes().end());
  return bytes;
}

Result<std::vector<Move>> DecodeMoves(std::span<const std::byte> bytes, uint32_t salt) {
  ZN_ASSIGN_OR_RETURN(ByteReader header, OpenHeader(bytes, kMovesMagic, salt));
  const uint64_t count = header.Get<uint64_t>();
  const uint32_t crc = header.Get<uint32_t>();
  auto body = bytes.subspan(kHeaderSize);
  if (body.size() % kMoveSize != 0 || body.size() / kMoveSize != count) {
    return Error{ErrorCode::kCorrupt, "its size does not fit its number of moves"};
  }
  if (Crc32c(body, salt) != crc) return Error{ErrorCode::kCorrupt, "wrong checksum of the moves"};
  ByteReader reader(body);
  std::vector<Move> moves(count);
  for (size_t i = 0; i < count; ++i) {
    moves[i].old_offset = reader.Get<uint64_t>();
    moves[i].offset = reader.Get<uint64_t>();
    moves[i].file = reader.Get<uint32_t>();
    moves[i].length = reader.Get<uint32_t>();
    if (i > 0 && moves[i].old_offset <= moves[i - 1].old_offset) {
      return Error{ErrorCode::kCorrupt, "its offsets are not ascending"};
    }
  }
  return moves;
}

namespace {

/// The record at the beginning of `rest`.
Result<RecordHeader> CheckScanned(std::span<const std::byte> rest, uint32_t salt,
                                  bool check_payload) {
  ZN_ASSIGN_OR_RETURN(const RecordHeader header, DecodeRecordHeader(rest, salt));
  const size_t head_size = header.length > UINT32_MAX ? 0 : PackRecordHeadSize(header.length);
  if (head_size == 0 || head_size > rest.size() || header.length > rest.size() - head_size) {
    return Error{ErrorCode::kCorrupt, "the file ends within a record"};
  }
  if (!check_payload) return header;
  ZN_ASSIGN_OR_RETURN(const PackRecordHead head,
                      PackRecordHead::Open(rest.first(head_size), header.length, salt));
  const auto payload = rest.subspan(head_size, header.length);
  for (size_t i = 0; i < head.blocks(); ++i) {
    const size_t at = i * kCheckBlock;
    if (!head.IsSound(i, payload.subspan(at, std::min(kCheckBlock, payload.size() - at)))) {
      return Error{ErrorCode::kCorrupt, "wrong checksum of a record"};
    }
  }
  return header;
}

}  // namespace

PackScan ScanPack(std::span<const std::byte> pack, uint32_t salt, bool check_payloads) {
  PackScan scan;
  auto header = CheckPackHeader(pack, salt);
  if (!header) {
    scan.bad = std::move(header).error();
    return scan;
  }
  scan.end = kPackHeaderSize;
  while (scan.end < pack.size()) {
    auto rest = pack.subspan(scan.end);
    auto record = CheckScanned(rest, salt, check_payloads);
    if (!record) {
      scan.bad = std::move(record).error().Context("at offset " + std::to_string(scan.end));
      return scan;
    }
    scan.entries.push_back({record->name, scan.end + PackRecordHeadSize(record->length),
                            static_cast<uint32_t>(record->length), record->type});
    scan.end += PackRecordSize(record->length);
  }
  return scan;
}

std::string PackFileName(uint32_t pack, std::string_view extension) {
  char number[16];
  std::snprintf(number, sizeof number, "%06u", pack);
  return number + std::string(extension);
}

uint32_t ParsePackFileName(std::string_view name, std::string_view extension) {
  if (name.size() < 6 + extension.size() || name.size() > 10 + extension.size() ||
      name.substr(name.size() - extension.size()) != extension) {
    return 0;
  }
  uint64_t number = 0;
  for (char c : name.substr(0, name.size() - extension.size())) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  if (number == 0 || number >= RecordRef::kLogBit) return 0;
  return name == PackFileName(static_cast<uint32_t>(number), extension)
             ? static_cast<uint32_t>(number)
             : 0;
}

}  // namespace zn
