#include "check/record_search.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"

namespace zn::check {
namespace {

constexpr uint64_t kWindow = 1 << 20;
constexpr char kMagic[] = {'Z', 'N', 'R', '1'};

/// What a damaged header says, right or wrong.
struct Claim {
  uint8_t type;
  uint64_t length;
  Sha256 name;
  uint32_t payload_crc, header_crc;
};

Claim ClaimOf(std::span<const std::byte> bytes) {
  Claim claim;
  std::memcpy(&claim.type, bytes.data() + 4, 1);
  std::memcpy(&claim.length, bytes.data() + 8, 8);
  std::memcpy(claim.name.bytes.data(), bytes.data() + 16, 32);
  std::memcpy(&claim.payload_crc, bytes.data() + 48, 4);
  std::memcpy(&claim.header_crc, bytes.data() + 52, 4);
  return claim;
}

bool IsType(uint8_t type) {
  return type >= static_cast<uint8_t>(RecordType::kChunk) &&
         type <= static_cast<uint8_t>(RecordType::kState);
}

std::optional<RecordHeader> Confirm(const Claim& claim, std::span<const std::byte> payload,
                                    uint32_t crc, uint32_t salt) {
  const bool crc_agrees = crc == claim.payload_crc;
  const Sha256 name = HashSha256(payload);
  if (!crc_agrees && name != claim.name) return std::nullopt;
  const auto encoded_crc = [&](uint8_t type) {
    std::byte head[kRecordHeaderSize];
    EncodeRecordHeader({static_cast<RecordType>(type), payload.size(), name, crc}, salt, head);
    uint32_t header_crc;
    std::memcpy(&header_crc, head + 52, sizeof header_crc);
    return header_crc;
  };
  for (uint8_t type = 1; IsType(type); ++type)
    if (encoded_crc(type) == claim.header_crc)
      return RecordHeader{static_cast<RecordType>(type), payload.size(), name, crc};
  // The header's own checksum is what is hurt: all else must agree.
  if (crc_agrees && name == claim.name && claim.length == payload.size() && IsType(claim.type))
    return RecordHeader{static_cast<RecordType>(claim.type), payload.size(), name, crc};
  return std::nullopt;
}

}  // namespace

void ForEachRecord(const StoreImage& image, const FileImage& file, Payloads payloads,
                   const std::function<bool(uint64_t begin, const RecordHeader& header)>& visit) {
  const bool log = (file.number & RecordRef::kLogBit) != 0;
  std::vector<std::byte> window;
  uint64_t window_begin = 0;
  for (uint64_t at = kRecordAlignment; at + kRecordHeaderSize <= file.size;) {
    if (at < window_begin || at + kRecordHeaderSize > window_begin + window.size()) {
      window_begin = at;
      window.resize(std::min<uint64_t>(kWindow, file.size - at));
      if (!file.file.ReadAt(static_cast<int64_t>(at), window)) {
        window.clear();
        at += kRecordAlignment;  // a bad sector: place by place
        continue;
      }
    }
    const std::byte* const here = window.data() + (at - window_begin);
    if (std::memcmp(here, kMagic, sizeof kMagic) == 0) {
      const auto header = image.HeaderAt(file, at);
      const uint64_t head = header ? StoreImage::HeadSize(file, header->length) : 0;
      if (header && header->length <= UINT32_MAX && head <= file.size - at &&
          header->length <= file.size - at - head) {
        if (!visit(at, *header)) return;
        if (payloads == Payloads::kSearch)
          at += kRecordAlignment;
        else
          at += log ? PaddedRecordSize(header->length) : PackRecordSize(header->length);
        continue;
      }
      // What lies within a record that is marked as lost is of no one.
      if (const uint64_t lost = payloads == Payloads::kSkip ? image.LostAt(file, at) : 0) {
        at += lost;
        continue;
      }
    }
    at += kRecordAlignment;
  }
}

std::optional<RecordHeader> RecoverHeader(std::span<const std::byte> bytes, uint32_t salt) {
  if (bytes.size() < kRecordHeaderSize) return std::nullopt;
  const Claim claim = ClaimOf(bytes);
  const auto payload = bytes.subspan(kRecordHeaderSize);
  if (claim.length <= payload.size()) {
    const auto as_claimed = payload.first(claim.length);
    if (auto header = Confirm(claim, as_claimed, Crc32c(as_claimed, salt), salt)) return header;
  }
  // The length is what is hurt: one of those with this checksum.
  uint32_t crc = salt;
  for (size_t length = 0; length <= payload.size(); ++length) {
    if (crc == claim.payload_crc)
      if (auto header = Confirm(claim, payload.first(length), crc, salt)) return header;
    if (length < payload.size()) crc = Crc32c(payload.subspan(length, 1), crc);
  }
  return std::nullopt;
}

}  // namespace zn::check
