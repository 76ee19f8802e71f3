#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "zn/engine/codec.h"
#include "zn/engine/zarr_metadata.h"

namespace zn {
namespace {

using Json = nlohmann::json;

std::vector<std::byte> Fill(DType dtype) {
  std::vector<std::byte> fill(ItemSize(dtype));
  WriteFillValue(dtype, fill.data());
  return fill;
}

ZarrArrayMetadata Positions() {
  ZarrArrayMetadata array;
  array.shape = Shape{10, 5, 3};
  array.chunks = Shape{4, 5, 3};
  array.dtype = DType::kFloat32;
  array.fill = Fill(array.dtype);
  array.codecs = DefaultCodecs(array.dtype);
  array.dimension_names = {"frame", "atom", "dim3"};
  array.attributes = R"({"unit":"Å"})";
  return array;
}

Json V2(const ZarrArrayMetadata& array) { return Json::parse(FormatZarrV2(array).value()); }
Json V3(const ZarrArrayMetadata& array) { return Json::parse(FormatZarrV3(array).value()); }

// What zarr-python 2.13 writes for such an array.
TEST(ZarrMetadata, PrintsV2) {
  EXPECT_EQ(V2(Positions()), Json::parse(R"({
    "zarr_format": 2, "shape": [10,5,3], "chunks": [4,5,3], "dtype": "<f4", "fill_value": "NaN", "order": "C",
    "compressor": {"id":"blosc","cname":"lz4","clevel":5,"shuffle":1,"blocksize":16384}, "filters": null})"));
  EXPECT_EQ(Json::parse(FormatZarrV2Attributes(Positions()).value()),
            Json::parse(R"({"unit":"Å","_ARRAY_DIMENSIONS":["frame","atom","dim3"]})"));
}

// zarr-python 2.13 decodes metadata as ASCII, and fails at the first unit in ångström.
TEST(ZarrMetadata, IsAscii) {
  for (const std::string& text :
       {FormatZarrV2Attributes(Positions()).value(), FormatZarrV3(Positions()).value()})
    for (const char c : text) ASSERT_GT(c, 0);
}

// The example of the v3 specification, with the keys that it demands.
TEST(ZarrMetadata, PrintsV3) {
  EXPECT_EQ(V3(Positions()), Json::parse(R"({
    "zarr_format": 3, "node_type": "array", "shape": [10,5,3], "data_type": "float32",
    "chunk_grid": {"name":"regular","configuration":{"chunk_shape":[4,5,3]}},
    "chunk_key_encoding": {"name":"v2","configuration":{"separator":"."}}, "fill_value": "NaN",
    "codecs": [{"name":"bytes","configuration":{"endian":"little"}},
      {"name":"blosc","configuration":{"cname":"lz4","clevel":5,"shuffle":"shuffle","typesize":4,"blocksize":16384}}],
    "attributes": {"unit":"Å"}, "dimension_names": ["frame","atom","dim3"]})"));
}

TEST(ZarrMetadata, PrintsShards) {
  ZarrArrayMetadata array = Positions();
  array.sharding = ZarrSharding{
      Shape{8, 5, 3}, R"([{"name":"bytes","configuration":{"endian":"little"}},"crc32c"])", true};
  const Json document = V3(array);
  EXPECT_EQ(document["chunk_grid"]["configuration"]["chunk_shape"], Json::parse("[8,5,3]"));
  ASSERT_EQ(document["codecs"].size(), 1u);
  const Json& sharding = document["codecs"][0]["configuration"];
  EXPECT_EQ(sharding["chunk_shape"], Json::parse("[4,5,3]"));
  EXPECT_EQ(sharding["codecs"][1]["name"], "blosc");
  EXPECT_EQ(sharding["index_codecs"][1], Json::parse(R"({"name":"crc32c"})"));
  EXPECT_EQ(sharding["index_location"], "end");
  EXPECT_EQ(FormatZarrV2(array).error().code, ErrorCode::kUnsupported);
}

// A NaN as a JSON null, or a complex number as one, is refused by readers.
TEST(ZarrMetadata, PrintsFillValuesAsZarrWantsThem) {
  ZarrArrayMetadata array = Positions();
  const auto fill_of = [&](DType dtype, std::vector<std::byte> fill) {
    array.dtype = dtype;
    array.codecs = DefaultCodecs(dtype);
    array.fill = std::move(fill);
    const Json v2 = V2(array)["fill_value"], v3 = V3(array)["fill_value"];
    EXPECT_EQ(v2, v3);
    return v3;
  };
  for (const DType dtype : kAllDTypes) {
    const Json fill = fill_of(dtype, Fill(dtype));
    if (dtype == DType::kBool)
      EXPECT_EQ(fill, false);
    else if (dtype == DType::kJson)
      EXPECT_EQ(fill, "");
    else if (dtype == DType::kComplex64 || dtype == DType::kComplex128)
      EXPECT_EQ(fill, Json::parse(R"(["NaN","NaN"])"));
    else if (IsFloating(dtype))
      EXPECT_EQ(fill, "NaN");
    else
      EXPECT_TRUE(fill.is_number_integer() && fill == 0) << ZarrName(dtype);
  }
  const auto bytes = [](auto value) {
    const auto span = std::as_bytes(std::span(&value, 1));
    return std::vector<std::byte>(span.begin(), span.end());
  };
  EXPECT_EQ(fill_of(DType::kInt64, bytes(INT64_MIN)), INT64_MIN);
  EXPECT_EQ(fill_of(DType::kUInt64, bytes(UINT64_MAX)), UINT64_MAX);
  EXPECT_EQ(fill_of(DType::kFloat64, bytes(-std::numeric_limits<double>::infinity())), "-Infinity");
  EXPECT_EQ(fill_of(DType::kFloat32, bytes(0.1f)).get<float>(), 0.1f);
  EXPECT_EQ(fill_of(DType::kFloat16, bytes(uint16_t{0xC100})), -2.5);
  array.fill = std::nullopt;
  EXPECT_TRUE(V2(array)["fill_value"].is_null());
  EXPECT_EQ(V3(array)["fill_value"], 0.0);
}

TEST(ZarrMetadata, TranslatesCodecsToV2) {
  ZarrArrayMetadata array = Positions();
  const auto with = [&](const char* codecs) {
    array.codecs = codecs;
    return FormatZarrV2(array);
  };
  Json document = Json::parse(with(R"([{"name":"transpose","configuration":{"order":[2,1,0]}},
    {"name":"bytes","configuration":{"endian":"big"}},{"name":"lz4"}])")
                                  .value());
  EXPECT_EQ(document["order"], "F");
  EXPECT_EQ(document["dtype"], ">f4");
  EXPECT_EQ(document["compressor"], Json::parse(R"({"id":"lz4","acceleration":1})"));
  document = Json::parse(with(R"([{"name":"numcodecs.delta","configuration":{"dtype":"<f4"}},
    {"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":7}}])")
                             .value());
  EXPECT_EQ(document["filters"], Json::parse(R"([{"id":"delta","dtype":"<f4"}])"));
  EXPECT_EQ(document["compressor"], Json::parse(R"({"id":"zstd","level":7})"));
  for (
      const char* unsupported :
      {R"([{"name":"bytes","configuration":{"endian":"little"}},"crc32c"])",
       R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd"},{"name":"gzip"}])",
       R"([{"name":"transpose","configuration":{"order":[1,0,2]}},{"name":"bytes","configuration":{"endian":"little"}}])",
       R"([{"name":"zn.rounded"},{"name":"bytes","configuration":{"endian":"little"}}])"}) {
    const auto refused = with(unsupported);
    ASSERT_FALSE(refused) << unsupported;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported) << unsupported;
    EXPECT_FALSE(CheckPortableCodecs(unsupported, DType::kFloat32, 3)) << unsupported;
  }
}

