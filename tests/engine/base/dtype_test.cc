#include "zn/engine/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <cstring>

namespace zn {
namespace {

TEST(DType, IsParsedFromEachOfItsNames) {
  for (DType dtype : kAllDTypes) {
    EXPECT_EQ(ParseDType(NumpyName(dtype)).value(), dtype) << NumpyName(dtype);
    EXPECT_EQ(ParseDType(ZarrName(dtype)).value(), dtype) << ZarrName(dtype);
    EXPECT_TRUE(IsValidDType(static_cast<uint8_t>(dtype)));
  }
  EXPECT_EQ(ParseDType("f4").value(), DType::kFloat32);
  EXPECT_EQ(ParseDType("=i8").value(), DType::kInt64);
  EXPECT_EQ(ParseDType("<b1").value(), DType::kBool);
  EXPECT_EQ(ParseDType("<c16").value(), DType::kComplex128);
  EXPECT_FALSE(IsValidDType(0));
  EXPECT_FALSE(IsValidDType(16));
}

// Taking big-endian bytes for little-endian ones would turn every number into another.
TEST(DType, BigEndianIsRefused) {
  EXPECT_EQ(ParseDType(">f4").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(ParseDType(">c16").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(ParseDType(">u1").value(), DType::kUInt8);
}

TEST(DType, UnknownNamesListWhatIsKnown) {
  for (const char* name : {"", "<", "float", "<f16", "<U4", "float128", "f", "<i3"}) {
    const auto parsed = ParseDType(name);
    ASSERT_FALSE(parsed) << name;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find("float32"), std::string::npos);
  }
}

// Padding that looked like values would show up as atoms at the origin.
TEST(DType, FillIsNanForFloatsAndZeroOtherwise) {
  for (DType dtype : kAllDTypes) {
    std::byte element[16];
    std::memset(element, 0x55, sizeof element);
    WriteFillValue(dtype, element);
    for (size_t i = ItemSize(dtype); i < sizeof element; ++i)
      EXPECT_EQ(element[i], std::byte{0x55});
    if (!IsFloating(dtype)) {
      for (size_t i = 0; i < ItemSize(dtype); ++i) EXPECT_EQ(element[i], std::byte{0});
    }
  }
  float f;
  WriteFillValue(DType::kFloat32, reinterpret_cast<std::byte*>(&f));
  EXPECT_TRUE(std::isnan(f));
  std::complex<double> c;
  WriteFillValue(DType::kComplex128, reinterpret_cast<std::byte*>(&c));
  EXPECT_TRUE(std::isnan(c.real()) && std::isnan(c.imag()));
}

}  // namespace
}  // namespace zn
