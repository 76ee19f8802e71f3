#include "h5md/convert.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "hierarchy/hierarchy.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

float FromHalf(uint16_t half) {
  int exponent = half >> 10 & 31, mantissa = half & 1023;
  float value = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                 : std::ldexp(static_cast<float>(mantissa | 1024), exponent - 25);
  return half & 0x8000 ? -value : value;
}

template <class From, class To, class F>
void Map(const std::byte* in, size_t count, std::byte* out, F f) {
  for (size_t i = 0; i < count; ++i) {
    From from;
    std::memcpy(&from, in + i * sizeof(From), sizeof(From));
    To to = f(from);
    std::memcpy(out + i * sizeof(To), &to, sizeof(To));
  }
}

// Calls f with a value of the C++ type of a number's dtype; false when it has none.
template <class F>
bool WithType(DType dtype, F f) {
  switch (dtype) {
    case DType::kBool:
    case DType::kUInt8:
      f(uint8_t{});
      return true;
    case DType::kInt8:
      f(int8_t{});
      return true;
    case DType::kInt16:
      f(int16_t{});
      return true;
    case DType::kInt32:
      f(int32_t{});
      return true;
    case DType::kInt64:
      f(int64_t{});
      return true;
    case DType::kUInt16:
      f(uint16_t{});
      return true;
    case DType::kUInt32:
      f(uint32_t{});
      return true;
    case DType::kUInt64:
      f(uint64_t{});
      return true;
    case DType::kFloat32:
      f(float{});
      return true;
    case DType::kFloat64:
      f(double{});
      return true;
    default:
      return false;
  }
}

// Python's json module writes NaN, Infinity and -Infinity bare.
std::string QuoteNonNumbers(const std::string& text) {
  std::string out;
  bool inside = false;
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (inside) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') inside = false;
      ++i;
      continue;
    }
    bool replaced = false;
    for (std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (text.compare(i, word.size(), word) == 0) {
        out += '"';
        out += word;
        out += '"';
        i += word.size();
        replaced = true;
        break;
      }
    }
    if (replaced) continue;
    inside = c == '"';
    out += c;
    ++i;
  }
  return out;
}

}  // namespace

Result<Buffer> Scale(const Buffer& values, size_t count, double factor, DType& dtype) {
  DType to = dtype == DType::kFloat16 ? DType::kFloat32
             : IsFloating(dtype)      ? dtype
                                      : DType::kFloat64;
  if (dtype == DType::kComplex64 || dtype == DType::kComplex128) {
    count *= 2;
    to = dtype;
  }
  size_t item = dtype == DType::kComplex64 ? 4 : dtype == DType::kComplex128 ? 8 : ItemSize(to);
  ZN_ASSIGN_OR_RETURN(auto block,
                      Block::Allocate(static_cast<int64_t>(count), static_cast<int64_t>(item)));
  const std::byte* in = values.data();
  switch (dtype) {
    case DType::kFloat32:
    case DType::kComplex64:
      Map<float, float>(in, count, block.data(),
                        [&](float v) { return static_cast<float>(v * factor); });
      break;
    case DType::kFloat64:
    case DType::kComplex128:
      Map<double, double>(in, count, block.data(), [&](double v) { return v * factor; });
      break;
    case DType::kFloat16:
      Map<uint16_t, float>(in, count, block.data(),
                           [&](uint16_t v) { return static_cast<float>(FromHalf(v) * factor); });
      break;
    default:
      WithType(dtype, [&](auto kind) {
        using T = decltype(kind);
        Map<T, double>(in, count, block.data(),
                       [&](T v) { return static_cast<double>(v) * factor; });
      });
  }
  dtype = to;
  return std::move(block).Take(count * item);
}

Result<std::vector<double>> ToDoubles(const Buffer& values, size_t count, DType dtype) {
  std::vector<double> out(count);
  auto* bytes = reinterpret_cast<std::byte*>(out.data());
  if (dtype == DType::kFloat16) {
    Map<uint16_t, double>(values.data(), count, bytes,
                          [](uint16_t v) { return static_cast<double>(FromHalf(v)); });
    return out;
  }
  bool known = WithType(dtype, [&](auto kind) {
    using T = decltype(kind);
    Map<T, double>(values.data(), count, bytes, [](T v) { return static_cast<double>(v); });
  });
  if (!known) return Error{ErrorCode::kTypeMismatch, "holds no real numbers"};
  return out;
}

Integers ToIntegers(const Buffer& values, size_t count, DType dtype) {
  Integers result;
  result.values.resize(count);
  for (size_t i = 0; i < count; ++i) {
    double value;
    if (dtype == DType::kFloat32) {
      float narrow;
      std::memcpy(&narrow, values.data() + i * 4, 4);
      value = narrow;
    } else if (dtype == DType::kFloat64) {
      std::memcpy(&value, values.data() + i * 8, 8);
    } else {
      uint16_t half;
      std::memcpy(&half, values.data() + i * 2, 2);
      value = FromHalf(half);
    }
    if (std::isnan(value)) {
      result.had_nan = true;
    } else if (!(std::abs(value) < 9e15) || value != std::floor(value)) {
      result.offending = i;
      return result;
    } else {
      result.values[i] = static_cast<int64_t>(value);
    }
  }
  return result;
}

std::vector<int64_t> WidenIntegers(const Buffer& values, size_t count, DType dtype) {
  std::vector<int64_t> out(count);
  WithType(dtype, [&](auto kind) {
    using T = decltype(kind);
    if constexpr (std::is_integral_v<T>) {
      Map<T, int64_t>(values.data(), count, reinterpret_cast<std::byte*>(out.data()),
                      [](T v) { return static_cast<int64_t>(v); });
    }
  });
  return out;
}

bool AllNan(const std::byte* values, size_t count, DType dtype) {
  if (count == 0) return false;
  auto all = [&](auto kind) {
    using T = decltype(kind);
    for (size_t i = 0; i < count; ++i) {
      T value;
      std::memcpy(&value, values + i * sizeof(T), sizeof(T));
      if (!std::isnan(value)) return false;
    }
    return true;
  };
  if (dtype == DType::kFloat32) return all(float{});
  if (dtype == DType::kFloat64) return all(double{});
  return false;
}

std::string TextAsJson(const std::string& text, bool plain) {
  size_t first = text.find_first_not_of(" \t\r\n");
  bool structured = first != std::string::npos &&
                    (text[first] == '{' || text[first] == '[' || text[first] == '"');
  if (structured || (!plain && first != std::string::npos)) {
    if (nlohmann::json::accept(text)) return text;
    if (text.find("NaN") != std::string::npos || text.find("Infinity") != std::string::npos) {
      std::string quoted = QuoteNonNumbers(text);
      if (nlohmann::json::accept(quoted)) return quoted;
    }
  }
  std::string literal;
  AppendJsonString(text, literal);
  return literal;
}

}  // namespace zn::formats
