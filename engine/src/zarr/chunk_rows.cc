#include "zarr/chunk_rows.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/copy.h"
#include "room/reader.h"

namespace zn::internal {
namespace {

/// Rows of fixed size in a chunk being assembled.
struct Target {
  std::byte* rows;
  size_t row_bytes;
  std::byte* row(int64_t at) const { return rows + static_cast<size_t>(at) * row_bytes; }
};

size_t InnerBytes(const Geometry& g) {
  size_t bytes = ItemSize(g.dtype);
  for (const int64_t extent : g.inner) bytes *= static_cast<size_t>(extent);
  return bytes;
}

class Assembler {
 public:
  Assembler(const StoreCore& core, const RoomState& state, const GridArray& part,
            const ChunkSpot& spot)
      : core_(core), reader_(core, state), state_(state), part_(part), spot_(spot) {}

  /// Copies a piece's rows over the fill that is there.
  Result<> Copy(const Piece& piece, const Target& target) {
    const FieldInfo& info = *state_.table->all[part_.field];
    const Geometry& from = info.descriptor.geometries[piece.entry.geometry];
    const Geometry& to = part_.geometry;
    // Padding is the same in both, so there is no need to know how many atoms each frame has.
    if (from.dtype == to.dtype && from.kind == to.kind && from.inner == to.inner)
      return CopyRows(piece, from, *info.pipelines[piece.entry.geometry], target);
    for (int64_t i = 0; i < piece.rows; ++i) ZN_RETURN_IF_ERROR(CopyConverted(piece, i, target));
    return {};
  }

 private:
  // What is kept is the encoded chunk that these rows are for.
  static constexpr ChunkIo::Keep kKeep = ChunkIo::Keep::kNever;

  Result<> CopyRows(const Piece& piece, const Geometry& from, const CodecPipeline& pipeline,
                    const Target& target) {
    if (from.kind == FieldKind::kFrame)
      return core_.chunks->ReadRowsInto(
          from, pipeline, piece.entry, 0, piece.entry.row, piece.rows,
          {target.row(piece.at), static_cast<size_t>(piece.rows) * target.row_bytes}, kKeep);
    const int64_t a = part_.geometry.atoms_per_chunk;
    const int64_t begin = spot_.block * a, end = begin + a;  // atoms wanted
    const size_t atom_bytes = InnerBytes(from);
    for (size_t block = 0; block < piece.entry.blocks; ++block) {
      const BlockShape shape = ShapeOfBlock(from, piece.entry, block);
      const int64_t first = static_cast<int64_t>(block) * piece.entry.chunk_atoms;
      const int64_t low = std::max(begin, first), high = std::min(end, first + shape.kept[1]);
      if (low >= high) continue;
      const size_t bytes = static_cast<size_t>(high - low) * atom_bytes;
      const size_t skip = static_cast<size_t>(low - first) * atom_bytes;
      const size_t indent = static_cast<size_t>(low - begin) * atom_bytes;
      if (bytes == shape.kept_row_bytes && bytes == target.row_bytes) {
        ZN_RETURN_IF_ERROR(core_.chunks->ReadRowsInto(
            from, pipeline, piece.entry, block, piece.entry.row, piece.rows,
            {target.row(piece.at), static_cast<size_t>(piece.rows) * target.row_bytes}, kKeep));
        continue;
      }
      scratch_.resize(static_cast<size_t>(piece.rows) * shape.kept_row_bytes);
      ZN_RETURN_IF_ERROR(core_.chunks->ReadRowsInto(from, pipeline, piece.entry, block,
                                                    piece.entry.row, piece.rows, scratch_, kKeep));
      for (int64_t i = 0; i < piece.rows; ++i)
        CopyBytes(target.row(piece.at + i) + indent,
                  scratch_.data() + static_cast<size_t>(i) * shape.kept_row_bytes + skip, bytes);
    }
    return {};
  }

  /// A row of another dtype or layout: as readers of the frame get it.
  Result<> CopyConverted(const Piece& piece, int64_t i, const Target& target) {
    ZN_ASSIGN_OR_RETURN(const std::optional<Row> row,
                        reader_.Read(part_.field, piece.first + i, {}));
    if (!row) return {};
    size_t skip = 0;
    if (part_.geometry.kind != FieldKind::kFrame)
      skip = std::min(row->bytes.size(), static_cast<size_t>(spot_.block) * target.row_bytes);
    const size_t bytes = std::min(row->bytes.size() - skip, target.row_bytes);
    CopyBytes(target.row(piece.at + i), row->bytes.data() + skip, bytes);
    return {};
  }

