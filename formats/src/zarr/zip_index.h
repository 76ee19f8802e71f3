// The members of a zip archive, from its end (PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3).
// Pure but for reading through the source it is given.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "zn/engine/error.h"

namespace zn::formats::zarr {

/// Bytes at random, of a file or in memory.
class ByteRange {
 public:
  virtual ~ByteRange() = default;
  virtual uint64_t size() const = 0;
  /// Fills `out`; kCorrupt when the source ends before.
  virtual Result<> ReadAt(uint64_t offset, std::span<std::byte> out) const = 0;
};

struct ZipEntry {
  uint16_t method = 0;  // 0 stored, 8 deflated
  bool encrypted = false;
  uint32_t crc = 0;
  uint64_t packed_size = 0, size = 0;
  uint64_t header = 0;  // offset of the local header
};

/// By name. Names that are no valid keys (folders, "../x") are left out; of several members of one
/// name the last counts, as for Python's zipfile. Memory is bounded by the directory's own size.
Result<std::map<std::string, ZipEntry>> ReadZipIndex(const ByteRange& file);

/// Offset of a member's bytes: behind its local header, which is checked against the directory.
Result<uint64_t> FindZipData(const ByteRange& file, const std::string& name, const ZipEntry& entry);

}  // namespace zn::formats::zarr
