// Shards of Zarr v3's sharding_indexed (zarr-specs: v3/codecs/sharding-indexed/v1.0): many chunks in one object, with an index
// of where each lies at its end or its start. A reader fetches the index, then the ranges of the chunks that it wants.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"

namespace zn {

/// Where a chunk lies within its shard.
struct ShardEntry {
  uint64_t offset = UINT64_MAX, length = UINT64_MAX;
  /// Left out: all of it is the fill value.
  bool empty() const { return offset == UINT64_MAX && length == UINT64_MAX; }
};

/// How an index is encoded: bytes of either order, with or without crc32c.
class ShardIndexFormat {
 public:
  /// kUnsupported for codecs whose result has no size known beforehand, which the specification forbids.
  static Result<ShardIndexFormat> Create(std::string_view index_codecs);

  /// Bytes of the index of a shard of `chunks` chunks; kTooLarge above 256 MiB.
  Result<size_t> Size(int64_t chunks) const;
  /// The entries by chunk in C order. kCorrupt when the checksum is wrong or a chunk lies beyond the shard's `shard_size` bytes.
  Result<std::vector<ShardEntry>> Decode(std::span<const std::byte> index, int64_t chunks, uint64_t shard_size) const;

 private:
  bool big_endian_ = false, checksum_ = false;
};

}  // namespace zn