  const StoreCore& core_;
  const RowReader reader_;
  const RoomState& state_;
  const GridArray& part_;
  const ChunkSpot& spot_;
  std::vector<std::byte> scratch_;
};

/// kLengths: from the lengths' own field, but for rows of a fixed count.
Result<> FillLengths(const StoreCore& core, const RoomState& state, const GridArray& part,
                     std::span<const Piece> pieces, const Target& target) {
  const RowReader reader(core, state);
  const FieldInfo& info = *state.table->all[part.field];
  for (const Piece& piece : pieces) {
    for (int64_t i = 0; i < piece.rows; ++i) {
      FieldEntry lengths;
      if (info.lengths >= 0) {
        ZN_ASSIGN_OR_RETURN(
            lengths, state.RowOf(core, static_cast<uint32_t>(info.lengths), piece.first + i));
      }
      ZN_ASSIGN_OR_RETURN(const int64_t length, reader.Length(part.field, piece.entry, lengths));
      std::memcpy(target.row(piece.at + i), &length, sizeof length);
    }
  }
  return {};
}

}  // namespace

ChunkSpot SpotOf(const ZarrArray& array, const GridArray& part, std::span<const int64_t> chunk) {
  ChunkSpot spot;
  const int64_t f = part.geometry.frames_per_chunk;
  spot.first_frame = chunk[0] * f;
  spot.frames = std::min(f, array.metadata.shape[0] - spot.first_frame);
  if (part.geometry.kind != FieldKind::kFrame) spot.block = chunk[1];
  return spot;
}

Result<std::optional<std::vector<Piece>>> PiecesOf(const StoreCore& core, const RoomState& state,
                                                   uint32_t field, const ChunkSpot& spot,
                                                   size_t limit) {
  std::vector<Piece> pieces;
  bool too_many = false;
  const FieldTree& rows = state.rows[field];
  Result<> inner;
  const auto begin = static_cast<uint64_t>(spot.first_frame);
  ZN_RETURN_IF_ERROR(state.order.ForEach(
      core, begin, begin + static_cast<uint64_t>(spot.frames),
      [&](uint64_t position, uint64_t span, const OrderEntry& ids) {
        const auto first = static_cast<uint64_t>(ids.first);
        inner = rows.ForEach(
            core, first, first + span, [&](uint64_t id, uint64_t n, const FieldEntry& entry) {
              if (!entry.present()) return true;
              const auto at = static_cast<int64_t>(position + (id - first) - begin);
              // Runs end at the ends of tree nodes, where the rows may go on.
              if (!pieces.empty() && pieces.back().at + pieces.back().rows == at &&
                  pieces.back().first + pieces.back().rows == static_cast<int64_t>(id) &&
                  entry.Continues(pieces.back().entry, static_cast<uint64_t>(pieces.back().rows))) {
                pieces.back().rows += static_cast<int64_t>(n);
                return true;
              }
              too_many = pieces.size() == limit;
              if (!too_many)
                pieces.push_back({at, static_cast<int64_t>(n), static_cast<FrameId>(id), entry});
              return !too_many;
            });
        return inner.has_value() && !too_many;
      }));
  ZN_RETURN_IF_ERROR(std::move(inner));
  if (too_many) return std::optional<std::vector<Piece>>();
  return std::optional(std::move(pieces));
}

const RecordRef* StoredBlock(const GridArray& part, const ChunkSpot& spot,
                             std::span<const Piece> pieces) {
  static constexpr RecordRef kFill{};
  const Geometry& g = part.geometry;
  if (!part.from_stored || pieces.size() != 1) return nullptr;
  const Piece& piece = pieces[0];
  const FieldEntry& entry = piece.entry;
  if (piece.rows != g.frames_per_chunk || entry.row != 0 ||
      entry.chunk_rows != g.frames_per_chunk || entry.geometry != part.geometry_index)
    return nullptr;
  if (g.kind == FieldKind::kFrame) return entry.blocks == 1 ? &entry.refs[0] : nullptr;
  if (entry.chunk_atoms != g.atoms_per_chunk) return nullptr;
  return spot.block < entry.blocks ? &entry.refs[spot.block] : &kFill;
}

Sha256 ContentName(const RoomState& state, const ZarrArray& array, const GridArray& part,
                   const ChunkSpot& spot, std::span<const Piece> pieces) {
  const FieldInfo& info = *state.table->all[part.field];
  ByteWriter name;
  name.PutString("zarr chunk 1");
  name.Put(array.content);
  name.PutString(NumpyName(part.geometry.dtype));
  name.PutString(array.metadata.chunks.ToString());
  name.PutString(part.geometry.codecs);
  name.Put(spot.block);
  bool by_commit = array.content == ZarrArray::Content::kLengths;
  uint16_t named = FieldEntry::kAbsent;
  for (const Piece& piece : pieces) {
    name.Put(piece.at);
    name.Put(piece.rows);
    if (array.content == ZarrArray::Content::kPresent) continue;
    const FieldEntry& entry = piece.entry;
    const Geometry& g = info.descriptor.geometries[entry.geometry];
    if (entry.geometry != named) {
      named = entry.geometry;
      name.PutString(NumpyName(g.dtype));
      name.PutString(g.codecs);
    }
    // Converted rows depend on more than their own chunk.
    by_commit |= g.dtype != part.geometry.dtype || g.kind != part.geometry.kind ||
                 !(g.inner == part.geometry.inner);
    name.Put(entry.row);
    name.Put(entry.chunk_rows);
    name.Put(entry.chunk_atoms);
    name.Put(entry.used_atoms);
    for (size_t block = 0; block < entry.blocks; ++block) {
      name.Put(static_cast<uint8_t>(entry.refs[block] ? 1 : 0));
      name.PutBytes(entry.refs[block].name.bytes);
    }
  }
  if (by_commit) {
    name.PutString(array.name);
    name.Put(spot.first_frame);
    name.Put(state.room);
    name.Put(state.commit.generation);
    name.Put(state.commit.digest);
    // A selection of frames goes by its commit's name.
    for (const Piece& piece : pieces) name.Put(piece.first);
  }
  return HashSha256(name.bytes());
}

Result<std::optional<std::vector<std::byte>>> EncodeChunk(
    const StoreCore& core, const RoomState& state, const ZarrArray& array, const GridArray& part,
    const ChunkSpot& spot, std::span<const Piece> pieces) {
  const Geometry& g = part.geometry;
  const Shape& shape = array.metadata.chunks;
  std::vector<std::byte> raw;
  if (g.dtype == DType::kJson) {
    const RowReader reader(core, state);
    std::vector<std::string> texts(static_cast<size_t>(g.frames_per_chunk));
    for (const Piece& piece : pieces) {
      for (int64_t i = 0; i < piece.rows; ++i) {
        ZN_ASSIGN_OR_RETURN(std::optional<Row> row, reader.Read(part.field, piece.first + i, {}));
        if (row) texts[static_cast<size_t>(piece.at + i)] = std::move(row->text);
      }
    }
    raw = EncodeText(texts);
  } else {
    const int64_t row_bytes = g.RowBytes();
    int64_t size = 0;
    if (row_bytes < 0 || __builtin_mul_overflow(row_bytes, g.frames_per_chunk, &size) ||
        size > (int64_t{1} << 31))
      return Error{ErrorCode::kTooLarge,
                   "a chunk of array " + array.name + ", " + shape.ToString() +
                       ", is beyond 2 GiB: import the room again with smaller chunks"};
    raw.resize(static_cast<size_t>(size));
    const Target target{raw.data(), static_cast<size_t>(row_bytes)};
    if (array.content == ZarrArray::Content::kPresent) {
      for (const Piece& piece : pieces)
        std::memset(target.row(piece.at), 1, static_cast<size_t>(piece.rows));
    } else if (array.content == ZarrArray::Content::kLengths) {
      ZN_RETURN_IF_ERROR(FillLengths(core, state, part, pieces, target));
    } else {
      FillElements(g.dtype, raw);
      Assembler assembler(core, state, part, spot);
      for (const Piece& piece : pieces) ZN_RETURN_IF_ERROR(assembler.Copy(piece, target));
    }
    if (part.may_miss && IsAllFill(g.dtype, raw)) return std::optional<std::vector<std::byte>>();
  }
  ZN_ASSIGN_OR_RETURN(auto encoded, part.pipeline->Encode(raw, shape));
  return std::optional(std::move(encoded));
}

}  // namespace zn::internal
