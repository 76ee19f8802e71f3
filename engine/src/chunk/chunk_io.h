// Rows of chunks: from the cache, from the stored bytes, or decoded just now.
//
// A chunk's block holds (chunk_rows, inner...) or (chunk_rows, chunk_atoms, inner...) values as encoded. What is kept
// decoded is cut to the atoms that any of its rows has, so a row that the cache gives is seldom padded.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "cache/chunk_cache.h"
#include "log/log.h"
#include "pack/pack_store.h"
#include "tree/entries.h"
#include "zn/engine/codec.h"
#include "zn/engine/field.h"

namespace zn {

/// The decoded form of one block of a chunk.
struct BlockShape {
  Shape encoded;             // as the codec sees it
  Shape kept;                // as it is kept: atom axis cut
  size_t encoded_row_bytes = 0;
  size_t kept_row_bytes = 0;
};
BlockShape ShapeOfBlock(const Geometry& geometry, const FieldEntry& entry, size_t block);

/// Thread-safe; owns nothing.
class ChunkIo {
 public:
  ChunkIo(const Log& log, const PackStore& packs, ChunkCache& cache)
      : log_(log), packs_(packs), cache_(cache) {}

  /// The encoded bytes of a record, wherever it lies. Those of the log are there only as long as a state is held that leads
  /// to them: a collection may give their place back to the disk.
  Result<Buffer> ReadPayload(const RecordRef& ref) const;
  /// The same, for those who keep the bytes longer.
  Result<Buffer> TakePayload(const RecordRef& ref) const;
  /// The same, read and checked as they are fetched.
  Result<std::unique_ptr<ByteSource>> OpenPayload(const RecordRef& ref) const;

  /// Rows [row, row + count) of block `block`, kept_row_bytes each.
  Result<Buffer> ReadRows(const Geometry& geometry, const CodecPipeline& pipeline, const FieldEntry& entry,
                          size_t block, int64_t row, int64_t count) const;
  /// The same into `out`. A decoded chunk is kept in the cache when it was touched before, or never: by those who keep what
  /// they make of it.
  enum class Keep { kRepeated, kNever };
  Result<> ReadRowsInto(const Geometry& geometry, const CodecPipeline& pipeline, const FieldEntry& entry,
                        size_t block, int64_t row, int64_t count, std::span<std::byte> out,
                        Keep keep = Keep::kRepeated) const;
  /// The same when it costs no decoding and no file access.
  std::optional<Buffer> ResidentRows(const Geometry& geometry, const FieldEntry& entry, size_t block,
                                     int64_t row, int64_t count) const;

  /// The text of row `row` of a kJson chunk.
  Result<std::string> ReadText(const Geometry& geometry, const CodecPipeline& pipeline,
                               const FieldEntry& entry, int64_t row) const;

 private:
  Result<Buffer> ReadPromoted(const ChunkKey& key, const CodecPipeline& pipeline, const RecordRef& ref,
                              const BlockShape& shape, int64_t row, int64_t count,
                              ChunkCache::Promotion promotion) const;
  Result<> DecodeRowsKept(const CodecPipeline& pipeline, const RecordRef& ref, const BlockShape& shape,
                          int64_t row, int64_t count, std::span<std::byte> out) const;
  Result<> DecodeKept(const CodecPipeline& pipeline, const RecordRef& ref, const BlockShape& shape,
                      std::span<std::byte> out) const;

  const Log& log_;
  const PackStore& packs_;
  ChunkCache& cache_;
};

/// Copies `rows` rows, cutting each from `from_bytes` to `to_bytes`.
void CutRows(const std::byte* from, size_t from_bytes, std::byte* to, size_t to_bytes, size_t rows);

/// `count` fill values.
void FillElements(DType dtype, std::span<std::byte> out);
/// Nothing but fill values?
bool IsAllFill(DType dtype, std::span<const std::byte> raw);

}  // namespace zn
