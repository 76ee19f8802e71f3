// The array -> array and array -> bytes steps: axis order and byte order.
#pragma once

#include <cstddef>
#include <span>

#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"

namespace zn {

/// Reverses the bytes of every number in place (both parts of complex ones).
void SwapByteOrder(DType dtype, std::span<std::byte> elements);

/// Copies an array in C order so that axis k of `out` is axis order[k] of `in`, which has `shape`.
/// REQUIRES: `order` is a permutation of shape's axes; both spans hold shape.Elements() items.
void TransposeArray(std::span<const std::byte> in, const Shape& shape,
                    std::span<const int64_t> order, size_t item_size, std::span<std::byte> out);

}  // namespace zn
