// What a chunk of the grid is made of, and making it.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "zarr/grid.h"

namespace zn::internal {

/// Consecutive rows of a chunk of the grid that are consecutive rows of one stored chunk.
struct Piece {
  int64_t at = 0;  // first row in the chunk of the grid
  int64_t rows = 0;
  FrameId first = 0;  // frame id of the first row
  FieldEntry entry;   // its place; always present
};

/// Where a chunk stands in its array.
struct ChunkSpot {
  int64_t first_frame = 0;  // position of the first row
  int64_t frames = 0;       // rows that the array has: fewer than F at its end
  int64_t block = 0;        // along the atom axis
};
ChunkSpot SpotOf(const ZarrArray& array, const GridArray& part, std::span<const int64_t> chunk);

/// The pieces of a field's rows at positions [spot.first_frame, + spot.frames), in order, leaving
/// out absent frames. nullopt when there are more than `limit`.
Result<std::optional<std::vector<Piece>>> PiecesOf(const StoreCore& core, const RoomState& state,
                                                   uint32_t field, const ChunkSpot& spot,
                                                   size_t limit);

/// The stored block whose bytes are the chunk's, a null reference standing for fill; nullptr when
/// there is none.
const RecordRef* StoredBlock(const GridArray& part, const ChunkSpot& spot,
                             std::span<const Piece> pieces);

/// Names the chunk's content by what it is made of: equal names, equal bytes, also in other rooms
/// and commits.
Sha256 ContentName(const RoomState& state, const ZarrArray& array, const GridArray& part,
                   const ChunkSpot& spot, std::span<const Piece> pieces);

/// Reads, pads and encodes the chunk. nullopt when all of it is fill and the array may leave such
/// chunks out.
Result<std::optional<std::vector<std::byte>>> EncodeChunk(
    const StoreCore& core, const RoomState& state, const ZarrArray& array, const GridArray& part,
    const ChunkSpot& spot, std::span<const Piece> pieces);

}  // namespace zn::internal
