// Conversions of a column's bytes on their way from the file: units, whole numbers, shapes, texts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/buffer.h"
#include "zn/engine/dtype.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// Multiplies `count` elements: in double precision, rounded once to the source's type. Integers
/// become float64, halves float32 (`dtype` says so afterwards).
Result<Buffer> Scale(const Buffer& values, size_t count, double factor, DType& dtype);

/// Any number as double; complex and text are not. `dtype` as Scale.
Result<std::vector<double>> ToDoubles(const Buffer& values, size_t count, DType dtype);

/// Whole floats as int64, NaN as 0. The index of the first that is not whole (or is too large)
/// instead, if there is one.
struct Integers {
  std::vector<int64_t> values;
  std::optional<size_t> offending;
  bool had_nan = false;
};
Integers ToIntegers(const Buffer& values, size_t count, DType dtype);

/// Integers (of any width, or bool) as int64.
std::vector<int64_t> WidenIntegers(const Buffer& values, size_t count, DType dtype);

/// True when all `count` floats are NaN; false for other types, and for none.
bool AllNan(const std::byte* values, size_t count, DType dtype);

/// A text of the file as JSON. `plain`: what looks like a number or a truth value stays a string;
/// objects, arrays and quoted strings are JSON either way. NaN and Infinity, which Python writes
/// into JSON, become strings.
std::string TextAsJson(const std::string& text, bool plain);

}  // namespace zn::formats
