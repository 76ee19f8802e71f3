#include "chunk/json_text.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "zn/engine/dtype_convert.h"

namespace zn {
namespace {

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <class T>
void AppendNumber(T value, std::string& out) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) {
      out += "\"NaN\"";
      return;
    }
    if (std::isinf(value)) {
      out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
      return;
    }
  }
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
}

void AppendElement(DType dtype, const std::byte* p, std::string& out) {
  switch (dtype) {
    case DType::kBool: out += Load<uint8_t>(p) != 0 ? "true" : "false"; return;
    case DType::kInt8: return AppendNumber<int>(Load<int8_t>(p), out);
    case DType::kInt16: return AppendNumber(Load<int16_t>(p), out);
    case DType::kInt32: return AppendNumber(Load<int32_t>(p), out);
    case DType::kInt64: return AppendNumber(Load<int64_t>(p), out);
    case DType::kUInt8: return AppendNumber<unsigned>(Load<uint8_t>(p), out);
    case DType::kUInt16: return AppendNumber(Load<uint16_t>(p), out);
    case DType::kUInt32: return AppendNumber(Load<uint32_t>(p), out);
    case DType::kUInt64: return AppendNumber(Load<uint64_t>(p), out);
    case DType::kFloat16: {
      float value = 0;
      (void)ConvertElements(DType::kFloat16, {p, 2}, DType::kFloat32,
                            std::as_writable_bytes(std::span(&value, 1)), false);
      return AppendNumber(value, out);
    }
    case DType::kFloat32: return AppendNumber(Load<float>(p), out);
    case DType::kFloat64: return AppendNumber(Load<double>(p), out);
    case DType::kComplex64:
    case DType::kComplex128: {
      const DType part = dtype == DType::kComplex64 ? DType::kFloat32 : DType::kFloat64;
      out += '[';
      AppendElement(part, p, out);
      out += ',';
      AppendElement(part, p + ItemSize(part), out);
      out += ']';
      return;
    }
    case DType::kJson: return;
  }
}

const std::byte* AppendAxis(DType dtype, const Shape& shape, size_t axis, const std::byte* p, std::string& out) {
  if (axis == shape.rank()) {
    AppendElement(dtype, p, out);
    return p + ItemSize(dtype);
  }
  out += '[';
  for (int64_t i = 0; i < shape[axis]; ++i) {
    if (i > 0) out += ',';
    p = AppendAxis(dtype, shape, axis + 1, p, out);
  }
  out += ']';
  return p;
}

}  // namespace

std::string JsonOfArray(DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
  std::string out;
  AppendAxis(dtype, shape, 0, bytes.data(), out);
  return out;
}

}  // namespace zn
