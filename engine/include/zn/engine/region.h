// Copying a box of one array into a box of another.
#pragma once

#include <cstddef>
#include <span>

#include "zn/engine/shape.h"

namespace zn {

/// Copies the box of `extent` elements at `from_origin` of an array of `from_shape` to `to_origin` of one of `to_shape`; both
/// in C order, of `item_size` bytes an element.
/// REQUIRES: one rank for all; the boxes lie within their arrays, which do not overlap.
void CopyRegion(const std::byte* from, const Shape& from_shape, const Shape& from_origin, std::byte* to,
                const Shape& to_shape, const Shape& to_origin, const Shape& extent, size_t item_size);

/// Repeats `element` all over `out`. REQUIRES: element is not empty and out is a multiple of it.
void RepeatElement(std::span<const std::byte> element, std::span<std::byte> out);

}  // namespace zn
