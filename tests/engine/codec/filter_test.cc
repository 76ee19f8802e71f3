// numcodecs' filters and compressors by their v3 names. What they must decode was made by numcodecs 0.11 (Debian's).
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "zn/engine/codec.h"

namespace zn {
namespace {

std::vector<std::byte> FromHex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

template <class T>
std::vector<T> Decode(std::string_view codecs, DType dtype, const Shape& shape, std::string_view hex) {
  const auto pipeline = CodecPipeline::Create(codecs, dtype);
  EXPECT_TRUE(pipeline) << pipeline.error().message;
  std::vector<T> out(static_cast<size_t>(shape.Elements()));
  if (!pipeline) return out;
  const auto decoded = (*pipeline)->Decode(FromHex(hex), shape, std::as_writable_bytes(std::span(out)));
  EXPECT_TRUE(decoded) << decoded.error().message;
  return out;
}

std::string Code(std::string_view codecs, DType dtype = DType::kInt32) {
  const auto pipeline = CodecPipeline::Create(codecs, dtype);
  return pipeline ? "" : std::string(ErrorCodeName(pipeline.error().code)) + ": " + pipeline.error().message;
}

constexpr const char* kLittle = R"({"name":"bytes","configuration":{"endian":"little"}})";

std::string Filtered(const std::string& filters, const std::string& after = "") {
  return "[" + filters + "," + kLittle + (after.empty() ? "" : "," + after) + "]";
}

TEST(DeltaFilter, DecodesWhatNumcodecsWrote) {
  // Delta('<i4', astype='<i1').encode([1000... would wrap: [3, 5, 4, -10])
  EXPECT_EQ(Decode<int32_t>(R"([{"name":"numcodecs.delta","configuration":{"dtype":"<i4","astype":"|i1"}},"bytes"])",
                            DType::kInt32, {4}, "0302fff2"),
            (std::vector<int32_t>{3, 5, 4, -10}));
  // Delta('<f4').encode([0.1, 0.3, -2.5])
  EXPECT_EQ(Decode<float>(Filtered(R"({"name":"numcodecs.delta","configuration":{"dtype":"<f4"}})"), DType::kFloat32,
                          {3}, "cdcccc3dcecc4c3e333333c0"),
            (std::vector<float>{0.1f, 0.1f + 0.2f, (0.1f + 0.2f) - 2.8f}));
}

TEST(FixedScaleOffsetFilter, DecodesWhatNumcodecsWrote) {
  // FixedScaleOffset(offset=1000, scale=10, dtype='<f8', astype='|u1').encode([1000, 1000.1, 1002.5])
  EXPECT_EQ(Decode<double>(
                R"([{"name":"numcodecs.fixedscaleoffset","configuration":{"offset":1000,"scale":10,"dtype":"<f8","astype":"|u1"}},"bytes"])",
                DType::kFloat64, {3}, "000119"),
            (std::vector<double>{1000, 1 / 10.0 + 1000, 25 / 10.0 + 1000}));
}

TEST(Filters, RunBehindTransposesAndInOrder) {
  const std::string list =
      Filtered(R"({"name":"transpose","configuration":{"order":[1,0]}},)"
               R"({"name":"numcodecs.fixedscaleoffset","configuration":{"scale":1000,"dtype":"<f8","astype":"<i8"}},)"
               R"({"name":"numcodecs.delta","configuration":{"dtype":"<i8","astype":"<i4"}})",
               R"({"name":"numcodecs.shuffle","configuration":{"elementsize":4}},{"name":"numcodecs.zlib"})");
  const auto pipeline = CodecPipeline::Create(list, DType::kFloat64);
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  const std::vector<double> values{0.001, 0.25, -7.125, 3, 1000.5, 0};
  const auto encoded = (*pipeline)->Encode(std::as_bytes(std::span(values)), {2, 3});
  ASSERT_TRUE(encoded) << encoded.error().message;
  std::vector<double> out(6), row(3);
  ASSERT_TRUE((*pipeline)->Decode(*encoded, {2, 3}, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, values);
  ASSERT_TRUE((*pipeline)->DecodeRows(*encoded, {2, 3}, 1, 1, std::as_writable_bytes(std::span(row))));
  EXPECT_EQ(row, (std::vector<double>{3, 1000.5, 0}));
}

TEST(Filters, DamagedBytesAreErrors) {
  const std::string list = Filtered(R"({"name":"numcodecs.delta","configuration":{"dtype":"<i4"}})",
                                    R"({"name":"numcodecs.shuffle"},{"name":"numcodecs.zlib"})");
  const auto pipeline = CodecPipeline::Create(list, DType::kInt32).value();
  const std::vector<int32_t> values{1, 2, 3, 5, 8, 13, 21, 34};
  const auto encoded = pipeline->Encode(std::as_bytes(std::span(values)), {8}).value();
  std::vector<std::byte> out(32);
  for (size_t cut = 0; cut < encoded.size(); ++cut)
    EXPECT_FALSE(pipeline->Decode(std::span(encoded).first(cut), {8}, out)) << cut;
  for (size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    auto flipped = encoded;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    (void)pipeline->Decode(flipped, {8}, out);
  }
  EXPECT_FALSE(pipeline->DecodeRows(encoded, {8}, 7, 2, std::span(out).first(8)));
}

TEST(Filters, SayWhatIsWrong) {
  const auto has = [](const std::string& text, std::string_view part) { return text.find(part) != text.npos; };
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.delta","configuration":{"dtype":"<f8"}})")), "float64"));
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.delta","configuration":{"dtype":"|O"}})")), "delta"));
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.fixedscaleoffset","configuration":{"scale":0}})")), "scale"));
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.fixedscaleoffset","configuration":{"step":1}})")), "step"));
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.delta"})"), DType::kComplex64), "unsupported"));
  EXPECT_TRUE(has(Code(std::string("[") + kLittle + R"(,{"name":"numcodecs.delta"}])"), "numcodecs.delta"));
  EXPECT_TRUE(has(Code(Filtered(R"({"name":"numcodecs.pickle"})")), "numcodecs.pickle"));
}

