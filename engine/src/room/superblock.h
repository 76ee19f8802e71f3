// The superblock: what a store is, written once. docs/format.md, "Superblock".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "zn/engine/error.h"

namespace zn {

inline constexpr size_t kSuperblockSize = 4096;
/// Raised with every incompatible change of the on-disk format.
inline constexpr uint32_t kFormatVersion = 2;

struct Superblock {
  uint32_t format_version = kFormatVersion;
  /// A build that does not know one of these bits must not open the store / must not write to it.
  uint64_t incompatible_features = 0;
  uint64_t read_only_features = 0;
  std::array<std::byte, 16> uuid{};
  int64_t created_ns = 0;
  uint32_t record_salt = 0;
  uint64_t hash_key = 0;
};

std::vector<std::byte> EncodeSuperblock(const Superblock& superblock);
/// kUnsupported names a version or feature of a later build; kCorrupt anything else.
Result<Superblock> DecodeSuperblock(std::span<const std::byte> bytes);
/// With random uuid, salt and key.
Superblock NewSuperblock(int64_t now_ns);
/// 8-4-4-4-12.
std::string FormatUuid(std::span<const std::byte, 16> uuid);

}  // namespace zn
