// A virtual shard: which chunks stand where in it, and its index.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/version.h"
#include "zn/engine/zarr_view.h"

namespace zn::internal {

struct ShardTable {
  struct Part {
    uint64_t offset = 0, size = 0;
    std::vector<int64_t> chunk;  // in the array's grid of chunks
  };
  std::vector<Part> parts;  // of the chunks that are there, in order, without gaps
  Buffer index;             // behind the last part
  uint64_t size = 0;        // of everything
  Sha256 tag;
};

/// A chunk as the table needs it.
struct ShardChunk {
  bool missing = true;
  Sha256 digest;
  uint64_t size = 0;
};

/// The chunks of a shard in the order of its index (C order). Those beyond the array's grid are to
/// be missing.
std::vector<std::vector<int64_t>> ChunksOfShard(const ZarrArrayMetadata& array,
                                                std::span<const int64_t> shard);

/// The table of the chunks so given, with the index of codecs bytes (little) and crc32c at its end.
ShardTable MakeShardTable(std::span<const std::vector<int64_t>> chunks,
                          std::span<const ShardChunk> sizes);

}  // namespace zn::internal
