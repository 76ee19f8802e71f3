#include "zn/engine/dtype.h"

#include <bit>
#include <cstring>

namespace zn {
namespace {

struct Names {
  uint8_t size;
  std::string_view numpy, zarr;
};

// Indexed by the enumerator.
constexpr Names kNames[] = {
    {0, "", ""},           {1, "|b1", "bool"},      {1, "|i1", "int8"},
    {2, "<i2", "int16"},   {4, "<i4", "int32"},     {8, "<i8", "int64"},
    {1, "|u1", "uint8"},   {2, "<u2", "uint16"},    {4, "<u4", "uint32"},
    {8, "<u8", "uint64"},  {2, "<f2", "float16"},   {4, "<f4", "float32"},
    {8, "<f8", "float64"}, {8, "<c8", "complex64"}, {16, "<c16", "complex128"},
    {0, "|O", "string"},
};

const Names& NamesOf(DType dtype) {
  const auto index = static_cast<uint8_t>(dtype);
  return kNames[index < std::size(kNames) ? index : 0];
}

template <class T>
void WriteTwice(T value, std::byte* out) {
  std::memcpy(out, &value, sizeof value);
  std::memcpy(out + sizeof value, &value, sizeof value);
}

// The quiet NaNs that NumPy writes.
constexpr uint16_t kHalfNan = 0x7e00;
constexpr uint32_t kFloatNan = 0x7fc00000;
constexpr uint64_t kDoubleNan = 0x7ff8000000000000;

}  // namespace

size_t ItemSize(DType dtype) { return NamesOf(dtype).size; }
std::string_view NumpyName(DType dtype) { return NamesOf(dtype).numpy; }
std::string_view ZarrName(DType dtype) { return NamesOf(dtype).zarr; }

Result<DType> ParseDType(std::string_view name) {
  for (DType dtype : kAllDTypes) {
    const Names& names = NamesOf(dtype);
    if (name == names.zarr || name == names.numpy) return dtype;
    // "=f4", "f4" and "<b1" mean the same on a little-endian machine.
    const std::string_view code = names.numpy.substr(1);
    if (name == code) return dtype;
    if (name.size() == code.size() + 1 && name.substr(1) == code) {
      if (name[0] == '<' || name[0] == '=' || name[0] == '|') return dtype;
      if (name[0] == '>') {
        if (names.size == 1) return dtype;
        return Error{ErrorCode::kUnsupported,
                     "dtype \"" + std::string(name) + "\" is big-endian: convert it first"};
      }
    }
  }
  if (name == "json" || name == "object") return DType::kJson;
  std::string known;
  for (DType dtype : kAllDTypes)
    known += (known.empty() ? "" : ", ") + std::string(ZarrName(dtype));
  return Error{ErrorCode::kInvalidArgument,
               "unknown dtype \"" + std::string(name.substr(0, 64)) + "\"; known: " + known};
}

bool IsValidDType(uint8_t value) { return value >= 1 && value < std::size(kNames); }

bool IsFloating(DType dtype) { return dtype >= DType::kFloat16 && dtype <= DType::kComplex128; }
bool IsInteger(DType dtype) { return dtype >= DType::kInt8 && dtype <= DType::kUInt64; }

void WriteFillValue(DType dtype, std::byte* element) {
  switch (dtype) {
    case DType::kFloat16:
      std::memcpy(element, &kHalfNan, sizeof kHalfNan);
      return;
    case DType::kFloat32:
      std::memcpy(element, &kFloatNan, sizeof kFloatNan);
      return;
    case DType::kFloat64:
      std::memcpy(element, &kDoubleNan, sizeof kDoubleNan);
      return;
    case DType::kComplex64:
      WriteTwice(kFloatNan, element);
      return;
    case DType::kComplex128:
      WriteTwice(kDoubleNan, element);
      return;
    default:
      if (ItemSize(dtype) > 0) std::memset(element, 0, ItemSize(dtype));  // texts have no element
      return;
  }
}

}  // namespace zn
