#include "zn/engine/dtype_convert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace zn {
namespace {

template <class T>
std::vector<std::byte> Raw(std::initializer_list<T> values) {
  const auto bytes = std::as_bytes(std::span(values.begin(), values.size()));
  return {bytes.begin(), bytes.end()};
}

template <class To, class From>
Result<std::vector<To>> Convert(DType from, std::initializer_list<From> values, DType to,
                                bool checked) {
  std::vector<To> out(values.size());
  const Result<> done =
      ConvertElements(from, Raw(values), to, std::as_writable_bytes(std::span(out)), checked);
  if (!done) return done.error();
  return out;
}

TEST(ConvertElements, KeepsValuesThatFit) {
  EXPECT_EQ((Convert<double>(DType::kInt32, {1, -7, INT32_MAX}, DType::kFloat64, true).value()),
            (std::vector<double>{1, -7, INT32_MAX}));
  EXPECT_EQ((Convert<int64_t>(DType::kFloat64, {3.0, -0.0, 1e15}, DType::kInt64, true).value()),
            (std::vector<int64_t>{3, 0, 1000000000000000}));
  EXPECT_EQ(
      (Convert<int8_t>(DType::kUInt64, {uint64_t{0}, uint64_t{127}}, DType::kInt8, true).value()),
      (std::vector<int8_t>{0, 127}));
  EXPECT_EQ(
      (Convert<float>(DType::kFloat16, {uint16_t{0x3c00}, uint16_t{0xc000}}, DType::kFloat32, true)
           .value()),
      (std::vector<float>{1, -2}));
  EXPECT_EQ((Convert<uint8_t>(DType::kFloat32, {0.0f, 1.0f}, DType::kBool, true).value()),
            (std::vector<uint8_t>{0, 1}));
}

// An import that dropped digits silently would be found out years later.
TEST(ConvertElements, RefusesValuesThatWouldChange) {
  const auto refused = [](auto result) {
    return !result && result.error().code == ErrorCode::kTypeMismatch;
  };
  EXPECT_TRUE(refused(Convert<float>(DType::kFloat64, {1.0, 0.1}, DType::kFloat32, true)));
  EXPECT_TRUE(refused(Convert<int32_t>(DType::kFloat64, {1.5}, DType::kInt32, true)));
  EXPECT_TRUE(refused(Convert<int32_t>(DType::kInt64, {int64_t{1} << 31}, DType::kInt32, true)));
  EXPECT_TRUE(refused(Convert<uint32_t>(DType::kInt32, {-1}, DType::kUInt32, true)));
  EXPECT_TRUE(
      refused(Convert<double>(DType::kInt64, {(int64_t{1} << 53) + 1}, DType::kFloat64, true)));
  EXPECT_TRUE(refused(Convert<double>(DType::kInt64, {INT64_MAX}, DType::kFloat64, true)));
  EXPECT_TRUE(refused(Convert<double>(DType::kUInt64, {UINT64_MAX}, DType::kFloat64, true)));
  EXPECT_TRUE(refused(Convert<int64_t>(DType::kFloat64, {0x1p63}, DType::kInt64, true)));
  EXPECT_TRUE(refused(Convert<int64_t>(DType::kFloat64, {std::nan("")}, DType::kInt64, true)));
  EXPECT_TRUE(refused(Convert<uint8_t>(DType::kInt32, {2}, DType::kBool, true)));
  EXPECT_TRUE(refused(Convert<uint16_t>(DType::kFloat32, {1e6f}, DType::kFloat16, true)));
  EXPECT_TRUE(refused(Convert<float>(DType::kFloat64, {1e300}, DType::kFloat32, true)));
  const double complex[] = {1.0, 2.0};
  double real;
  EXPECT_FALSE(ConvertElements(DType::kComplex128, std::as_bytes(std::span(complex)),
                               DType::kFloat64, std::as_writable_bytes(std::span(&real, 1)), true));
}

TEST(ConvertElements, NamesTheFirstValueThatChanges) {
  std::vector<double> in(5000, 1.0);
  in[3333] = 0.1;
  std::vector<float> out(in.size());
  const auto result =
      ConvertElements(DType::kFloat64, std::as_bytes(std::span(in)), DType::kFloat32,
                      std::as_writable_bytes(std::span(out)), true);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("3333"), std::string::npos) << result.error().message;
}

TEST(ConvertElements, UncheckedSaturatesAndTruncates) {
  EXPECT_EQ((Convert<int32_t>(DType::kFloat64, {1.9, -1.9, 1e20, -1e20, std::nan("")},
                              DType::kInt32, false)
                 .value()),
            (std::vector<int32_t>{1, -1, INT32_MAX, INT32_MIN, 0}));
  EXPECT_EQ((Convert<uint64_t>(DType::kFloat64, {-0.5, -2.0, 1e30}, DType::kUInt64, false).value()),
            (std::vector<uint64_t>{0, 0, UINT64_MAX}));
  EXPECT_EQ((Convert<uint8_t>(DType::kInt32, {-3, 0, 9}, DType::kBool, false).value()),
            (std::vector<uint8_t>{1, 0, 1}));
}

TEST(ConvertElements, NanStaysNan) {
  const auto result =
      Convert<float>(DType::kFloat64, {std::nan(""), std::numeric_limits<double>::infinity()},
                     DType::kFloat32, true);
  ASSERT_TRUE(result);
  EXPECT_TRUE(std::isnan((*result)[0]));
  EXPECT_EQ((*result)[1], INFINITY);
}

