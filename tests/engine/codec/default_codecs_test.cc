#include <gtest/gtest.h>

#include <cstring>

#include "zn/engine/codec.h"

namespace zn {
namespace {

TEST(DefaultCodecs, AreBloscLz4WithShuffle) {
  EXPECT_EQ(DefaultCodecs(DType::kFloat32),
            R"([{"name":"bytes","configuration":{"endian":"little"}},)"
            R"({"name":"blosc","configuration":{"cname":"lz4","clevel":5,"shuffle":"shuffle",)"
            R"("typesize":4,"blocksize":16384}}])");
  for (DType dtype : kAllDTypes) {
    EXPECT_TRUE(CodecPipeline::Create(DefaultCodecs(dtype), dtype)) << ZarrName(dtype);
    EXPECT_EQ(ParseCodecs("", dtype).value(), DefaultCodecs(dtype));
    EXPECT_EQ(ParseCodecs("default", dtype).value(), DefaultCodecs(dtype));
    EXPECT_EQ(ParseCodecs(DefaultCodecs(dtype), dtype).value(), DefaultCodecs(dtype));
  }
}

// Reading a row must not decode a whole chunk: blocks are 16 or 64 KiB whatever the type (bytes 8 to
// 11 of a blosc header).
TEST(DefaultCodecs, HaveSmallBlocks) {
  for (DType dtype : kAllDTypes) {
    if (dtype == DType::kJson) continue;
    for (const char* codec : {"blosc", "blosc:lz4hc", "blosc:zstd:1", "blosc:zlib:1"}) {
      const auto pipeline = CodecPipeline::Create(ParseCodecs(codec, dtype).value(), dtype).value();
      const auto items = static_cast<int64_t>((1 << 20) / ItemSize(dtype));
      const std::vector<std::byte> raw(1 << 20);
      const auto encoded = pipeline->Encode(raw, Shape{items}).value();
      uint32_t block;
      std::memcpy(&block, encoded.data() + 8, sizeof block);
      EXPECT_EQ(block, std::string_view(codec).find(":z") == std::string_view::npos ? 16384u : 65536u)
          << ZarrName(dtype) << " " << codec;
    }
  }
}

TEST(ParseCodecs, TakesShortForms) {
  for (DType dtype : kAllDTypes) {
    for (const char* text :
         {"none", "blosc", "blosc:zstd", "blosc:zstd:5", "blosc:lz4:9:bitshuffle", "zstd", "zstd:3",
          "zstd:-5", "lz4", "lz4:2", "gzip", "gzip:6"}) {
      const auto list = ParseCodecs(text, dtype);
      ASSERT_TRUE(list) << text << list.error().message;
      EXPECT_TRUE(CodecPipeline::Create(*list, dtype)) << *list;
    }
  }
  EXPECT_EQ(ParseCodecs("zstd:7", DType::kUInt8).value(),
            R"([{"name":"bytes"},{"name":"zstd","configuration":{"level":7,"checksum":false}}])");
  EXPECT_TRUE(CodecPipeline::Create(ParseCodecs("none", DType::kFloat64).value(), DType::kFloat64)
                  .value()
                  ->IsIdentity());
}

TEST(ParseCodecs, TakesJsonAndDropsItsSpaces) {
  EXPECT_EQ(ParseCodecs("[ {\"name\" : \"bytes\"} ]", DType::kInt8).value(),
            R"([{"name":"bytes"}])");
}

// Whoever mistypes an option learns what there is.
TEST(ParseCodecs, ListsWhatIsKnown) {
  for (const char* text :
       {"snappy", "blosc:blosclz", "blosc:lz4:10", "blosc:lz4:5:both", "blosc:lz4:5:shuffle:1",
        "zstd:x", "zstd:99", "zstd:1:2", "gzip:06", "none:1", "blosc:\"", ":", "[1]x"}) {
    const auto list = ParseCodecs(text, DType::kFloat32);
    ASSERT_FALSE(list) << text;
    EXPECT_EQ(list.error().code, ErrorCode::kInvalidArgument) << text;
    if (text[0] != '[') {
      EXPECT_NE(list.error().message.find("gzip[:LEVEL]"), std::string::npos)
          << list.error().message;
    }
  }
}

}  // namespace
}  // namespace zn
