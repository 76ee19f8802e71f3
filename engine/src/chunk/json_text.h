// Numbers as JSON text, for fields that came to hold texts after numbers.
#pragma once

#include <span>
#include <string>

#include "zn/engine/dtype.h"
#include "zn/engine/shape.h"

namespace zn {

/// The JSON of an array of `shape`, C order: shortest round-trip numbers, "NaN", "Infinity", "-Infinity", complex as
/// [re, im]. A scalar for rank 0. REQUIRES: dtype is not kJson and bytes hold the shape.
std::string JsonOfArray(DType dtype, const Shape& shape, std::span<const std::byte> bytes);

}  // namespace zn
