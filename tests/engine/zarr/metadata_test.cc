// Metadata documents of other programs, good and bad.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "zn/engine/codec.h"
#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

std::string V2(std::string replace = "", const std::string& with = "") {
  std::string text = R"({"zarr_format":2,"shape":[10,5,3],"chunks":[4,5,3],"dtype":"<f4","compressor":)"
                     R"({"id":"blosc","cname":"lz4","clevel":5,"shuffle":1,"blocksize":0},"fill_value":"NaN","order":"C","filters":null})";
  if (!replace.empty()) text.replace(text.find(replace), replace.size(), with);
  return text;
}
std::string V3(const std::string& replace = "", const std::string& with = "") {
  std::string text = R"({"zarr_format":3,"node_type":"array","shape":[10,6],"data_type":"int32","chunk_grid":{"name":"regular",)"
                     R"("configuration":{"chunk_shape":[4,6]}},"chunk_key_encoding":{"name":"default"},"fill_value":-3,"codecs":)"
                     R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":3}}],)"
                     R"("attributes":{"unit":"Å"},"dimension_names":["frame",null],"storage_transformers":[]})";
  if (!replace.empty()) text.replace(text.find(replace), replace.size(), with);
  return text;
}
std::string Message(const Result<ZarrArrayMetadata>& result) {
  return result ? "no error" : std::string(ErrorCodeName(result.error().code)) + " " + result.error().message;
}
#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(ZarrMetadataV2, IsReadAsZarrPythonWritesIt) {
  const auto array = ParseZarrArrayV2(V2(), R"({"unit":"nm","_ARRAY_DIMENSIONS":["frame","atom","xyz"]})");
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_EQ(array->format, 2);
  EXPECT_EQ(array->shape, (Shape{10, 5, 3}));
  EXPECT_EQ(array->chunks, (Shape{4, 5, 3}));
  EXPECT_EQ(array->dtype, DType::kFloat32);
  EXPECT_EQ(array->codecs,
            R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4","clevel":5,)"
            R"("shuffle":"shuffle","blocksize":0,"typesize":4}}])");
  EXPECT_EQ(array->dimension_names, (std::vector<std::string>{"frame", "atom", "xyz"}));
  EXPECT_EQ(array->attributes, R"({"unit":"nm"})");
  EXPECT_EQ(ZarrChunkKey(*array, std::vector<int64_t>{1, 2, 3}), "1.2.3");
}

