// Element types of arrays, with the names NumPy and Zarr give them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "zn/engine/error.h"

namespace zn {

/// Values are stored on disk (docs/format.md): never renumber.
enum class DType : uint8_t {
  kBool = 1,
  kInt8 = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kUInt8 = 6,
  kUInt16 = 7,
  kUInt32 = 8,
  kUInt64 = 9,
  kFloat16 = 10,
  kFloat32 = 11,
  kFloat64 = 12,
  kComplex64 = 13,
  kComplex128 = 14,
  /// One JSON text (UTF-8) a row: strings, and nested values of any shape. Variable length.
  kJson = 15,
};

inline constexpr DType kAllDTypes[] = {
    DType::kBool,   DType::kInt8,   DType::kInt16,   DType::kInt32,   DType::kInt64,
    DType::kUInt8,  DType::kUInt16, DType::kUInt32,  DType::kUInt64,  DType::kFloat16,
    DType::kFloat32, DType::kFloat64, DType::kComplex64, DType::kComplex128, DType::kJson};

/// Bytes of one element; 0 for kJson.
size_t ItemSize(DType dtype);
/// NumPy's array-protocol string, little-endian: "<f4", "|b1", "<i8"; "|O" for kJson.
std::string_view NumpyName(DType dtype);
/// Zarr v3's data type name: "float32", "bool", "complex64"; "string" for kJson.
std::string_view ZarrName(DType dtype);
/// From either name, or NumPy's long one ("float32"). Big-endian ("> f4") is kUnsupported: convert first.
Result<DType> ParseDType(std::string_view name);
/// A valid enumerator? For bytes read from disk.
bool IsValidDType(uint8_t value);
bool IsFloating(DType dtype);  // float16/32/64 and complex
bool IsInteger(DType dtype);   // not bool

/// The fill value of padding, written to `element` (ItemSize bytes): NaN for floats, 0 for integers, false.
void WriteFillValue(DType dtype, std::byte* element);

}  // namespace zn
