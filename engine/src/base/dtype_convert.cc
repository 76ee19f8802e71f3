#include "zn/engine/dtype_convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace zn {
namespace {

struct Bool {
  uint8_t value;
};
struct Half {
  uint16_t bits;
};
template <class T>
struct Complex {
  T re, im;
};

template <class T>
inline constexpr bool kIsComplex = false;
template <class T>
inline constexpr bool kIsComplex<Complex<T>> = true;

template <class F>
auto WithType(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBool:
      return f(Bool{});
    case DType::kInt8:
      return f(int8_t{});
    case DType::kInt16:
      return f(int16_t{});
    case DType::kInt32:
      return f(int32_t{});
    case DType::kInt64:
      return f(int64_t{});
    case DType::kUInt8:
      return f(uint8_t{});
    case DType::kUInt16:
      return f(uint16_t{});
    case DType::kUInt32:
      return f(uint32_t{});
    case DType::kUInt64:
      return f(uint64_t{});
    case DType::kFloat16:
      return f(Half{});
    case DType::kFloat32:
      return f(float{});
    case DType::kComplex64:
      return f(Complex<float>{});
    case DType::kComplex128:
      return f(Complex<double>{});
    default:
      return f(double{});
  }
}

// The least double that is too large for T, exactly.
template <class T>
constexpr double UpperBound() {
  return static_cast<double>(std::numeric_limits<T>::max() / 2 + 1) * 2.0;
}

// A number (integer or floating) to a number; `same` becomes false when the value changes.
template <class To, class From>
To CastNumber(From value, bool& same) {
  if constexpr (std::is_same_v<To, From>) {
    return value;
  } else if constexpr (std::is_integral_v<To> && std::is_integral_v<From>) {
    same &= std::in_range<To>(value);
    return static_cast<To>(value);
  } else if constexpr (std::is_integral_v<To>) {
    const double wide = value;
    if (!(wide < UpperBound<To>())) {  // also NaN
      same = false;
      return std::isnan(wide) ? To{0} : std::numeric_limits<To>::max();
    }
    if (std::trunc(wide) < static_cast<double>(std::numeric_limits<To>::min())) {
      same = false;
      return std::numeric_limits<To>::min();
    }
    const To result = static_cast<To>(wide);
    same &= static_cast<double>(result) == wide;
    return result;
  } else if constexpr (std::is_integral_v<From>) {
    const To result = static_cast<To>(value);
    // A rounded-up result may not fit back, and casting it would be undefined.
    const double back = result;
    same &= back < UpperBound<From>() && static_cast<From>(back) == value;
    return result;
  } else {
    const To result = static_cast<To>(value);
    same &= static_cast<From>(result) == value || value != value;
    return result;
  }
}

template <class To, class From>
To Cast(From value, bool& same) {
  if constexpr (std::is_same_v<From, Half>) {
    return Cast<To>(static_cast<float>(HalfToDouble(value.bits)), same);
  } else if constexpr (std::is_same_v<From, Bool>) {
    return Cast<To>(static_cast<uint8_t>(value.value != 0), same);
  } else if constexpr (kIsComplex<From>) {
    if constexpr (kIsComplex<To>) {
      using Part = decltype(To::re);
      return To{CastNumber<Part>(value.re, same), CastNumber<Part>(value.im, same)};
    } else if constexpr (std::is_same_v<To, Bool>) {
      same &= value.im == 0 && (value.re == 0 || value.re == 1);
      return Bool{value.re != 0 || value.im != 0};
    } else {
      same &= value.im == 0;
      return Cast<To>(value.re, same);
    }
  } else if constexpr (kIsComplex<To>) {
    return To{CastNumber<decltype(To::re)>(value, same), 0};
  } else if constexpr (std::is_same_v<To, Bool>) {
    same &= value == 0 || value == 1;
    return Bool{value != 0};
  } else if constexpr (std::is_same_v<To, Half>) {
    const double wide = CastNumber<double>(value, same);
    const Half result{DoubleToHalf(wide)};
    same &= HalfToDouble(result.bits) == wide || wide != wide;
    return result;
  } else {
    return CastNumber<To>(value, same);
  }
}

// Index of the first value that changed, or `count`.
template <class To, class From>
size_t ConvertAll(const std::byte* in, std::byte* out, size_t count, bool checked) {
  // In blocks, so that the inner loop has no exit and can be vectorised.
  constexpr size_t kBlock = 1024;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(count, begin + kBlock);
    bool same = true;
    for (size_t i = begin; i < end; ++i) {
      From value;
      std::memcpy(&value, in + i * sizeof(From), sizeof value);
      const To result = Cast<To>(value, same);
      std::memcpy(out + i * sizeof(To), &result, sizeof result);
    }
    if (checked && !same) {
      for (size_t i = begin; i < end; ++i) {
        From value;
        std::memcpy(&value, in + i * sizeof(From), sizeof value);
        same = true;
        Cast<To>(value, same);
        if (!same) return i;
      }
    }
  }
  return count;
}

enum class Class { kBool, kSigned, kUnsigned, kFloat, kComplex };

Class ClassOf(DType dtype) {
  if (dtype == DType::kBool) return Class::kBool;
  if (dtype <= DType::kInt64) return Class::kSigned;
  if (dtype <= DType::kUInt64) return Class::kUnsigned;
  if (dtype <= DType::kFloat64) return Class::kFloat;
  return Class::kComplex;
}

