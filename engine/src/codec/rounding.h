// Values that were rounded to a step before they came here, as in XTC, GRO and PDB files and in
// text with a fixed number of decimals: whole numbers, and the arithmetic that makes exactly the
// values' bits of them again.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

namespace zn {

/// How a whole number k becomes a value. Programs differ in the last bit: a decimal text is k /
/// 1000 rounded once, an XTC reader computes float(k) * 0.001f, and one that gives Ångström
/// multiplies that by 10 as well.
struct Rounding {
  enum class First : uint8_t {
    kQuotient = 0,        // double(k) / a
    kProduct = 1,         // double(k) * a
    kSingleProduct = 2,   // float(k) * float(a)
    kSingleQuotient = 3,  // float(double(k) / a)
  };
  enum class Then : uint8_t {
    kNothing = 0,
    kSingle = 1,  // float(v) * float(b)
    kDouble = 2,  // double(v) * b
  };
  First first = First::kQuotient;
  Then then = Then::kNothing;
  double a = 1, b = 1;
};

/// Whole numbers as wide as the values.
template <class T>
using RoundedInt = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

/// The number that stands for a chunk's fill value, NaN: rows of fewer atoms are padded with it.
template <class T>
inline constexpr RoundedInt<T> kFillNumber = std::numeric_limits<RoundedInt<T>>::min();

/// 1.5 * 2^52: added to a double below 2^51, it leaves the nearest whole number in the low bits.
/// Vectors have no other conversion of 64-bit integers before AVX-512.
inline constexpr double kRoundingMagic = 6755399441055744.0;
inline constexpr uint64_t kRoundingMagicBits = 0x4338000000000000;

/// The double of a number: exact below 2^51, which those that Rounding is found for are.
inline double DoubleOf(int32_t number) { return number; }
inline double DoubleOf(int64_t number) {
  return std::bit_cast<double>(static_cast<uint64_t>(number) + kRoundingMagicBits) - kRoundingMagic;
}

/// The whole number nearest to x; anything beyond 2^51 (2^31) or not a number gives some number.
template <class T>
RoundedInt<T> NearestNumber(double x) {
  return static_cast<RoundedInt<T>>(std::bit_cast<uint64_t>(x + kRoundingMagic) -
                                    kRoundingMagicBits);
}

/// The value of a number. Encoder and decoder share it: that is what makes the codec exact.
template <class T, Rounding::First kFirst, Rounding::Then kThen>
T ValueOf(RoundedInt<T> number, double a, double b) {
  using First = Rounding::First;
  using Then = Rounding::Then;
  using Step =
      std::conditional_t<kFirst == First::kSingleProduct || kFirst == First::kSingleQuotient, float,
                         double>;
  Step value;
  if constexpr (kFirst == First::kQuotient || kFirst == First::kSingleQuotient)
    value = static_cast<Step>(DoubleOf(number) / a);
  else if constexpr (kFirst == First::kProduct)
    value = DoubleOf(number) * a;
  else
    value = static_cast<float>(DoubleOf(number)) * static_cast<float>(a);
  if constexpr (kThen == Then::kSingle)
    return static_cast<T>(static_cast<float>(value) * static_cast<float>(b));
  if constexpr (kThen == Then::kDouble) return static_cast<T>(static_cast<double>(value) * b);
  return static_cast<T>(value);
}

/// Calls `use` with the two parts of the arithmetic as template arguments.
template <class Use>
decltype(auto) WithRounding(const Rounding& rounding, Use&& use) {
  using First = Rounding::First;
  using Then = Rounding::Then;
  const auto with_then = [&]<First kFirst>() -> decltype(auto) {
    switch (rounding.then) {
      case Then::kSingle:
        return use.template operator()<kFirst, Then::kSingle>();
      case Then::kDouble:
        return use.template operator()<kFirst, Then::kDouble>();
      default:
        return use.template operator()<kFirst, Then::kNothing>();
    }
  };
  switch (rounding.first) {
    case First::kProduct:
      return with_then.template operator()<First::kProduct>();
    case First::kSingleProduct:
      return with_then.template operator()<First::kSingleProduct>();
    case First::kSingleQuotient:
      return with_then.template operator()<First::kSingleQuotient>();
    default:
      return with_then.template operator()<First::kQuotient>();
  }
}

/// The factor that turns values into numbers: a power of ten.
double NumbersPerUnit(const Rounding& rounding);

/// Looks at a few hundred of the values: nearly all must be multiples of a power of ten that one
/// arithmetic gives exactly. Zeros and what is not finite say nothing.
/// `values` are of type T (float, double), aligned or not.
template <class T>
std::optional<Rounding> FindRounding(std::span<const std::byte> values);

}  // namespace zn
