// Zip archives of stored (not compressed) members: what npz files and Zarr's zip stores are.
// Source: APPNOTE.TXT 6.3 (pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), zip64 where 32
// bits do not hold a size, an offset or a count.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace zn::formats {

/// A member as it stands in the archive. Dates are 1980-01-01: archives do not depend on the clock.
struct ZipMember {
  std::string name;     // UTF-8
  uint64_t size = 0;    // of its content
  uint64_t offset = 0;  // of its local header
  uint32_t crc = 0;     // zlib's crc32 of its content
};

/// What stands right before a member's content. Its length does not depend on `crc`, so that one
/// who learns the CRC while writing can write the header again.
std::string ZipLocalHeader(const ZipMember& member);

/// What stands behind the last member, from byte `start` of the archive on.
std::string ZipCentralDirectory(std::span<const ZipMember> members, uint64_t start);

}  // namespace zn::formats
