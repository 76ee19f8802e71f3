#include "room/chunk_writer.h"

#include <algorithm>
#include <cstring>

namespace zn::internal {
namespace {

/// Hashes raw rows together with what else decides the encoded bytes.
Hash128 RawHash(const StoreCore& core, const Geometry& geometry, const Shape& shape, std::span<const std::byte> raw) {
  const std::string layout =
      std::string(NumpyName(geometry.dtype)) + shape.ToString() + geometry.codecs;
  const Hash128 seed = HashKeyed(std::as_bytes(std::span(layout)), core.superblock.hash_key);
  return HashKeyed(raw, seed.low ^ seed.high);
}

/// Does the stored chunk decode to `raw`?
bool StoredEquals(const StoreCore& core, const RecordRef& ref, const Geometry& geometry, const CodecPipeline& pipeline,
                  const Shape& shape, std::span<const std::byte> raw) {
  const auto encoded = core.chunks->ReadPayload(ref);
  if (!encoded) return false;
  if (geometry.dtype == DType::kJson) {
    const auto stored = pipeline.DecodeVariable(encoded->bytes(), raw.size());
    return stored && stored->size() == raw.size() && std::equal(stored->begin(), stored->end(), raw.begin());
  }
  const auto stored = std::make_unique_for_overwrite<std::byte[]>(raw.size());
  return pipeline.Decode(encoded->bytes(), shape, {stored.get(), raw.size()}).has_value() &&
         std::memcmp(stored.get(), raw.data(), raw.size()) == 0;
}

Result<PreparedBlock> PrepareBlock(const StoreCore& core, const Geometry& geometry, const CodecPipeline& pipeline,
                                   const Shape& shape, std::span<const std::byte> raw, int64_t& deduplicated,
                                   const EncodedChunk* encoded = nullptr) {
  PreparedBlock block;
  if (geometry.dtype != DType::kJson && IsAllFill(geometry.dtype, raw)) return block;
  block.raw_hash = RawHash(core, geometry, shape, raw);
  if (const auto known = core.dedup.Find(block.raw_hash);
      known && core.writes.Use(known->file) && StoredEquals(core, *known, geometry, pipeline, shape, raw)) {
    block.ref = *known;
    deduplicated += known->length;
    return block;
  }
  if (encoded != nullptr) {
    block.payload.assign(encoded->encoded.bytes().begin(), encoded->encoded.bytes().end());
  } else {
    ZN_ASSIGN_OR_RETURN(block.payload, pipeline.Encode(raw, shape));
  }
  block.name = HashSha256(block.payload);
  if (const auto known = core.packs->Find(block.name); known && core.writes.Use(known->file)) {
    block.ref = *known;
    deduplicated += known->length;
    block.payload.clear();
  }
  return block;
}

/// The encoded form of a block that was given with it: only when it decodes to the very rows, padding too.
const EncodedChunk* FindEncoded(std::span<const EncodedChunk> encoded, size_t block, std::span<const std::byte> raw) {
  for (const EncodedChunk& chunk : encoded) {
    if (chunk.block != block || chunk.decoded.size() != raw.size() || chunk.encoded.empty()) continue;
    if (chunk.decoded.data() == raw.data() || std::memcmp(chunk.decoded.data(), raw.data(), raw.size()) == 0) return &chunk;
  }
  return nullptr;
}

}  // namespace

FieldEntry PreparedChunk::Entry() const {
  std::vector<RecordRef> refs;
  for (const PreparedBlock& block : blocks) refs.push_back(block.ref);
  return FieldEntry::Make(geometry, rows, 0, chunk_atoms, used_atoms, std::move(refs));
}

Result<PreparedChunk> PrepareChunk(const StoreCore& core, const Geometry& geometry, uint16_t geometry_index,
                                   const CodecPipeline& pipeline, std::span<const SourceRow> rows,
                                   std::span<const EncodedChunk> encoded) {
  PreparedChunk chunk;
  chunk.geometry = geometry_index;
  chunk.rows = static_cast<uint32_t>(rows.size());
  size_t element = ItemSize(geometry.dtype);
  for (int64_t extent : geometry.inner) element *= static_cast<size_t>(extent);

  const bool full = static_cast<int64_t>(rows.size()) == geometry.frames_per_chunk;
  Shape shape;
  size_t blocks = 1;
  size_t row_bytes = element;
  if (geometry.kind != FieldKind::kFrame) {
    int64_t most = 0;
    for (const SourceRow& row : rows) most = std::max(most, row.atoms);
    if (most > UINT32_MAX) return Error{ErrorCode::kTooLarge, "a frame with more than 4294967295 rows"};
    const int64_t a = geometry.atoms_per_chunk;
    blocks = static_cast<size_t>((most + a - 1) / a);
    if (blocks >= UINT16_MAX)
      return Error{ErrorCode::kTooLarge, "a frame needs " + std::to_string(blocks) +
                                             " blocks of " + std::to_string(a) + " atoms; use larger chunks"};
    // A short chunk is of edits or appends: not padded further than its own rows need.
    chunk.chunk_atoms = static_cast<uint32_t>(full || blocks > 1 ? a : most);
    chunk.used_atoms = static_cast<uint32_t>(most);
    row_bytes = element * chunk.chunk_atoms;
    shape = geometry.inner.Behind(chunk.chunk_atoms).Behind(chunk.rows);
  } else {
    shape = geometry.inner.Behind(chunk.rows);
  }

  std::unique_ptr<std::byte[]> padded;
  for (size_t b = 0; b < blocks; ++b) {
    const auto before = static_cast<int64_t>(b) * chunk.chunk_atoms;
    const auto atoms_in_block = [&](const SourceRow& row) {
      if (row.data == nullptr) return int64_t{0};
      return geometry.kind == FieldKind::kFrame ? int64_t{1} : std::clamp<int64_t>(row.atoms - before, 0, chunk.chunk_atoms);
    };
    const int64_t full_row = geometry.kind == FieldKind::kFrame ? 1 : chunk.chunk_atoms;
    // Rows that lie one behind another without padding are encoded from where they are.
    bool contiguous = blocks == 1;
    for (size_t i = 0; contiguous && i < rows.size(); ++i)
      contiguous = atoms_in_block(rows[i]) == full_row && rows[i].data == rows[0].data + i * row_bytes;
    std::span<const std::byte> raw;
    const size_t raw_bytes = rows.size() * row_bytes;
    if (contiguous) {
      raw = {rows.empty() ? nullptr : rows[0].data, raw_bytes};
    } else {
      if (!padded) padded = std::make_unique_for_overwrite<std::byte[]>(raw_bytes);
      for (size_t i = 0; i < rows.size(); ++i) {
        std::byte* to = padded.get() + i * row_bytes;
        const size_t real = static_cast<size_t>(atoms_in_block(rows[i])) * element;
        if (real > 0) std::memcpy(to, rows[i].data + static_cast<size_t>(before) * element, real);
        FillElements(geometry.dtype, {to + real, row_bytes - real});
      }
      raw = {padded.get(), raw_bytes};
    }
    chunk.raw_bytes += static_cast<int64_t>(raw_bytes);
    ZN_ASSIGN_OR_RETURN(PreparedBlock block,
                        PrepareBlock(core, geometry, pipeline, shape, raw, chunk.deduplicated_bytes,
                                     full ? FindEncoded(encoded, b, raw) : nullptr));
    chunk.blocks.push_back(std::move(block));
  }
  return chunk;
}

Result<PreparedChunk> PrepareTextChunk(const StoreCore& core, const Geometry& geometry, uint16_t geometry_index,
                                       const CodecPipeline& pipeline, std::span<const std::string> texts) {
  PreparedChunk chunk;
  chunk.geometry = geometry_index;
  chunk.rows = static_cast<uint32_t>(texts.size());
  const std::vector<std::byte> raw = EncodeText(texts);
  chunk.raw_bytes = static_cast<int64_t>(raw.size());
  ZN_ASSIGN_OR_RETURN(PreparedBlock block, PrepareBlock(core, geometry, pipeline, Shape{chunk.rows}, raw,
                                                        chunk.deduplicated_bytes));
  chunk.blocks.push_back(std::move(block));
  return chunk;
}

Result<bool> PutBlocks(StoreCore& core, PreparedChunk& chunk, size_t threshold) {
  bool any = false;
  for (PreparedBlock& block : chunk.blocks) {
    if (block.payload.empty() || block.payload.size() < threshold) continue;
    ZN_RETURN_IF_ERROR(core.space.Admit(static_cast<int64_t>(block.payload.size())));
    ZN_ASSIGN_OR_RETURN(block.ref, core.packs->Put(RecordType::kChunk, block.name, block.payload));
    block.payload = {};
    any = true;
  }
  return any;
}

void AppendBlocks(PreparedChunk& chunk, const Log::AppendRecord& append) {
  for (PreparedBlock& block : chunk.blocks) {
    if (block.payload.empty()) continue;
    block.ref = append(RecordType::kChunk, std::move(block.payload));
    block.payload = {};
  }
}

void RememberBlocks(StoreCore& core, const PreparedChunk& chunk) {
  for (const PreparedBlock& block : chunk.blocks)
    if (block.ref && !(block.raw_hash == Hash128{})) core.dedup.Add(block.raw_hash, block.ref);
}

}  // namespace zn::internal
