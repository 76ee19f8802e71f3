// What a field is (an array over frames) and how its chunks are laid out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn {

/// Values are stored on disk: never renumber.
enum class FieldKind : uint8_t {
  kFrame = 1,   // one row a frame: (frame, inner...)
  kAtom = 2,    // n_atoms rows a frame: (frame, atom, inner...)
  kRagged = 3,  // a number of rows of its own in each frame: (frame, row, inner...), e.g. bonds
};

std::string_view FieldKindName(FieldKind kind);  // "frame", "atom", "ragged"

/// How chunks of a field are laid out: a Zarr chunk grid. Immutable once listed in a descriptor.
struct Geometry {
  DType dtype = DType::kFloat64;
  FieldKind kind = FieldKind::kFrame;  // kFrame in a kRagged field: rows of a fixed count, inner[0]
  Shape inner;                         // the axes behind (frame) or (frame, atom)
  int64_t frames_per_chunk = 1;        // F
  int64_t atoms_per_chunk = 0;         // A; 0 for kFrame
  std::string codecs;                  // Zarr v3 `codecs` JSON; see zn/engine/codec.h

  /// Bytes of one row of a chunk: A (or 1) times inner's elements times the item's. 0 for kJson, -1 on overflow.
  int64_t RowBytes() const;
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

/// A field as a room knows it. Its dtype may only widen (bool, int, float64; anything to kJson), so chunks
/// of older geometries are converted without loss when they are read.
struct FieldDescriptor {
  std::string name;  // canonical, e.g. "arrays.positions"; UTF-8, 1 to 255 bytes, no control characters
  FieldKind kind = FieldKind::kFrame;
  DType dtype = DType::kFloat64;
  Shape inner;             // axes behind (frame) or (frame, atom)
  std::string attributes;  // a JSON object: "unit", "source_unit", ...; "{}" when there are none
  std::vector<Geometry> geometries;

  friend bool operator==(const FieldDescriptor&, const FieldDescriptor&) = default;
};

/// The permanent row number of a frame within its room: below 2^53, allocated upwards, never reused.
using FrameId = int64_t;
inline constexpr FrameId kMaxFrameId = (int64_t{1} << 53) - 1;

}  // namespace zn
