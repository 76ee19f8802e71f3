// Numbers as text, shared by the JSON and extended XYZ writers.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "zn/engine/dtype.h"

namespace zn::formats {

/// The value of a little-endian float16.
double HalfToDouble(uint16_t half);

/// How a text format spells what is not finite.
struct NonFinite {
  std::string_view nan, positive, negative;
};
inline constexpr NonFinite kJsonNonFinite{"\"NaN\"", "\"Infinity\"", "\"-Infinity\""};
/// JSON as Python's json module writes and reads it, for `_JSON` values of extended XYZ.
inline constexpr NonFinite kPythonNonFinite{"NaN", "Infinity", "-Infinity"};
inline constexpr NonFinite kXyzNonFinite{"nan", "inf", "-inf"};

/// The fewest digits that read back as the same T; always with a point or an exponent, so that
/// readers that tell integers from floats by that keep the type.
template <class T>
void AppendFloat(T value, const NonFinite& non_finite, std::string& out) {
  if (!std::isfinite(value)) {
    out += std::isnan(value) ? non_finite.nan
           : value > 0       ? non_finite.positive
                             : non_finite.negative;
    return;
  }
  char text[40];
  char* end = std::to_chars(text, text + sizeof text, value).ptr;
  std::string_view digits(text, static_cast<size_t>(end - text));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

template <class T>
void AppendInteger(T value, std::string& out) {
  char text[24];
  char* end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

/// One element at `at`, which need not be aligned. Bools as `yes` and `no`. REQUIRES: not complex,
/// not kJson.
void AppendElement(DType dtype, const std::byte* at, const NonFinite& non_finite,
                   std::string_view yes, std::string_view no, std::string& out);

/// Nested lists; complex as [re, im].
void AppendNested(DType dtype, const int64_t* extents, size_t rank, const std::byte*& at,
                  const NonFinite& non_finite, std::string& out);

}  // namespace zn::formats
