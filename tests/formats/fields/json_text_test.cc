#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "tests/formats/support.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

using testing::MakeColumn;

template <class T>
std::string Json(DType dtype, Shape shape, std::vector<T> values) {
  std::string out;
  AppendJsonArray(dtype, shape, std::as_bytes(std::span(values)), out);
  return out;
}

TEST(JsonArray, NestsByShape) {
  EXPECT_EQ(Json<int32_t>(DType::kInt32, Shape{2, 3}, {1, 2, 3, 4, 5, 6}), "[[1,2,3],[4,5,6]]");
  EXPECT_EQ(Json<int32_t>(DType::kInt32, Shape{}, {7}), "7");
  EXPECT_EQ(Json<int32_t>(DType::kInt32, Shape{0}, {}), "[]");
  EXPECT_EQ(Json<int32_t>(DType::kInt32, Shape{2, 0}, {}), "[[],[]]");
}

// JSON libraries write NaN as null, and readers would take a missing value for a diverged one.
TEST(JsonArray, WritesWhatIsNotFiniteAsStrings) {
  double nan = std::nan(""), inf = HUGE_VAL;
  EXPECT_EQ(Json<double>(DType::kFloat64, Shape{3}, {nan, inf, -inf}),
            "[\"NaN\",\"Infinity\",\"-Infinity\"]");
  EXPECT_EQ(Json<float>(DType::kFloat32, Shape{2}, {std::nanf(""), -HUGE_VALF}),
            "[\"NaN\",\"-Infinity\"]");
}

TEST(JsonArray, WritesTheFewestDigits) {
  EXPECT_EQ(Json<double>(DType::kFloat64, Shape{4}, {0.1, -2.0, 1e300, 5e-324}),
            "[0.1,-2.0,1e+300,5e-324]");
  EXPECT_EQ(Json<float>(DType::kFloat32, Shape{2}, {0.1F, 16777216.0F}), "[0.1,16777216.0]");
  EXPECT_EQ(Json<double>(DType::kFloat64, Shape{1}, {-0.0}), "[-0.0]");
}

TEST(JsonArray, WritesEveryType) {
  EXPECT_EQ(Json<uint8_t>(DType::kBool, Shape{2}, {1, 0}), "[true,false]");
  EXPECT_EQ(Json<int8_t>(DType::kInt8, Shape{1}, {-128}), "[-128]");
  EXPECT_EQ(Json<uint8_t>(DType::kUInt8, Shape{1}, {255}), "[255]");
  EXPECT_EQ(Json<int16_t>(DType::kInt16, Shape{1}, {-32768}), "[-32768]");
  EXPECT_EQ(Json<uint16_t>(DType::kUInt16, Shape{1}, {65535}), "[65535]");
  EXPECT_EQ(Json<uint32_t>(DType::kUInt32, Shape{1}, {4294967295U}), "[4294967295]");
  EXPECT_EQ(Json<int64_t>(DType::kInt64, Shape{1}, {std::numeric_limits<int64_t>::min()}),
            "[-9223372036854775808]");
  EXPECT_EQ(Json<uint64_t>(DType::kUInt64, Shape{1}, {~uint64_t{0}}), "[18446744073709551615]");
  EXPECT_EQ(Json<uint16_t>(DType::kFloat16, Shape{4}, {0x3C00, 0xC000, 0x0001, 0x7E00}),
            "[1.0,-2.0,5.9604645e-08,\"NaN\"]");
  EXPECT_EQ(Json<float>(DType::kComplex64, Shape{1}, {1.5F, -2.0F}), "[[1.5,-2.0]]");
  EXPECT_EQ(Json<double>(DType::kComplex128, Shape{}, {0.0, 1.0}), "[0.0,1.0]");
}

TEST(JsonString, EscapesAndRepairs) {
  std::string out;
  AppendJsonString("a\"b\\c\n\t\r\x01\x7F é \xF0\x9F\x98\x80", out);
  EXPECT_EQ(nlohmann::json::parse(out).get<std::string>(),
            "a\"b\\c\n\t\r\x01\x7F é \xF0\x9F\x98\x80");
  for (const char* bad :
       {"\xFF", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82"}) {
    out.clear();
    AppendJsonString(std::string("<") + bad + ">", out);
    EXPECT_TRUE(nlohmann::json::accept(out)) << out;
    EXPECT_NE(out.find("\xEF\xBF\xBD"), std::string::npos);
    EXPECT_EQ(out.back(), '"');
  }
}

// Rows of frames are joined: a frame that takes its neighbour's rows is the worst that could
// happen.
TEST(FrameRows, FindsTheRowsOfFramesWithGaps) {
  FrameBatch batch;
  batch.n_atoms = {2, 0, 3};
  batch.columns.push_back(MakeColumn("arrays.a", FieldKind::kAtom, DType::kInt32, {},
                                     Buffer::Own<int32_t>({1, 2, 3, 4, 5})));
  Column gap = MakeColumn("arrays.gap", FieldKind::kAtom, DType::kInt32, {},
                          Buffer::Own<int32_t>({6, 7, 8}));
  gap.present = {0, 1, 1};
  batch.columns.push_back(gap);
  Column ragged = MakeColumn("info.r", FieldKind::kRagged, DType::kInt32, {2},
                             Buffer::Own<int32_t>({1, 2, 3, 4, 5, 6}));
  ragged.present = {1, 0, 1};
  ragged.lengths = {1, 2};
  batch.columns.push_back(ragged);
  Column text;
  text.name = "info.t";
  text.dtype = DType::kJson;
  text.present = {0, 0, 1};
  text.text = {"\"x\""};
  batch.columns.push_back(text);
  Column frame = MakeColumn("calc.energy", FieldKind::kFrame, DType::kFloat64, {},
                            Buffer::Own<double>({1, 2}));
  frame.present = {1, 0, 1};
  batch.columns.push_back(frame);
  ASSERT_TRUE(ValidateBatch(batch));

  std::vector<std::string> want = {
      R"({"arrays.a":[1,2],"info.r":[[1,2]],"calc.energy":1.0})",
      R"({"arrays.a":[],"arrays.gap":[]})",
      R"({"arrays.a":[3,4,5],"arrays.gap":[6,7,8],"info.r":[[3,4],[5,6]],"info.t":"x","calc.energy":2.0})"};
  FrameRows rows(batch);
  for (size_t f = 0; f < want.size(); ++f) {
    std::string once, again;
    AppendJsonFrame(rows, f, once);
    AppendJsonFrame(batch, f, again);
    EXPECT_EQ(once, want[f]);
    EXPECT_EQ(again, want[f]);
  }
}

}  // namespace
}  // namespace zn::formats
