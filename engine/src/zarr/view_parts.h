// What a ZarrView holds.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "zarr/encoded_chunks.h"
#include "zarr/grid.h"
#include "zarr/shard.h"

namespace zn::internal {

struct ZarrParts {
  Snapshot snapshot;
  std::shared_ptr<ZarrChunkCache> cache;
  Grid grid;
  std::vector<ZarrDocument> documents;  // sorted by key
  std::vector<ZarrValue> values;        // theirs

  // The shards asked for last, newest first, by array and shard.
  std::mutex shards_mutex;
  std::list<std::pair<std::vector<int64_t>, std::shared_ptr<const ShardTable>>>
      shards;  // guarded by shards_mutex
};

}  // namespace zn::internal