// Bits of an integer's magnitude, or the integers a float holds exactly.
int Digits(DType dtype) {
  const int bits = static_cast<int>(8 * ItemSize(dtype));
  switch (ClassOf(dtype)) {
    case Class::kBool:
      return 1;
    case Class::kSigned:
      return bits - 1;
    case Class::kUnsigned:
      return bits;
    case Class::kFloat:
      return bits == 16 ? 11 : bits == 32 ? 24 : 53;
    case Class::kComplex:
      return bits == 64 ? 24 : 53;
  }
  return 0;
}

}  // namespace

double HalfToDouble(uint16_t half) {
  const uint64_t sign = static_cast<uint64_t>(half & 0x8000) << 48;
  const unsigned exponent = (half >> 10) & 0x1f;
  const uint64_t fraction = half & 0x3ff;
  if (exponent == 0) {  // zero or subnormal: fraction times 2^-24
    const double magnitude = static_cast<double>(fraction) * 0x1p-24;
    return sign ? -magnitude : magnitude;
  }
  const uint64_t wide = exponent == 0x1f ? 0x7ff : exponent - 15 + 1023;
  return std::bit_cast<double>(sign | wide << 52 | fraction << 42);
}

uint16_t DoubleToHalf(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 48) & 0x8000);
  const uint64_t magnitude = bits & 0x7fffffffffffffff;
  if (magnitude > 0x7ff0000000000000)  // NaN: keep what fits of its payload
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 42) & 0x1ff));
  if (magnitude >= std::bit_cast<uint64_t>(65520.0)) return static_cast<uint16_t>(sign | 0x7c00);
  // Adding a power of two whose last place is the half's last place rounds to nearest even in
  // hardware.
  const double absolute = std::bit_cast<double>(magnitude);
  if (absolute < 0x1p-14) {
    const double rounded = absolute + 0x1p28;  // last place 2^-24
    return static_cast<uint16_t>(sign |
                                 static_cast<uint16_t>(std::bit_cast<uint64_t>(rounded) & 0x7ff));
  }
  const uint64_t last = uint64_t{1} << 42;
  const uint64_t rounded = magnitude + (last / 2 - 1) + ((magnitude >> 42) & 1);
  const uint64_t exponent = (rounded >> 52) - 1023 + 15;
  return static_cast<uint16_t>(sign | exponent << 10 | ((rounded >> 42) & 0x3ff));
}

bool ConvertsWithoutLoss(DType from, DType to) {
  if (from == to || to == DType::kJson) return true;
  if (from == DType::kJson) return false;
  const Class a = ClassOf(from), b = ClassOf(to);
  if (a == Class::kBool) return true;
  if (b == Class::kBool || a > b) {
    // The classes are in order but for this: an unsigned integer fits into a wider signed one.
    return a == Class::kUnsigned && b == Class::kSigned && Digits(from) <= Digits(to);
  }
  if (a == Class::kSigned && b == Class::kUnsigned) return false;  // negative values
  return Digits(from) <= Digits(to);
}

Result<> ConvertElements(DType from, std::span<const std::byte> in, DType to,
                         std::span<std::byte> out, bool checked) {
  const size_t in_size = ItemSize(from), out_size = ItemSize(to);
  if (in_size == 0 || out_size == 0)
    return {ErrorCode::kUnsupported, "cannot convert " + std::string(ZarrName(from)) + " to " +
                                         std::string(ZarrName(to)) + " element by element"};
  const size_t count = in.size() / in_size;
  if (in.size() % in_size != 0 || out.size() % out_size != 0 || out.size() / out_size != count)
    return {ErrorCode::kInvalidArgument, "a conversion's source and destination differ in length"};
  if (count == 0) return {};
  if (from == to) {
    std::memcpy(out.data(), in.data(), in.size());
    return {};
  }
  const size_t bad = WithType(from, [&]<class From>(From) {
    return WithType(to, [&]<class To>(To) {
      return ConvertAll<To, From>(in.data(), out.data(), count, checked);
    });
  });
  if (bad != count)
    return {ErrorCode::kTypeMismatch, "element " + std::to_string(bad) + " of " +
                                          std::string(ZarrName(from)) + " changes as " +
                                          std::string(ZarrName(to))};
  return {};
}

std::optional<DType> WidenDType(DType a, DType b) {
  if (!IsValidDType(static_cast<uint8_t>(a)) || !IsValidDType(static_cast<uint8_t>(b)))
    return std::nullopt;
  if (a == DType::kJson || b == DType::kJson) return DType::kJson;
  std::optional<DType> best;
  for (DType dtype : kAllDTypes) {  // integers first, so that they win against floats of their size
    if (dtype == DType::kJson || !ConvertsWithoutLoss(a, dtype) || !ConvertsWithoutLoss(b, dtype))
      continue;
    if (!best || ItemSize(dtype) < ItemSize(*best)) best = dtype;
  }
  if (best) return best;
  return ClassOf(a) == Class::kComplex || ClassOf(b) == Class::kComplex ? DType::kComplex128
                                                                        : DType::kFloat64;
}

}  // namespace zn
