// NPY version 1.0: the header that makes a file of raw elements readable by numpy.load.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn {

/// Array data start at a multiple of this.
inline constexpr size_t kNpyAlignment = 64;

struct NpyHeader {
  DType dtype = DType::kFloat64;
  Shape shape;
  size_t data_offset = 0;
};

/// C order, little-endian. REQUIRES: not kJson.
std::vector<std::byte> EncodeNpyHeader(DType dtype, const Shape& shape);

/// Reads the header at the start of `bytes` (which may go on behind it), as EncodeNpyHeader or
/// NumPy writes it. kCorrupt for what is none, kUnsupported for Fortran order, other versions, and
/// dtypes or ranks that the engine does not have.
Result<NpyHeader> DecodeNpyHeader(std::span<const std::byte> bytes);

}  // namespace zn