TEST(ConvertElements, RefusesLengthsThatDisagree) {
  std::byte in[8]{}, out[8]{};
  EXPECT_FALSE(ConvertElements(DType::kFloat32, in, DType::kFloat64, out, true));
  EXPECT_FALSE(
      ConvertElements(DType::kFloat32, std::span(in).first(7), DType::kFloat32, out, true));
  EXPECT_EQ(ConvertElements(DType::kJson, in, DType::kInt8, out, true).error().code,
            ErrorCode::kUnsupported);
  EXPECT_TRUE(ConvertElements(DType::kInt64, {}, DType::kInt8, {}, true));
}

// What the type lattice promises must hold for every value, or old chunks could not be read as the
// field's dtype.
TEST(ConvertsWithoutLoss, HoldsForExtremeAndRandomValues) {
  std::mt19937_64 random(1);
  for (DType from : kAllDTypes) {
    for (DType to : kAllDTypes) {
      if (from == DType::kJson || to == DType::kJson || !ConvertsWithoutLoss(from, to)) continue;
      const size_t size = ItemSize(from), count = 4096;
      std::vector<std::byte> in(size * count), out(ItemSize(to) * count), back(in.size());
      for (size_t i = 0; i < in.size(); ++i) {
        // All zeros, all ones and lone bits first, then anything.
        const size_t item = i / size;
        in[i] = item < 2 ? std::byte(item * 0xff) : static_cast<std::byte>(random());
        if (from == DType::kBool) in[i] = std::byte(item & 1);
      }
      ASSERT_TRUE(ConvertElements(from, in, to, out, true))
          << ZarrName(from) << " " << ZarrName(to);
      ASSERT_TRUE(ConvertElements(to, out, from, back, true))
          << ZarrName(from) << " " << ZarrName(to);
      // NaNs may come back with other payloads, so bits are compared for the others only.
      if (!IsFloating(from)) {
        EXPECT_EQ(in, back) << ZarrName(from) << " " << ZarrName(to);
      }
    }
  }
}

TEST(ConvertsWithoutLoss, RefusesWhatCannotHoldAll) {
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kInt64, DType::kFloat64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kInt32, DType::kFloat32));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kUInt64, DType::kInt64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kInt8, DType::kUInt64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kFloat32, DType::kInt64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kComplex64, DType::kFloat64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kInt8, DType::kBool));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kFloat64, DType::kComplex64));
  EXPECT_FALSE(ConvertsWithoutLoss(DType::kJson, DType::kFloat64));
  EXPECT_TRUE(ConvertsWithoutLoss(DType::kFloat64, DType::kJson));
}

TEST(WidenDType, FindsTheSmallestThatHoldsBoth) {
  const auto widen = [](DType a, DType b) {
    EXPECT_EQ(WidenDType(a, b), WidenDType(b, a));
    return WidenDType(a, b).value();
  };
  EXPECT_EQ(widen(DType::kBool, DType::kInt8), DType::kInt8);
  EXPECT_EQ(widen(DType::kInt32, DType::kFloat64), DType::kFloat64);
  EXPECT_EQ(widen(DType::kInt32, DType::kFloat32), DType::kFloat64);
  EXPECT_EQ(widen(DType::kInt64, DType::kFloat64), DType::kFloat64);
  EXPECT_EQ(widen(DType::kInt64, DType::kFloat32), DType::kFloat64);
  EXPECT_EQ(widen(DType::kInt64, DType::kUInt64), DType::kFloat64);
  EXPECT_EQ(widen(DType::kInt8, DType::kUInt8), DType::kInt16);
  EXPECT_EQ(widen(DType::kUInt32, DType::kInt8), DType::kInt64);
  EXPECT_EQ(widen(DType::kFloat64, DType::kComplex64), DType::kComplex128);
  EXPECT_EQ(widen(DType::kInt64, DType::kComplex64), DType::kComplex128);
  EXPECT_EQ(widen(DType::kFloat16, DType::kComplex64), DType::kComplex64);
  EXPECT_EQ(widen(DType::kJson, DType::kInt8), DType::kJson);
  for (DType dtype : kAllDTypes) EXPECT_EQ(widen(dtype, dtype), dtype);
  EXPECT_FALSE(WidenDType(static_cast<DType>(0), DType::kInt8));
}

TEST(Half, EveryValueSurvivesARoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double value = HalfToDouble(half);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(HalfToDouble(DoubleToHalf(value))));
    else
      ASSERT_EQ(DoubleToHalf(value), half);
  }
  EXPECT_EQ(HalfToDouble(0x3555), 0.333251953125);
  EXPECT_EQ(HalfToDouble(0x0001), 0x1p-24);
  EXPECT_EQ(HalfToDouble(0x7bff), 65504.0);
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  for (uint16_t half = 0; half < 0x7bff; ++half) {
    const double low = HalfToDouble(half), high = HalfToDouble(half + 1), middle = (low + high) / 2;
    const uint16_t even = half % 2 == 0 ? half : half + 1;
    ASSERT_EQ(DoubleToHalf(middle), even) << half;
    ASSERT_EQ(DoubleToHalf(std::nextafter(middle, 0)), half) << half;
    ASSERT_EQ(DoubleToHalf(std::nextafter(middle, INFINITY)), half + 1) << half;
    ASSERT_EQ(DoubleToHalf(-middle), even | 0x8000) << half;
  }
  EXPECT_EQ(DoubleToHalf(65519.9), 0x7bff);
  EXPECT_EQ(DoubleToHalf(65520.0), 0x7c00);
  EXPECT_EQ(DoubleToHalf(-1e300), 0xfc00);
}

}  // namespace
}  // namespace zn
