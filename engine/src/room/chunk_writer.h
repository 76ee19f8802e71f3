// From rows of frames to stored chunks: padding, deduplication, encoding.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "room/store_core.h"
#include "zn/engine/batch.h"
#include "zn/engine/field.h"

namespace zn::internal {

/// One frame's row as it lies in memory; `atoms` rows of it for per-atom and ragged fields. data == nullptr: absent, which
/// the chunk holds as fill values (the tree tells absence).
struct SourceRow {
  const std::byte* data = nullptr;
  int64_t atoms = 0;
};

/// A block that is stored already (ref), is all fill (neither), or waits to be written (payload).
struct PreparedBlock {
  RecordRef ref;
  std::vector<std::byte> payload;
  Sha256 name;
  Hash128 raw_hash;
};

/// A chunk ready to be named by a field tree.
struct PreparedChunk {
  uint16_t geometry = 0;
  uint32_t rows = 0;
  uint32_t chunk_atoms = 0, used_atoms = 0;
  std::vector<PreparedBlock> blocks;
  int64_t raw_bytes = 0;           // padded, before encoding
  int64_t deduplicated_bytes = 0;  // encoded bytes of blocks that were there already

  /// The entry for row 0 on, once every block has its reference.
  FieldEntry Entry() const;
};

/// Pads and encodes `rows`; fewer than the geometry's F make a short chunk that is cut to its own atoms. Blocks equal to
/// stored ones become references. A full chunk's block that one of `encoded` (of this geometry) holds is stored as these
/// bytes. Thread-safe.
Result<PreparedChunk> PrepareChunk(const StoreCore& core, const Geometry& geometry, uint16_t geometry_index,
                                   const CodecPipeline& pipeline, std::span<const SourceRow> rows,
                                   std::span<const EncodedChunk> encoded = {});
Result<PreparedChunk> PrepareTextChunk(const StoreCore& core, const Geometry& geometry, uint16_t geometry_index,
                                       const CodecPipeline& pipeline, std::span<const std::string> texts);

/// REQUIRES for all that follow: within a WriteScopes::Scope, until the chunk is sequenced.

/// Writes waiting blocks of at least `threshold` bytes to packs; says whether there were any (then packs->Sync() is due).
Result<bool> PutBlocks(StoreCore& core, PreparedChunk& chunk, size_t threshold);

/// Writes what still waits into the group being built.
void AppendBlocks(PreparedChunk& chunk, const Log::AppendRecord& append);

/// Lets later chunks find these blocks. Call once the group has been taken by the log.
void RememberBlocks(StoreCore& core, const PreparedChunk& chunk);

}  // namespace zn::internal