TEST(ZarrMetadata, ChecksWhatBothVersionsRead) {
  for (const DType dtype : kAllDTypes)
    EXPECT_TRUE(CheckPortableCodecs(DefaultCodecs(dtype), dtype, 2)) << ZarrName(dtype);
  for (const char* compressor : {"blosc:zstd:5", "zstd:3", "lz4", "gzip:6", "none"})
    EXPECT_TRUE(
        CheckPortableCodecs(ParseCodecs(compressor, DType::kFloat64).value(), DType::kFloat64, 3))
        << compressor;
  // v3 readers know few of numcodecs' filters.
  EXPECT_FALSE(CheckPortableCodecs(R"([{"name":"numcodecs.fixedscaleoffset"},{"name":"bytes"}])",
                                   DType::kFloat64, 3));
}

TEST(ZarrMetadata, ChunkKeys) {
  ZarrArrayMetadata array;
  const int64_t chunk[] = {1, 0, 12};
  EXPECT_EQ(ZarrChunkKey(array, chunk), "1.0.12");
  EXPECT_EQ(ZarrChunkKey(array, {}), "0");
  array.separator = '/';
  EXPECT_EQ(ZarrChunkKey(array, chunk), "1/0/12");
  array.keys = ZarrArrayMetadata::Keys::kDefault;
  EXPECT_EQ(ZarrChunkKey(array, chunk), "c/1/0/12");
  EXPECT_EQ(ZarrChunkKey(array, {}), "c");
}

TEST(ZarrMetadata, ConsolidatesAHierarchy) {
  const std::vector<ZarrDocument> v2 = {{".zgroup", FormatZarrV2Group()},
                                        {"x/.zarray", FormatZarrV2(Positions()).value()}};
  const Json consolidated = Json::parse(FormatZarrV2Consolidated(v2).value());
  EXPECT_EQ(consolidated["zarr_consolidated_format"], 1);
  EXPECT_EQ(consolidated["metadata"][".zgroup"], Json::parse(R"({"zarr_format":2})"));
  EXPECT_EQ(consolidated["metadata"]["x/.zarray"], V2(Positions()));
  const std::vector<ZarrDocument> v3 = {{"x", FormatZarrV3(Positions()).value()}};
  const Json group = Json::parse(FormatZarrV3Group(R"({"a":1})", &v3).value());
  EXPECT_EQ(group["node_type"], "group");
  EXPECT_EQ(group["attributes"], Json::parse(R"({"a":1})"));
  EXPECT_EQ(group["consolidated_metadata"]["kind"], "inline");
  EXPECT_EQ(group["consolidated_metadata"]["metadata"]["x"], V3(Positions()));
  EXPECT_FALSE(
      Json::parse(FormatZarrV3Group("{}", nullptr).value()).contains("consolidated_metadata"));
  EXPECT_FALSE(FormatZarrV3Group("[", nullptr));
}

}  // namespace
}  // namespace zn
