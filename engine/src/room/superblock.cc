#include "room/superblock.h"

#include <sys/random.h>

#include "base/bytes.h"
#include "base/hash.h"

namespace zn {
namespace {

constexpr char kMagic[8] = {'Z', 'N', 'S', 'T', 'O', 'R', 'E', '\n'};

}  // namespace

std::vector<std::byte> EncodeSuperblock(const Superblock& superblock) {
  ByteWriter out;
  out.PutBytes(std::as_bytes(std::span(kMagic)));
  out.Put(superblock.format_version);
  out.Put(superblock.record_salt);
  out.Put(superblock.incompatible_features);
  out.Put(superblock.read_only_features);
  out.PutBytes(superblock.uuid);
  out.Put(superblock.created_ns);
  out.Put(superblock.hash_key);
  out.PadTo(kSuperblockSize - 4);
  std::vector<std::byte> bytes = out.Take();
  bytes.resize(kSuperblockSize - 4);
  ByteWriter tail;
  tail.Put(Crc32c(bytes));
  bytes.insert(bytes.end(), tail.bytes().begin(), tail.bytes().end());
  return bytes;
}

Result<Superblock> DecodeSuperblock(std::span<const std::byte> bytes) {
  if (bytes.size() != kSuperblockSize)
    return Error{ErrorCode::kCorrupt, "has " + std::to_string(bytes.size()) + " bytes instead of 4096"};
  ByteReader tail(bytes.subspan(kSuperblockSize - 4));
  ByteReader in(bytes);
  const auto magic = in.GetBytes(sizeof kMagic);
  if (std::memcmp(magic.data(), kMagic, sizeof kMagic) != 0)
    return Error{ErrorCode::kCorrupt, "is not the superblock of a ZnStore"};
  if (tail.Get<uint32_t>() != Crc32c(bytes.first(kSuperblockSize - 4)))
    return Error{ErrorCode::kCorrupt, "its checksum does not match; restore it from a backup of the store"};
  Superblock superblock;
  superblock.format_version = in.Get<uint32_t>();
  superblock.record_salt = in.Get<uint32_t>();
  superblock.incompatible_features = in.Get<uint64_t>();
  superblock.read_only_features = in.Get<uint64_t>();
  const auto uuid = in.GetBytes(16);
  std::copy(uuid.begin(), uuid.end(), superblock.uuid.begin());
  superblock.created_ns = in.Get<int64_t>();
  superblock.hash_key = in.Get<uint64_t>();
  if (superblock.format_version < kFormatVersion)
    return Error{ErrorCode::kUnsupported, "has format " + std::to_string(superblock.format_version) +
                                              ", of a version that was never released; import its files again"};
  if (superblock.format_version > kFormatVersion || superblock.incompatible_features != 0)
    return Error{ErrorCode::kUnsupported,
                 "was written by a later version of ZnStore (format " +
                     std::to_string(superblock.format_version) + "); use that version or newer"};
  return superblock;
}

Superblock NewSuperblock(int64_t now_ns) {
  Superblock superblock;
  superblock.created_ns = now_ns;
  const auto fill = [](void* out, size_t size) {
    // getrandom of up to 256 bytes neither fails nor comes short once the system is up.
    while (getrandom(out, size, 0) != static_cast<ssize_t>(size)) {
    }
  };
  fill(superblock.uuid.data(), superblock.uuid.size());
  fill(&superblock.record_salt, sizeof superblock.record_salt);
  fill(&superblock.hash_key, sizeof superblock.hash_key);
  // RFC 9562, version 4.
  superblock.uuid[6] = (superblock.uuid[6] & std::byte{0x0F}) | std::byte{0x40};
  superblock.uuid[8] = (superblock.uuid[8] & std::byte{0x3F}) | std::byte{0x80};
  return superblock;
}

std::string FormatUuid(std::span<const std::byte, 16> uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[static_cast<uint8_t>(uuid[i]) >> 4];
    text += kDigits[static_cast<uint8_t>(uuid[i]) & 15];
  }
  return text;
}

}  // namespace zn
