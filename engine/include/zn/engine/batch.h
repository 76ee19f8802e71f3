// Frames as columns: what readers hand to the engine, and what a selection of a room reads back as.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/field.h"

namespace zn {

/// A chunk as its source has it encoded, with the rows it was found to hold: a window of the same rows and geometry is stored
/// as these bytes instead of being encoded again.
struct EncodedChunk {
  int64_t first = 0;   // frame of the batch of its first row; all its frames are in the batch
  uint32_t block = 0;  // of atoms; 0 for per-frame fields
  Buffer encoded;
  Buffer decoded;  // what `encoded` decodes to, padding included
};

/// One field over the frames of a batch. Rows are joined without padding; frames without the field
/// contribute none.
struct Column {
  std::string name;
  FieldKind kind = FieldKind::kFrame;
  DType dtype = DType::kFloat64;
  Shape inner;

  /// Little-endian, C order: for kFrame (present frames, inner...), for kAtom (sum of their n_atoms, inner...),
  /// for kRagged (sum of their lengths, inner...). Unused for kJson.
  Buffer data;
  /// kJson only: one JSON text a present frame.
  std::vector<std::string> text;
  /// kRagged only: rows of each *present* frame.
  std::vector<int64_t> lengths;
  /// One byte a frame, 1 where the frame has the field; empty: all have it.
  std::vector<uint8_t> present;
  /// A JSON object for the descriptor (unit, ...), used when the field is new; may be empty.
  std::string attributes;

  /// Where the source has a chunk grid: how a field that is new should be laid out, unless LayoutOptions say otherwise.
  std::shared_ptr<const Geometry> grid;
  /// Chunks of `grid` that lie wholly within the batch, ascending; none need be given.
  std::vector<EncodedChunk> encoded;

  bool HasFrame(size_t frame) const { return present.empty() || present[frame] != 0; }
};

/// Columns over the same frames. `n_atoms` is always given; 0 is a valid count.
struct FrameBatch {
  std::vector<int32_t> n_atoms;
  std::vector<Column> columns;

  int64_t frames() const { return static_cast<int64_t>(n_atoms.size()); }
  const Column* Find(std::string_view name) const {
    for (const Column& column : columns)
      if (column.name == name) return &column;
    return nullptr;
  }
};

/// Checks that every column's sizes agree with n_atoms, lengths and present, names are unique and valid,
/// and nothing overflows. kTypeMismatch or kInvalidArgument naming the column otherwise.
Result<> ValidateBatch(const FrameBatch& batch);

}  // namespace zn
