// Converting elements from one dtype to another, and which dtype two of them fit into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"

namespace zn {

/// Can every value of `from` be represented as a `to`? Anything converts to kJson (as text, which
/// ConvertElements does not do); kJson only to itself.
bool ConvertsWithoutLoss(DType from, DType to);

/// Converts all elements of `in`; `out` must hold as many. With `checked`, kTypeMismatch naming the
/// first value that would change (then `out` is partly written). Without, as NumPy casts: integers
/// wrap, floats round to nearest or, on the way to integers, truncate (here: saturating, NaN to 0),
/// imaginary parts are dropped, anything not 0 is true. NaN stays NaN. `in` and `out` need no
/// alignment and must not overlap. kJson on either side is kUnsupported.
Result<> ConvertElements(DType from, std::span<const std::byte> in, DType to,
                         std::span<std::byte> out, bool checked);

/// The smallest dtype that both convert to without loss, bool < integers < floats < complex. Where
/// there is none (int64 with uint64, or with floats), float64 or complex128: conversion then has to
/// be checked. Anything with kJson is kJson. Empty only for invalid enumerators.
std::optional<DType> WidenDType(DType a, DType b);

/// IEEE 754 binary16, round to nearest even.
double HalfToDouble(uint16_t half);
uint16_t DoubleToHalf(double value);

}  // namespace zn
