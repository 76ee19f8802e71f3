#include "codec/rounding.h"

#include <array>
#include <cmath>

namespace zn {
namespace {

using First = Rounding::First;
using Then = Rounding::Then;

constexpr size_t kSample = 256;
constexpr size_t kEnough = 8;          // values that say something, of a sample
constexpr size_t kMissesAllowed = 16;  // one in so many: they become exceptions

constexpr std::array<double, 11> kPowersOfTen = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5,
                                                 1e6, 1e7, 1e8, 1e9, 1e10};

/// Numbers beyond this leave too few bits of a value unsaid: any value is near a multiple of so
/// fine a step.
template <class T>
constexpr double kMostNumber = sizeof(T) == 4 ? 0x1p22 : 0x1p50;

template <class T>
struct Sample {
  std::array<T, kSample> values;
  size_t size = 0;
  size_t misses_allowed() const { return size / kMissesAllowed; }
};

template <class T>
Sample<T> Take(std::span<const std::byte> values) {
  Sample<T> sample;
  // An odd step, so that no axis of a vector is left out.
  const size_t count = values.size() / sizeof(T), step = (count / kSample) | 1;
  for (size_t i = 0; i < count && sample.size < kSample; i += step) {
    T value;
    std::memcpy(&value, values.data() + i * sizeof value, sizeof value);
    if (value != 0 && std::isfinite(value)) sample.values[sample.size++] = value;
  }
  return sample;
}

/// All but a few values lie within some last bits of a multiple of 1 / per_unit.
template <class T>
bool NearMultiples(const Sample<T>& sample, double per_unit) {
  size_t misses = 0;
  for (size_t i = 0; i < sample.size; ++i) {
    const double x = static_cast<double>(sample.values[i]) * per_unit;
    const double nearest = std::nearbyint(x);
    // A value may have been a float before it was a double.
    const bool near = std::abs(x) < kMostNumber<T> &&
                      std::abs(x - nearest) <= std::abs(x) * 0x1p-21 &&
                      std::abs(x - nearest) < 0.25;
    if (!near && ++misses > sample.misses_allowed()) return false;
  }
  return true;
}

template <class T>
bool Reproduces(const Rounding& rounding, const Sample<T>& sample) {
  const double per_unit = NumbersPerUnit(rounding);
  return WithRounding(rounding, [&]<First kFirst, Then kThen>() {
    size_t misses = 0;
    for (size_t i = 0; i < sample.size; ++i) {
      const RoundedInt<T> number =
          NearestNumber<T>(static_cast<double>(sample.values[i]) * per_unit);
      if (ValueOf<T, kFirst, kThen>(number, rounding.a, rounding.b) != sample.values[i] &&
          ++misses > sample.misses_allowed())
        return false;
    }
    return true;
  });
}

}  // namespace

double NumbersPerUnit(const Rounding& rounding) {
  const bool quotient =
      rounding.first == First::kQuotient || rounding.first == First::kSingleQuotient;
  return (quotient ? rounding.a : 1 / rounding.a) / rounding.b;
}

template <class T>
std::optional<Rounding> FindRounding(std::span<const std::byte> values) {
  const Sample<T> sample = Take<T>(values);
  if (sample.size < kEnough) return std::nullopt;
  for (const double per_unit : kPowersOfTen) {
    if (!NearMultiples(sample, per_unit)) continue;
    const auto product = [](First first, double n) {
      return first == First::kSingleProduct ? static_cast<double>(1.0f / static_cast<float>(n))
                                            : 1.0 / n;
    };
    for (const First first :
         {First::kQuotient, First::kSingleProduct, First::kProduct, First::kSingleQuotient}) {
      const bool quotient = first == First::kQuotient || first == First::kSingleQuotient;
      for (const Then then : {Then::kNothing, Then::kSingle, Then::kDouble}) {
        for (const double b : {10.0, 0.1}) {
          // The step before the second factor was 1 / n.
          const double n =
              then == Then::kNothing ? per_unit : (b > 1 ? per_unit * 10 : per_unit / 10);
          Rounding rounding{first, then, quotient ? n : product(first, n),
                            then == Then::kNothing ? 1.0 : b};
          if (Reproduces(rounding, sample)) return rounding;
          if (then == Then::kNothing) break;
        }
      }
    }
    // A finer step may still do: 0.1 * 10 is near a multiple of 1 without having been one.
  }
  return std::nullopt;
}

template std::optional<Rounding> FindRounding<float>(std::span<const std::byte>);
template std::optional<Rounding> FindRounding<double>(std::span<const std::byte>);

}  // namespace zn
