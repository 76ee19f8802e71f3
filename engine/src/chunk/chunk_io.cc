#include "chunk/chunk_io.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/copy.h"

namespace zn {
namespace {

// Texts of one chunk, decoded: a bound against a forged length.
constexpr size_t kMaxTextChunk = size_t{1} << 30;

/// Rows of a cached chunk, kept_row_bytes each. Equal encoded bytes may be kept with more atoms for another reader (whose
/// last atoms are fill values to us), so its rows may be longer. nullopt when they are shorter.
std::optional<Buffer> RowsOf(const CachedChunk& chunk, const BlockShape& shape, int64_t row, int64_t count) {
  const size_t rows = static_cast<size_t>(chunk.shape[0]);
  const size_t stride = rows == 0 ? 0 : chunk.bytes.size() / rows;
  if (chunk.shape[0] != shape.kept[0] || stride < shape.kept_row_bytes) return std::nullopt;
  const size_t first = static_cast<size_t>(row) * stride;
  if (stride == shape.kept_row_bytes || count == 1)
    return chunk.bytes.Slice(first, static_cast<size_t>(count) * shape.kept_row_bytes);
  std::vector<std::byte> cut(static_cast<size_t>(count) * shape.kept_row_bytes);
  CutRows(chunk.bytes.data() + first, stride, cut.data(), shape.kept_row_bytes, static_cast<size_t>(count));
  return Buffer::Own(std::move(cut));
}

}  // namespace

void CutRows(const std::byte* from, size_t from_bytes, std::byte* to, size_t to_bytes, size_t rows) {
  if (from_bytes == to_bytes) {
    CopyBytes(to, from, rows * to_bytes);
    return;
  }
  for (size_t i = 0; i < rows; ++i) CopyBytes(to + i * to_bytes, from + i * from_bytes, to_bytes);
}

void FillElements(DType dtype, std::span<std::byte> out) {
  const size_t item = ItemSize(dtype);
  if (item == 0 || out.empty()) return;
  WriteFillValue(dtype, out.data());
  // Doubling copies: fill values have any width from 1 to 16.
  for (size_t done = item; done < out.size();) {
    const size_t n = std::min(done, out.size() - done);
    CopyBytes(out.data() + done, out.data(), n);
    done += n;
  }
}

bool IsAllFill(DType dtype, std::span<const std::byte> raw) {
  const size_t item = ItemSize(dtype);
  if (raw.size() < item) return true;
  std::byte fill[16];
  WriteFillValue(dtype, fill);
  if (std::memcmp(raw.data(), fill, item) != 0) return false;
  // All elements equal the first when the bytes equal themselves, shifted by one element.
  return std::memcmp(raw.data(), raw.data() + item, raw.size() - item) == 0;
}

BlockShape ShapeOfBlock(const Geometry& geometry, const FieldEntry& entry, size_t block) {
  BlockShape shape;
  shape.encoded.Append(entry.chunk_rows);
  shape.kept.Append(entry.chunk_rows);
  size_t inner = ItemSize(geometry.dtype);
  if (geometry.kind != FieldKind::kFrame) {
    const int64_t before = static_cast<int64_t>(block) * entry.chunk_atoms;
    const int64_t kept = std::clamp<int64_t>(entry.used_atoms - before, 0, entry.chunk_atoms);
    shape.encoded.Append(entry.chunk_atoms);
    shape.kept.Append(kept);
    for (int64_t extent : geometry.inner) inner *= static_cast<size_t>(extent);
    shape.encoded_row_bytes = inner * entry.chunk_atoms;
    shape.kept_row_bytes = inner * static_cast<size_t>(kept);
  } else {
    for (int64_t extent : geometry.inner) inner *= static_cast<size_t>(extent);
    shape.encoded_row_bytes = shape.kept_row_bytes = inner;
  }
  for (int64_t extent : geometry.inner) {
    shape.encoded.Append(extent);
    shape.kept.Append(extent);
  }
  return shape;
}

Result<Buffer> ChunkIo::ReadPayload(const RecordRef& ref) const {
  return ref.in_log() ? log_.Read(ref) : packs_.Read(ref);
}

Result<Buffer> ChunkIo::TakePayload(const RecordRef& ref) const {
  if (!ref.in_log()) return packs_.Read(ref);
  ZN_ASSIGN_OR_RETURN(const Buffer mapped, log_.Read(ref));
  return Buffer::Copy(mapped.bytes());
}

Result<std::unique_ptr<ByteSource>> ChunkIo::OpenPayload(const RecordRef& ref) const {
  if (!ref.in_log()) return packs_.Open(ref);
  // Records of the log are small, and stay as long as a state leads to them.
  ZN_ASSIGN_OR_RETURN(const Buffer payload, log_.Read(ref));
  return std::unique_ptr<ByteSource>(std::make_unique<SpanSource>(payload.bytes()));
}

Result<> ChunkIo::DecodeKept(const CodecPipeline& pipeline, const RecordRef& ref, const BlockShape& shape,
                             std::span<std::byte> out) const {
  ZN_ASSIGN_OR_RETURN(const Buffer encoded, ReadPayload(ref));
  if (shape.encoded_row_bytes == shape.kept_row_bytes)
    return pipeline.Decode(encoded.bytes(), shape.encoded, out);
  const auto rows = static_cast<size_t>(shape.encoded[0]);
  std::vector<std::byte> whole(rows * shape.encoded_row_bytes);
  ZN_RETURN_IF_ERROR(pipeline.Decode(encoded.bytes(), shape.encoded, whole));
  CutRows(whole.data(), shape.encoded_row_bytes, out.data(), shape.kept_row_bytes, rows);
  return {};
}

std::optional<Buffer> ChunkIo::ResidentRows(const Geometry& geometry, const FieldEntry& entry, size_t block,
                                            int64_t row, int64_t count) const {
  const RecordRef& ref = entry.refs[block];
  if (!ref || row < 0 || row + count > entry.chunk_rows) return std::nullopt;
  const BlockShape shape = ShapeOfBlock(geometry, entry, block);
  auto cached = cache_.Find(ChunkKey{ref.name, geometry.dtype, shape.encoded, &geometry.codecs});
  if (!cached) return std::nullopt;
  return RowsOf(*cached, shape, row, count);
}

Result<Buffer> ChunkIo::ReadRows(const Geometry& geometry, const CodecPipeline& pipeline,
                                 const FieldEntry& entry, size_t block, int64_t row, int64_t count) const {
  const BlockShape shape = ShapeOfBlock(geometry, entry, block);
  const size_t want = static_cast<size_t>(count) * shape.kept_row_bytes;
  if (row < 0 || count < 0 || row + count > entry.chunk_rows)
    return Error{ErrorCode::kCorrupt, "a field refers to rows beyond its chunk; run zn-fsck"};
  const RecordRef& ref = entry.refs[block];
  if (!ref) {
    std::vector<std::byte> fill(want);
    FillElements(geometry.dtype, fill);
    return Buffer::Own(std::move(fill));
  }
  if (auto resident = ResidentRows(geometry, entry, block, row, count)) return std::move(*resident);
  if (pipeline.IsIdentity() && shape.encoded_row_bytes == shape.kept_row_bytes) {
    ZN_ASSIGN_OR_RETURN(auto stored, OpenPayload(ref));
    if (stored->size() != static_cast<size_t>(shape.encoded[0]) * shape.encoded_row_bytes)
      return Error{ErrorCode::kCorrupt, "chunk " + ref.name.Hex() + " has another size than its shape"};
    ZN_ASSIGN_OR_RETURN(const auto bytes, stored->Fetch(static_cast<size_t>(row) * shape.kept_row_bytes, want));
    if (ref.in_log()) return Buffer::Copy(bytes);  // whoever has it may let go of the state
    return Buffer(std::shared_ptr<ByteSource>(std::move(stored)), bytes);
  }
  const ChunkKey key{ref.name, geometry.dtype, shape.encoded, &geometry.codecs};
  const auto promotion = cache_.OnMiss(key, row, count);
  if (promotion != ChunkCache::Promotion::kRows)
    return ReadPromoted(key, pipeline, ref, shape, row, count, promotion);
  std::vector<std::byte> rows(want);
  ZN_RETURN_IF_ERROR(DecodeRowsKept(pipeline, ref, shape, row, count, rows));
  return Buffer::Own(std::move(rows));
}

Result<Buffer> ChunkIo::ReadPromoted(const ChunkKey& key, const CodecPipeline& pipeline, const RecordRef& ref,
                                     const BlockShape& shape, int64_t row, int64_t count,
                                     ChunkCache::Promotion promotion) const {
  const auto decode = [&](std::span<std::byte> out) { return DecodeKept(pipeline, ref, shape, out); };
  ZN_ASSIGN_OR_RETURN(const CachedChunk chunk, cache_.GetOrDecode(key, shape.kept, decode, promotion));
  if (auto rows = RowsOf(chunk, shape, row, count)) return std::move(*rows);
  return Error{ErrorCode::kInternal, "a cached chunk is shorter than what was asked for"};
}

Result<> ChunkIo::DecodeRowsKept(const CodecPipeline& pipeline, const RecordRef& ref, const BlockShape& shape,
                                 int64_t row, int64_t count, std::span<std::byte> out) const {
  ZN_ASSIGN_OR_RETURN(const auto encoded, OpenPayload(ref));
  if (shape.encoded_row_bytes == shape.kept_row_bytes)
    return pipeline.DecodeRows(*encoded, shape.encoded, row, count, out);
  std::vector<std::byte> rows(static_cast<size_t>(count) * shape.encoded_row_bytes);
  ZN_RETURN_IF_ERROR(pipeline.DecodeRows(*encoded, shape.encoded, row, count, rows));
  CutRows(rows.data(), shape.encoded_row_bytes, out.data(), shape.kept_row_bytes, static_cast<size_t>(count));
  return {};
}

Result<> ChunkIo::ReadRowsInto(const Geometry& geometry, const CodecPipeline& pipeline, const FieldEntry& entry,
                               size_t block, int64_t row, int64_t count, std::span<std::byte> out,
                               Keep keep) const {
  const RecordRef& ref = entry.refs[block];
  const bool in_chunk = row >= 0 && count >= 0 && row + count <= entry.chunk_rows;
  if (in_chunk && !ref) {
    FillElements(geometry.dtype, out);
    return {};
  }
  if (in_chunk && !pipeline.IsIdentity()) {
    const BlockShape shape = ShapeOfBlock(geometry, entry, block);
    const ChunkKey key{ref.name, geometry.dtype, shape.encoded, &geometry.codecs};
    if (!cache_.Find(key)) {
      using Promotion = ChunkCache::Promotion;
      const Promotion promotion = keep == Keep::kNever ? Promotion::kRows : cache_.OnMiss(key, row, count);
      if (count == entry.chunk_rows && promotion != Promotion::kFile) return DecodeKept(pipeline, ref, shape, out);
      // Where most rows are taken now, little is left for which to keep it while somebody passes.
      if (promotion == Promotion::kRows || (promotion == Promotion::kPassing && 2 * count >= entry.chunk_rows))
        return DecodeRowsKept(pipeline, ref, shape, row, count, out);
      ZN_ASSIGN_OR_RETURN(const Buffer rows, ReadPromoted(key, pipeline, ref, shape, row, count, promotion));
      CopyBytes(out.data(), rows.data(), out.size());
      return {};
    }
  }
  ZN_ASSIGN_OR_RETURN(const Buffer rows, ReadRows(geometry, pipeline, entry, block, row, count));
  CopyBytes(out.data(), rows.data(), out.size());
  return {};
}

Result<std::string> ChunkIo::ReadText(const Geometry& geometry, const CodecPipeline& pipeline,
                                      const FieldEntry& entry, int64_t row) const {
  const RecordRef& ref = entry.refs[0];
  if (!ref) return std::string();
  const ChunkKey key{ref.name, geometry.dtype, Shape{entry.chunk_rows}, &geometry.codecs};
  ZN_ASSIGN_OR_RETURN(const CachedChunk chunk, cache_.GetOrDecodeVariable(key, [&]() -> Result<std::vector<std::byte>> {
    ZN_ASSIGN_OR_RETURN(const Buffer encoded, ReadPayload(ref));
    return pipeline.DecodeVariable(encoded.bytes(), kMaxTextChunk);
  }));
  ByteReader in(chunk.bytes.bytes());
  const auto count = in.Get<uint32_t>();
  std::string_view text;
  if (row < count)
    for (int64_t i = 0; i <= row; ++i) text = in.GetString();
  if (!in.ok() || row >= count)
    return Error{ErrorCode::kCorrupt, "chunk " + ref.name.Hex() + " holds fewer texts than its shape"};
  return std::string(text);
}

}  // namespace zn
