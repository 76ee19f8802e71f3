#include "zarr/shard.h"

#include "base/bytes.h"
#include "base/hash.h"

namespace zn::internal {

std::vector<std::vector<int64_t>> ChunksOfShard(const ZarrArrayMetadata& array,
                                                std::span<const int64_t> shard) {
  const size_t rank = array.chunks.rank();
  std::vector<int64_t> per_shard(rank), index(rank, 0);
  for (size_t axis = 0; axis < rank; ++axis)
    per_shard[axis] = array.sharding->shard[axis] / array.chunks[axis];
  std::vector<std::vector<int64_t>> chunks;
  for (;;) {
    std::vector<int64_t>& chunk = chunks.emplace_back(rank);
    for (size_t axis = 0; axis < rank; ++axis)
      chunk[axis] = shard[axis] * per_shard[axis] + index[axis];
    size_t axis = rank;
    while (axis > 0 && ++index[axis - 1] == per_shard[axis - 1]) index[--axis] = 0;
    if (axis == 0) return chunks;
  }
}

ShardTable MakeShardTable(std::span<const std::vector<int64_t>> chunks,
                          std::span<const ShardChunk> sizes) {
  ShardTable table;
  ByteWriter index, name;
  uint64_t end = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    if (sizes[i].missing) {
      // As the specification of sharding_indexed marks an empty chunk.
      index.Put(UINT64_MAX);
      index.Put(UINT64_MAX);
      continue;
    }
    index.Put(end);
    index.Put(sizes[i].size);
    table.parts.push_back({end, sizes[i].size, chunks[i]});
    name.Put(static_cast<uint64_t>(i));
    name.PutBytes(sizes[i].digest.bytes);
    end += sizes[i].size;
  }
  index.Put(Crc32c(index.bytes()));
  name.PutBytes(index.bytes());
  table.tag = HashSha256(name.bytes());
  table.index = Buffer::Own(index.Take());
  table.size = end + table.index.size();
  return table;
}

}  // namespace zn::internal