TEST(ZarrMetadataV2, OrderByteOrderAndFiltersBecomeCodecs) {
  std::string text = V2(R"("order":"C")", R"("order":"F","dimension_separator":"/")");
  text.replace(text.find("null"), 4, R"([{"id":"delta","dtype":"<f4","astype":">i2"},{"id":"shuffle","elementsize":2}])");
  const auto array = ParseZarrArrayV2(text, "");
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_EQ(array->codecs.substr(0, array->codecs.find(R"(,{"name":"blosc)")),
            R"([{"name":"transpose","configuration":{"order":[2,1,0]}},{"name":"numcodecs.delta","configuration":)"
            R"({"dtype":"<f4","astype":">i2"}},{"name":"bytes","configuration":{"endian":"big"}},)"
            R"({"name":"numcodecs.shuffle","configuration":{"elementsize":2}})");
  EXPECT_EQ(ZarrChunkKey(*array, std::vector<int64_t>{1, 2, 3}), "1/2/3");
  EXPECT_TRUE(CodecPipeline::Create(array->codecs, array->dtype));
}

TEST(ZarrMetadataV2, SaysWhichKeyIsWrong) {
  const auto says = [](const std::string& replace, const std::string& with) {
    return Message(ParseZarrArrayV2(V2(replace, with), ""));
  };
  EXPECT_SAYS(says(R"("dtype":"<f4")", R"("dtype":"<U10")"), "unsupported dtype");
  EXPECT_SAYS(says(R"("dtype":"<f4")", R"("dtype":[["x","<f4"]])"), "unsupported dtype");
  EXPECT_SAYS(says(R"("dtype":"<f4")", R"("dtype":"|f4")"), "unsupported dtype");
  EXPECT_SAYS(says(R"("dtype":"<f4")", R"("dtype":"|O")"), "vlen-utf8");
  EXPECT_SAYS(says(R"("filters":null)", R"("filters":[{"id":"pickle"}])"), "pickle");
  EXPECT_SAYS(says(R"("filters":null)", R"("filters":[{"id":"packbits"}])"), "packbits");
  EXPECT_SAYS(says(R"("id":"blosc","cname":"lz4")", R"("id":"blosc","cname":"lzf")"), "lzf");
  EXPECT_SAYS(says(R"("id":"blosc")", R"("id":"jpeg")"), "jpeg");
  EXPECT_SAYS(says(R"("chunks":[4,5,3])", R"("chunks":[4,5])"), "chunks");
  EXPECT_SAYS(says(R"("chunks":[4,5,3])", R"("chunks":[0,5,3])"), "chunks");
  EXPECT_SAYS(says(R"("chunks":[4,5,3])", R"("chunks":[400000000,5,3])"), "too-large chunks");
  EXPECT_SAYS(says("[10,5,3]", "[4611686018427387904,5,3]"), "too-large shape");
  EXPECT_SAYS(says("[10,5,3]", "[-1,5,3]"), "shape");
  EXPECT_SAYS(says("[10,5,3]", "[1,1,1,1,1,1,1,1,1]"), "shape");
  EXPECT_SAYS(says(R"("shape":)", R"("shade":)"), "shape: is missing");
  EXPECT_SAYS(says(R"("NaN")", R"("nan")"), "fill_value");
  EXPECT_SAYS(says(R"("zarr_format":2)", R"("zarr_format":3)"), "zarr_format");
  EXPECT_SAYS(says(R"("order":"C")", R"("order":"K")"), "order");
  EXPECT_SAYS(Message(ParseZarrArrayV2("[1]", "")), "no JSON object");
  EXPECT_SAYS(Message(ParseZarrArrayV2(V2(), "{")), ".zattrs");
  EXPECT_SAYS(Message(ParseZarrArrayV2(std::string(1 << 20, '['), "")), "nested");
}

TEST(ZarrMetadataV3, IsReadAsTheSpecificationHasIt) {
  const auto array = ParseZarrArrayV3(V3());
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_EQ(array->shape, (Shape{10, 6}));
  EXPECT_EQ(array->dimension_names, (std::vector<std::string>{"frame", ""}));
  EXPECT_EQ(array->attributes, R"({"unit":"Å"})");
  int32_t fill = 0;
  std::memcpy(&fill, array->fill->data(), 4);
  EXPECT_EQ(fill, -3);
  EXPECT_EQ(ZarrChunkKey(*array, std::vector<int64_t>{1, 0}), "c/1/0");
  const auto v2_keys = ParseZarrArrayV3(V3(R"({"name":"default"})", R"({"name":"v2","configuration":{"separator":"/"}})"));
  EXPECT_EQ(ZarrChunkKey(*v2_keys, std::vector<int64_t>{1, 0}), "1/0");
  const auto hex = ParseZarrArrayV3([] {
    std::string text = V3("-3", R"("0x7fc00001")");
    return text.replace(text.find("int32"), 5, "float32");
  }());
  uint32_t bits = 0;
  ASSERT_TRUE(hex) << hex.error().message;
  std::memcpy(&bits, hex->fill->data(), 4);
  EXPECT_EQ(bits, 0x7fc00001u);
}

// zarrita 0.7 writes both where it is not told otherwise; such stores are about.
TEST(ZarrMetadataV3, TakesNoCodecsAndNoFillValue) {
  std::string text = V3("-3", "null");
  const size_t begin = text.find("[{\"name\":\"bytes\"");
  text.replace(begin, text.find("}}]", begin) + 3 - begin, "[]");
  const auto array = ParseZarrArrayV3(text);
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_FALSE(array->fill);
  EXPECT_EQ(array->codecs, R"([{"name":"bytes","configuration":{"endian":"little"}}])");
  EXPECT_SAYS(Message(ParseZarrArrayV3(text.replace(text.find("int32"), 5, "string"))), "codec");
}

TEST(ZarrMetadataV3, TakesShardsApart) {
  const std::string sharding =
      R"([{"name":"sharding_indexed","configuration":{"chunk_shape":[2,3],"codecs":["bytes"],"index_codecs":)"
      R"([{"name":"bytes","configuration":{"endian":"little"}},"crc32c"],"index_location":"start"}}])";
  std::string text = V3();
  const size_t begin = text.find("[{\"name\":\"bytes\"");
  text.replace(begin, text.find("}}]", begin) + 3 - begin, sharding);
  text.replace(text.find("int32"), 5, "uint8");
  text.replace(text.find("-3"), 2, "7");
  const auto array = ParseZarrArrayV3(text);
  ASSERT_TRUE(array) << array.error().message;
  EXPECT_EQ(array->chunks, (Shape{2, 3}));
  EXPECT_EQ(array->codecs, R"(["bytes"])");
  ASSERT_TRUE(array->sharding);
  EXPECT_EQ(array->sharding->shard, (Shape{4, 6}));
  EXPECT_FALSE(array->sharding->index_at_end);
  EXPECT_SAYS(Message(ParseZarrArrayV3(std::string(text).replace(text.find("[2,3]"), 5, "[3,3]"))), "chunk_shape");
  EXPECT_SAYS(Message(ParseZarrArrayV3(std::string(text).replace(text.find("\"crc32c\""), 8, "\"gzip\""))), "index_codecs");
}

TEST(ZarrMetadataV3, RefusesWhatItDoesNotUnderstand) {
  const auto says = [](const std::string& replace, const std::string& with) {
    return Message(ParseZarrArrayV3(V3(replace, with)));
  };
  EXPECT_SAYS(says(R"("storage_transformers":[])", R"("storage_transformers":[{"name":"x"}])"), "storage_transformers");
  EXPECT_SAYS(says(R"("storage_transformers":[])", R"("cipher":{"name":"x"})"), "cipher");
  EXPECT_EQ(says(R"("storage_transformers":[])", R"("note":{"must_understand":false})"), "no error");
  EXPECT_SAYS(says("\"int32\"", "\"r16\""), "data_type");
  EXPECT_SAYS(says("\"int32\"", R"({"name":"numpy.datetime64","configuration":{"unit":"s"}})"), "data_type");
  EXPECT_SAYS(says("\"regular\"", "\"rectangular\""), "chunk_grid");
  EXPECT_SAYS(says("\"default\"", "\"hashed\""), "chunk_key_encoding");
  EXPECT_SAYS(says("\"zstd\"", "\"pcodec\""), "pcodec");
  EXPECT_SAYS(says("-3", "3000000000"), "fill_value");
  EXPECT_SAYS(says("-3", "\"x\""), "fill_value");
  EXPECT_SAYS(says(R"(["frame",null])", R"(["frame"])"), "dimension_names");
  EXPECT_SAYS(says("\"array\"", "\"group\""), "node_type");
}

TEST(ZarrMetadata, WhatIsPrintedIsReadBack) {
  for (const DType dtype : kAllDTypes) {
    ZarrArrayMetadata array;
    array.shape = {7, 4};
    array.chunks = {2, 4};
    array.dtype = dtype;
    array.codecs = DefaultCodecs(dtype);
    array.fill.emplace(ItemSize(dtype));
    if (dtype != DType::kJson) WriteFillValue(dtype, array.fill->data());
    array.dimension_names = {"frame", "dim4"};
    array.attributes = R"({"kind":"frame"})";
    const auto v3 = ParseZarrArrayV3(FormatZarrV3(array).value());
    ASSERT_TRUE(v3) << v3.error().message;
    EXPECT_EQ(v3->shape, array.shape);
    EXPECT_EQ(v3->fill, array.fill) << ZarrName(dtype);
    EXPECT_EQ(v3->dimension_names, array.dimension_names);
    const auto v2 = ParseZarrArrayV2(FormatZarrV2(array).value(), FormatZarrV2Attributes(array).value());
    ASSERT_TRUE(v2) << v2.error().message;
    EXPECT_EQ(v2->fill, array.fill) << ZarrName(dtype);
    EXPECT_EQ(v2->attributes, array.attributes);
    // The same chunk through either.
    const std::vector<std::byte> raw = dtype == DType::kJson
                                           ? EncodeText(std::vector<std::string>{"1", "[2]"})
                                           : std::vector<std::byte>(8 * ItemSize(dtype), std::byte{3});
    const Shape shape = dtype == DType::kJson ? Shape{2} : Shape{2, 4};
    const auto ours = CodecPipeline::Create(array.codecs, dtype).value()->Encode(raw, shape).value();
    EXPECT_EQ(CodecPipeline::Create(v2->codecs, dtype).value()->Encode(raw, shape).value(), ours) << ZarrName(dtype);
    EXPECT_EQ(CodecPipeline::Create(v3->codecs, dtype).value()->Encode(raw, shape).value(), ours) << ZarrName(dtype);
  }
}

TEST(ZarrMetadata, ConsolidatedDocumentsAreFound) {
  const std::vector<ZarrDocument> documents{{".zgroup", FormatZarrV2Group()}, {"a/.zarray", V2()}};
  const auto v2 = ParseZarrV2Consolidated(FormatZarrV2Consolidated(documents).value());
  ASSERT_TRUE(v2) << v2.error().message;
  ASSERT_EQ(v2->size(), 2u);
  EXPECT_EQ((*v2)[1].first, "a/.zarray");
  EXPECT_TRUE(ParseZarrArrayV2((*v2)[1].second, ""));
  const std::vector<ZarrDocument> members{{"a", V3()}};
  const std::string group = FormatZarrV3Group("{\"x\":1}", &members).value();
  EXPECT_EQ(ParseZarrGroupV3(group).value(), "{\"x\":1}");
  EXPECT_FALSE(IsZarrV3Array(group).value());
  EXPECT_TRUE(ParseZarrArrayV3(ParseZarrV3Consolidated(group).value().at(0).second));
  EXPECT_FALSE(ParseZarrV2Consolidated("{}"));
}

TEST(ZarrMetadata, DamagedDocumentsAreErrorsOrStillSound) {
  std::mt19937 random(3);
  for (int i = 0; i < 4000; ++i) {
    std::string text = i % 2 ? V2() : V3();
    if (i < 400) {
      text.resize(text.size() * static_cast<size_t>(i) / 400);
    } else {
      for (int k = 0; k <= i % 3; ++k) text[random() % text.size()] ^= static_cast<char>(1 << random() % 7);
    }
    const auto array = i % 2 ? ParseZarrArrayV2(text, "") : ParseZarrArrayV3(text);
    if (!array) {
      EXPECT_FALSE(array.error().message.empty());
      continue;
    }
    EXPECT_EQ(array->shape.rank(), array->chunks.rank());
    EXPECT_GT(array->chunks.Elements(), 0);
    EXPECT_TRUE(CodecPipeline::Create(array->codecs, array->dtype)) << text;
  }
}

}  // namespace
}  // namespace zn
