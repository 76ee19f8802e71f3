#include "cache/npy.h"

#include <gtest/gtest.h>

#include <string>

namespace zn {
namespace {

std::vector<std::byte> Raw(const std::string& text, char version = 1) {
  std::string file = std::string("\x93NUMPY", 6) + version + '\0';
  file += static_cast<char>(text.size() & 0xff);
  file += static_cast<char>(text.size() >> 8);
  file += text;
  const auto bytes = std::as_bytes(std::span(file));
  return {bytes.begin(), bytes.end()};
}

TEST(NpyHeader, RoundTripsAndAlignsItsData) {
  for (DType dtype : kAllDTypes) {
    if (dtype == DType::kJson) continue;
    for (const Shape& shape :
         {Shape{}, Shape{0}, Shape{5}, Shape{64, 1000, 3}, Shape{1, 2, 3, 4, 5, 6, 7, 8},
          Shape{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX,
                INT64_MAX}}) {
      const auto bytes = EncodeNpyHeader(dtype, shape);
      EXPECT_EQ(bytes.size() % kNpyAlignment, 0u);
      const auto header = DecodeNpyHeader(bytes);
      ASSERT_TRUE(header) << header.error().message;
      EXPECT_EQ(header->dtype, dtype);
      EXPECT_EQ(header->shape, shape);
      EXPECT_EQ(header->data_offset, bytes.size());
    }
  }
}

TEST(NpyHeader, ReadsWhatNumpyWrites) {
  const auto header =
      DecodeNpyHeader(Raw("{'descr': '<f8', 'fortran_order': False, 'shape': (7, 3), }   \n"));
  ASSERT_TRUE(header);
  EXPECT_EQ(header->shape, (Shape{7, 3}));
  EXPECT_TRUE(DecodeNpyHeader(Raw("{\"shape\":(),\"fortran_order\":False,\"descr\":\"|b1\"}")));
}

// A file of another meaning must not be served as this one.
TEST(NpyHeader, RefusesWhatItDoesNotKnow) {
  const auto code = [](const std::vector<std::byte>& bytes) {
    return DecodeNpyHeader(bytes).error().code;
  };
  const std::string end = ", 'shape': (7,), }";
  EXPECT_EQ(code(Raw("{'descr': '<f8', 'fortran_order': True" + end)), ErrorCode::kUnsupported);
  EXPECT_EQ(code(Raw("{'descr': '>f8', 'fortran_order': False" + end)), ErrorCode::kUnsupported);
  EXPECT_EQ(code(Raw("{'descr': [('a', '<f8')], 'fortran_order': False" + end)),
            ErrorCode::kUnsupported);
  EXPECT_EQ(code(Raw("{'descr': '|O', 'fortran_order': False" + end)), ErrorCode::kUnsupported);
  EXPECT_EQ(code(Raw("{'descr': '<f8', 'fortran_order': False" + end, 2)), ErrorCode::kUnsupported);
  EXPECT_EQ(code(Raw("{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}")),
            ErrorCode::kUnsupported);
  for (const char* text :
       {"", "{}", "{'descr': '<f8'}", "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': 7}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (7,)} x",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (7,), 'shape': (8,)}"})
    EXPECT_EQ(code(Raw(text)), ErrorCode::kCorrupt) << text;
}

TEST(NpyHeader, SurvivesTruncationAndBitFlips) {
  auto bytes = EncodeNpyHeader(DType::kFloat32, Shape{64, 1000, 3});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<int64_t>(size));
    EXPECT_FALSE(DecodeNpyHeader(cut)) << size;
  }
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
    if (const auto header = DecodeNpyHeader(bytes)) {
      EXPECT_LE(header->data_offset, bytes.size());
    }
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

}  // namespace
}  // namespace zn
