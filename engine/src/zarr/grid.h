// Which arrays a room's view has: the chunk grid, codecs and metadata of each.
#pragma once

#include <memory>
#include <vector>

#include "room/state.h"
#include "room/store_core.h"
#include "zn/engine/zarr_view.h"

namespace zn::internal {

/// An array with what its chunks are made from.
struct GridArray {
  uint32_t field = 0;  // index in the state's table
  Geometry geometry;   // of the grid: F, A and codecs; kFrame for kPresent and kLengths
  std::shared_ptr<const CodecPipeline> pipeline;
  uint16_t geometry_index = 0;  // of the field's geometry that the grid is, where from_stored
  bool from_stored = false;     // whole stored chunks of this geometry are chunks of the array
  bool may_miss = false;  // an all-fill chunk is left out: fill_value says the same in v2 and v3
};

struct Grid {
  std::vector<ZarrArray> arrays;
  std::vector<GridArray> parts;  // by index in arrays
};

/// Arrays of the state's fields, in their order, n_atoms first.
Result<Grid> MakeGrid(StoreCore& core, const RoomState& state, const ZarrViewOptions& options);

}  // namespace zn::internal
