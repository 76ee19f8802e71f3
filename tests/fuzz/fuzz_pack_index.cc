// Pack indexes, moved tables and packs of hostile bytes, once as they are and once with a right CRC
// of their header.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "pack/pack_format.h"

namespace {

constexpr uint32_t kSalt = 7;

void Use(std::span<const std::byte> bytes) {
  if (auto index = zn::PackIndex::Open(bytes, kSalt)) {
    (void)index->CheckBody();
    zn::Sha256 name;
    // Before all names, behind them, and somewhere between.
    for (const std::byte first : {std::byte{0}, std::byte{0xff}, bytes.back()}) {
      name.bytes[0] = first;
      (void)index->Find(name);
    }
    if (index->count() > 0) {
      auto last = index->entry(index->count() - 1);
      auto found = index->Find(last.name);
      if (found && found->name != last.name) __builtin_trap();
    }
  }
  (void)zn::DecodeMoves(bytes, kSalt);
  zn::PackScan scan = zn::ScanPack(bytes, kSalt, true);
  for (const auto& entry : scan.entries) {
    if (entry.offset + entry.length > bytes.size()) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), data, size);
  Use(bytes);
  if (size < zn::kPackHeaderSize) return 0;
  uint32_t body = zn::Crc32c(std::span<const std::byte>(bytes).subspan(64), kSalt);
  // Where indexes and moved tables keep the CRC of what follows their header.
  std::memcpy(bytes.data() + (bytes[2] == std::byte{'M'} ? 16 : 24), &body, 4);
  uint32_t crc = zn::Crc32c(std::span<const std::byte>(bytes).first(60), kSalt);
  std::memcpy(bytes.data() + 60, &crc, 4);
  Use(bytes);
  return 0;
}