RC_GTEST_PROP(Filters, DeltaOfIntegersLosesNothing, (const std::vector<int64_t>& values)) {
  const auto pipeline =
      CodecPipeline::Create(Filtered(R"({"name":"numcodecs.delta","configuration":{"dtype":"<i8"}})"), DType::kInt64).value();
  const Shape shape{static_cast<int64_t>(values.size())};
  const auto encoded = pipeline->Encode(std::as_bytes(std::span(values)), shape).value();
  std::vector<int64_t> out(values.size());
  RC_ASSERT(pipeline->Decode(encoded, shape, std::as_writable_bytes(std::span(out))).has_value());
  RC_ASSERT(out == values);
}

// blosclz overflowed above 8 MB in some versions: what others wrote with it is read, and nothing is written with it.
TEST(BloscCodec, ReadsBlosclzAndDoesNotWriteIt) {
  const std::string list = R"(["bytes",{"name":"blosc","configuration":{"cname":"blosclz"}}])";
  const auto pipeline = CodecPipeline::Create(list, DType::kUInt8).value();
  EXPECT_FALSE(pipeline->CanEncode());
  EXPECT_EQ(pipeline->Encode(std::vector<std::byte>(100), {100}).error().code, ErrorCode::kUnsupported);
  EXPECT_FALSE(ParseCodecs(list, DType::kUInt8));
  EXPECT_FALSE(ParseCodecs("blosc:blosclz", DType::kUInt8));
  // numcodecs.Blosc(cname='blosclz', shuffle=0).encode(b'\x07' * 200)
  EXPECT_EQ(Decode<uint8_t>(list, DType::kUInt8, {200}, "02010001c8000000c800000024000000140000000c0000002307070707e0b80302070707"), std::vector<uint8_t>(200, 7));
}

}  // namespace
}  // namespace zn
