// Bundles: the repository's files of many objects. docs/backup.md, "Bundles".
//
//   header   64 bytes: "ZBB1", version, id
//   objects  one after the other: their bytes, or sealed with a tag of 16 bytes behind
//   table    an envelope with what lies where, so that a lost index can be made again
//   footer   16 bytes: where the table begins
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backup/crypto.h"
#include "backup/object_id.h"
#include "base/file.h"
#include "zn/engine/error.h"

namespace zn::backup {

inline constexpr size_t kBundleHeaderSize = 64;
inline constexpr size_t kBundleFooterSize = 16;

/// Where an object lies in its bundle.
struct BundleEntry {
  ObjectId id;
  uint64_t offset = 0;
  uint32_t length = 0;  // of its content; a sealed object takes kTagSize more
};
inline constexpr size_t kBundleEntrySize = 44;

/// What a bundle holds.
struct BundleTable {
  RandomId id;
  uint64_t size = 0;  // of the file
  std::vector<BundleEntry> entries;
};

std::array<std::byte, kBundleHeaderSize> EncodeBundleHeader(const RandomId& id);
/// kCorrupt when it is not the header of bundle `id`.
Result<> CheckBundleHeader(std::span<const std::byte> bytes, const RandomId& id);

/// Table and footer, as they stand from offset `at` to the end.
std::vector<std::byte> EncodeBundleEnd(uint64_t at, std::span<const BundleEntry> entries,
                                       const std::optional<Key>& master);

/// Entries as in tables and indexes: a u32 count and 44 bytes each. Every one lies within `size`,
/// or it is kCorrupt.
void PutEntries(std::vector<std::byte>& out, std::span<const BundleEntry> entries);
Result<std::vector<BundleEntry>> TakeEntries(std::span<const std::byte>& in, uint64_t size,
                                             bool sealed);

/// Reads header and table of a bundle.
Result<BundleTable> ReadBundleTable(const File& file, const RandomId& id,
                                    const std::optional<Key>& master);

/// The objects of one bundle as they are stored: with their key, or as they are.
class BundleCipher {
 public:
  BundleCipher(const std::optional<Key>& master, const RandomId& bundle);
  bool sealed() const { return key_.has_value(); }
  size_t StoredSize(size_t length) const { return length + (key_ ? kTagSize : 0); }
  /// REQUIRES: sealed().
  std::vector<std::byte> Seal(const ObjectId& id, uint64_t offset,
                              std::span<const std::byte> content) const;
  bool Unseal(const BundleEntry& entry, std::span<const std::byte> stored, std::byte* out) const;

 private:
  std::optional<Key> key_;
};

/// "data/3f/3f9a....bundle"
std::string BundlePath(const RandomId& id);

}  // namespace zn::backup
