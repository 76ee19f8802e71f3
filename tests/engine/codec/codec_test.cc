#include "zn/engine/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "codec/pipeline_cache.h"
#include "tests/engine/codec/counting_source.h"

namespace zn {
namespace {

constexpr const char* kLists[] = {
    R"([{"name":"bytes","configuration":{"endian":"little"}}])",
    R"([{"name":"bytes","configuration":{"endian":"big"}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4","clevel":5,"shuffle":"shuffle","blocksize":256}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4hc","clevel":9,"shuffle":"bitshuffle","blocksize":0}}])",
    R"([{"name":"bytes","configuration":{"endian":"big"}},{"name":"blosc","configuration":{"cname":"zstd","clevel":1,"shuffle":"bitshuffle","blocksize":512}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"zlib","clevel":3,"shuffle":"noshuffle","blocksize":128}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4","clevel":0,"shuffle":"shuffle"}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"zstd","configuration":{"level":3,"checksum":true}}])",
    R"([{"name":"bytes","configuration":{"endian":"big"}},{"name":"lz4","configuration":{"acceleration":2}}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"gzip","configuration":{"level":6}},"crc32c"])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"crc32c"}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":{"cname":"lz4","clevel":5,"shuffle":"shuffle","blocksize":256}},"crc32c"])",
    // Steps that give their input, or part of it, to steps that need scratch memory of their own.
    R"([{"name":"bytes","configuration":{"endian":"little"}},"crc32c",{"name":"zstd","configuration":{"level":1}},"crc32c",{"name":"gzip","configuration":{"level":1}},{"name":"lz4"}])",
    R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"lz4"},"crc32c",{"name":"blosc","configuration":{"cname":"zstd","clevel":1,"shuffle":"shuffle"}}])",
};

using Pipeline = std::shared_ptr<const CodecPipeline>;

Pipeline Make(std::string_view codecs, DType dtype) {
  auto pipeline = CodecPipeline::Create(codecs, dtype);
  EXPECT_TRUE(pipeline) << pipeline.error().message;
  return *pipeline;
}

size_t SizeOf(const Shape& shape, DType dtype) {
  return static_cast<size_t>(shape.Elements()) * ItemSize(dtype);
}

// Values that compress as coordinates do: slow waves with noise in the last bits.
std::vector<std::byte> Wave(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>(i % 4 == 0 ? random() : static_cast<uint64_t>(i / 64));
  return bytes;
}

Shape AnyShape() {
  const auto rank = *rc::gen::inRange<size_t>(1, 5);
  Shape shape;
  for (size_t i = 0; i < rank; ++i)
    shape.Append(*rc::gen::inRange<int64_t>(0, rank < 3 ? 300 : 12));
  return shape;
}

std::string WithTranspose(std::string_view list, const std::vector<int64_t>& order) {
  std::string axes;
  for (int64_t axis : order) axes += (axes.empty() ? "" : ",") + std::to_string(axis);
  return R"([{"name":"transpose","configuration":{"order":[)" + axes + "]}}," +
         std::string(list.substr(1));
}

// Whatever a user stores comes back bit for bit, whole and by rows, and has one name.
RC_GTEST_PROP(CodecPipeline, GivesBackWhatItWasGiven, ()) {
  const DType dtype =
      *rc::gen::elementOf(std::vector<DType>(std::begin(kAllDTypes), std::end(kAllDTypes) - 1));
  std::string list =
      *rc::gen::elementOf(std::vector<std::string>(std::begin(kLists), std::end(kLists)));
  const Shape shape = AnyShape();
  if (*rc::gen::inRange(0, 3) == 0) {
    std::vector<int64_t> order(shape.rank());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    std::mt19937 random(*rc::gen::arbitrary<uint32_t>());
    for (int times = *rc::gen::inRange(1, 3); times > 0; --times) {
      std::shuffle(order.begin(), order.end(), random);
      list = WithTranspose(list, order);
    }
  }
  const std::vector<std::byte> raw = Wave(SizeOf(shape, dtype), *rc::gen::arbitrary<uint64_t>());
  const auto pipeline = CodecPipeline::Create(list, dtype);
  RC_ASSERT(pipeline);
  const auto encoded = (*pipeline)->Encode(raw, shape);
  RC_ASSERT(encoded);
  RC_ASSERT((*CodecPipeline::Create(list, dtype))->Encode(raw, shape).value() == *encoded);
  if ((*pipeline)->IsIdentity()) RC_ASSERT(*encoded == raw);

  std::vector<std::byte> decoded(raw.size());
  RC_ASSERT((*pipeline)->Decode(*encoded, shape, decoded));
  RC_ASSERT(decoded == raw);

  const int64_t rows = shape[0];
  const auto first = *rc::gen::inRange<int64_t>(0, rows + 1);
  const auto count = *rc::gen::inRange<int64_t>(0, rows - first + 1);
  const size_t row = rows > 0 ? raw.size() / static_cast<size_t>(rows) : 0;
  std::vector<std::byte> part(row * static_cast<size_t>(count));
  RC_ASSERT((*pipeline)->DecodeRows(*encoded, shape, first, count, part));
  RC_ASSERT(std::equal(part.begin(), part.end(), raw.begin() + static_cast<int64_t>(row) * first));
}

// Every list with every dtype, so that none is left to luck, at sizes around blosc's blocks.
// A row of a large chunk must neither read the whole chunk from the disk nor look at bytes that were not checked.
TEST(CodecPipeline, RowsFetchOnlyTheirBlocks) {
  const Shape shape{256, 600};
  std::vector<float> values(256 * 600);
  std::mt19937 random(1);
  for (float& value : values) value = static_cast<float>(random()) / 1e9f;
  const auto raw = std::as_bytes(std::span(values));
  for (const char* codecs : {"default", "none", "blosc:zstd:3", "blosc:zlib:1:noshuffle", "zstd:3", "blosc:lz4:0"}) {
    const auto json = ParseCodecs(codecs, DType::kFloat32);
    ASSERT_TRUE(json);
    const auto pipeline = CodecPipeline::Create(*json, DType::kFloat32);
    ASSERT_TRUE(pipeline);
    const auto encoded = (*pipeline)->Encode(raw, shape);
    ASSERT_TRUE(encoded);
    // Two blocks and where they begin; zstd alone has no blocks.
    const std::string_view name = codecs;
    const size_t block = name.find(":z") == name.npos ? 16 << 10 : 64 << 10;
    const size_t most = name == "zstd:3" ? encoded->size() : 2 * block + 1024;
    for (const int64_t row : {0, 1, 26, 27, 100, 254, 255}) {
      CountingSource source(*encoded);
      std::vector<std::byte> out(2400);
      const auto decoded = (*pipeline)->DecodeRows(source, shape, row, 1, out);
      ASSERT_TRUE(decoded) << codecs << ": " << decoded.error().message;
      EXPECT_TRUE(std::equal(out.begin(), out.end(), raw.begin() + row * 2400)) << codecs << " row " << row;
      EXPECT_LE(source.fetched(), most) << codecs << " row " << row;
    }
  }
}

TEST(CodecPipeline, TakesEveryDTypeAndSize) {
  for (DType dtype : kAllDTypes) {
    if (dtype == DType::kJson) continue;
    for (const char* list : kLists) {
      const Pipeline pipeline = Make(list, dtype);
      for (int64_t rows : {0, 1, 2, 17, 64, 1000}) {
        const Shape shape{rows, 3};
        const std::vector<std::byte> raw = Wave(SizeOf(shape, dtype), 1);
        const auto encoded = pipeline->Encode(raw, shape);
        ASSERT_TRUE(encoded) << list << rows << encoded.error().message;
        std::vector<std::byte> out(raw.size());
        const auto decoded = pipeline->Decode(*encoded, shape, out);
        ASSERT_TRUE(decoded) << list << rows << decoded.error().message;
        ASSERT_EQ(out, raw) << list << rows;
      }
    }
  }
}

TEST(CodecPipeline, DefaultsRoundTripAtChunkSize) {
  for (DType dtype : kAllDTypes) {
    if (dtype == DType::kJson) continue;
    const Pipeline pipeline = Make(DefaultCodecs(dtype), dtype);
    const Shape shape{64, 1000, 3};
    const std::vector<std::byte> raw = Wave(SizeOf(shape, dtype), 2);
    const auto encoded = pipeline->Encode(raw, shape).value();
    std::vector<std::byte> row(raw.size() / 64);
    for (int64_t i = 0; i < 64; ++i) {
      ASSERT_TRUE(pipeline->DecodeRows(encoded, shape, i, 1, row));
      ASSERT_TRUE(
          std::equal(row.begin(), row.end(), raw.begin() + i * static_cast<int64_t>(row.size())));
    }
  }
}

// Names of chunks must not depend on which thread made them, or nothing would be found twice.
TEST(CodecPipeline, IsTheSameOnEveryThread) {
  const Shape shape{100, 50, 3};
  for (const char* list : kLists) {
    const Pipeline pipeline = Make(list, DType::kFloat32);
    const std::vector<std::byte> raw = Wave(SizeOf(shape, DType::kFloat32), 3);
    const std::vector<std::byte> expected = pipeline->Encode(raw, shape).value();
    std::vector<std::thread> threads;
    std::vector<int> wrong(3, 0);
    for (int& count : wrong)
      threads.emplace_back([&, &count = count] {
        std::vector<std::byte> out(raw.size());
        for (int i = 0; i < 5; ++i) {
          count += pipeline->Encode(raw, shape).value() != expected;
          count += !pipeline->Decode(expected, shape, out) || out != raw;
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(3, 0)) << list;
  }
}

// The bytes that zarr-python and numcodecs would write, so that others read our chunks and we read
// theirs.
TEST(CodecPipeline, BigEndianSwapsEachPartOfComplexNumbers) {
  const Pipeline pipeline = Make(kLists[1], DType::kComplex64);
  const float value[] = {1.0f, 2.0f};
  const auto encoded = pipeline->Encode(std::as_bytes(std::span(value)), Shape{1}).value();
  const std::vector<uint8_t> expected = {0x3f, 0x80, 0, 0, 0x40, 0, 0, 0};
  ASSERT_EQ(encoded.size(), expected.size());
  EXPECT_EQ(std::memcmp(encoded.data(), expected.data(), expected.size()), 0);
}

TEST(CodecPipeline, TransposeOrdersAxesAsZarrSays) {
  // encoded axis k is axis order[k]: (2, 3) with order [1, 0] is stored as (3, 2).
  const Pipeline pipeline = Make(WithTranspose(R"([{"name":"bytes"}])", {1, 0}), DType::kInt8);
  const int8_t raw[] = {1, 2, 3, 4, 5, 6};
  const auto encoded = pipeline->Encode(std::as_bytes(std::span(raw)), Shape{2, 3}).value();
  const int8_t expected[] = {1, 4, 2, 5, 3, 6};
  EXPECT_EQ(std::memcmp(encoded.data(), expected, sizeof expected), 0);
  EXPECT_FALSE(pipeline->IsIdentity());
}

TEST(CodecPipeline, Lz4HasTheFrameOfNumcodecs) {
  const Pipeline pipeline =
      Make(R"(["bytes",{"name":"lz4","configuration":{"acceleration":1}}])", DType::kUInt8);
  const std::vector<std::byte> raw(300, std::byte{7});
  const auto encoded = pipeline->Encode(raw, Shape{300}).value();
  uint32_t size;
  std::memcpy(&size, encoded.data(), sizeof size);
  EXPECT_EQ(size, 300u);
}

TEST(CodecPipeline, GzipHasNoTimeInIt) {
  const Pipeline pipeline =
      Make(R"(["bytes",{"name":"gzip","configuration":{"level":1}}])", DType::kUInt8);
  const auto encoded = pipeline->Encode(std::vector<std::byte>(10), Shape{10}).value();
  ASSERT_GE(encoded.size(), 18u);
  EXPECT_EQ(encoded[0], std::byte{0x1f});
  EXPECT_EQ(encoded[1], std::byte{0x8b});
  for (size_t i = 3; i < 8; ++i) EXPECT_EQ(encoded[i], std::byte{0}) << i;  // flags and time
}

TEST(GzipCodec, ReadsSeveralMembers) {
  const Pipeline pipeline =
      Make(R"(["bytes",{"name":"gzip","configuration":{"level":1}}])", DType::kUInt8);
  const std::vector<std::byte> raw = Wave(100, 4);
  auto first = pipeline->Encode(std::span(raw).first(40), Shape{40}).value();
  const auto second = pipeline->Encode(std::span(raw).subspan(40), Shape{60}).value();
  first.insert(first.end(), second.begin(), second.end());
  std::vector<std::byte> out(100);
  ASSERT_TRUE(pipeline->Decode(first, Shape{100}, out));
  EXPECT_EQ(out, raw);
}

// A disk that loses the end of a chunk must not give a user made-up numbers.
TEST(CodecPipeline, RefusesEveryTruncation) {
  const Shape shape{40, 3};
  for (const char* list : kLists) {
    const Pipeline pipeline = Make(list, DType::kFloat32);
    const std::vector<std::byte> raw = Wave(SizeOf(shape, DType::kFloat32), 5);
    const std::vector<std::byte> encoded = pipeline->Encode(raw, shape).value();
    std::vector<std::byte> out(raw.size());
    for (size_t size = 0; size < encoded.size(); ++size) {
      // Copied to its own block, so that a sanitizer sees reads beyond it.
      const std::vector<std::byte> cut(encoded.begin(),
                                       encoded.begin() + static_cast<int64_t>(size));
      const auto whole = pipeline->Decode(cut, shape, out);
      ASSERT_FALSE(whole) << list << size;
      ASSERT_EQ(whole.error().code, ErrorCode::kCorrupt) << list << size << whole.error().message;
      ASSERT_FALSE(pipeline->DecodeRows(cut, shape, 7, 2, std::span(out).first(24)))
          << list << size;
    }
    std::vector<std::byte> longer = encoded;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(pipeline->Decode(longer, shape, out)) << list;
  }
}

// Nothing but a checksum can tell every flip, but none may crash, or write beyond the destination.
TEST(CodecPipeline, SurvivesEveryBitFlip) {
  const Shape shape{40, 3};
  for (const char* list : kLists) {
    const Pipeline pipeline = Make(list, DType::kFloat32);
    const std::vector<std::byte> raw = Wave(SizeOf(shape, DType::kFloat32), 6);
    std::vector<std::byte> encoded = pipeline->Encode(raw, shape).value();
    const bool checked = std::string_view(list).ends_with("\"crc32c\"])") ||
                         std::string_view(list).ends_with("{\"name\":\"crc32c\"}])");
    std::vector<std::byte> out(raw.size()), part(24);
    for (size_t bit = 0; bit < 8 * encoded.size(); ++bit) {
      encoded[bit / 8] ^= std::byte(1 << bit % 8);
      const auto whole = pipeline->Decode(encoded, shape, out);
      const auto rows = pipeline->DecodeRows(encoded, shape, 7, 2, part);
      if (checked) {
        ASSERT_FALSE(whole || rows) << list << bit;
      }
      encoded[bit / 8] ^= std::byte(1 << bit % 8);
    }
    ASSERT_TRUE(pipeline->Decode(encoded, shape, out));
    EXPECT_EQ(out, raw);
  }
}

TEST(CodecPipeline, RefusesWrongSizes) {
  for (const char* list : kLists) {
    const Pipeline pipeline = Make(list, DType::kFloat32);
    const std::vector<std::byte> raw = Wave(480, 7);
    const auto encoded = pipeline->Encode(raw, Shape{40, 3}).value();
    EXPECT_FALSE(pipeline->Encode(raw, Shape{41, 3})) << list;
    EXPECT_FALSE(pipeline->Encode(raw, Shape{INT64_MAX, 3})) << list;
    std::vector<std::byte> larger(492), smaller(468), part(12);
    // A caller's own mistake and a chunk of another size are told apart.
    EXPECT_EQ(pipeline->Decode(encoded, Shape{40, 3}, larger).error().code,
              ErrorCode::kInvalidArgument);
    EXPECT_EQ(pipeline->Decode(encoded, Shape{41, 3}, larger).error().code, ErrorCode::kCorrupt)
        << list;
    EXPECT_EQ(pipeline->Decode(encoded, Shape{39, 3}, smaller).error().code, ErrorCode::kCorrupt)
        << list;
    EXPECT_EQ(pipeline->DecodeRows(encoded, Shape{41, 3}, 0, 1, part).error().code,
              ErrorCode::kCorrupt)
        << list;
    EXPECT_EQ(pipeline->DecodeRows(encoded, Shape{40, 3}, 40, 1, part).error().code,
              ErrorCode::kOutOfRange);
    EXPECT_EQ(pipeline->DecodeRows(encoded, Shape{40, 3}, -1, 1, part).error().code,
              ErrorCode::kOutOfRange);
    EXPECT_EQ(pipeline->DecodeRows(encoded, Shape{40, 3}, 0, 2, part).error().code,
              ErrorCode::kInvalidArgument);
  }
}

// blosc's own 2 GiB; nothing is read of a chunk that size.
TEST(BloscCodec, RefusesChunksBeyondItsLimit) {
  const Pipeline pipeline = Make(kLists[6], DType::kUInt8);
  static const std::byte byte{};
  const auto result = pipeline->Encode(std::span(&byte, size_t{1} << 31), Shape{int64_t{1} << 31});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kTooLarge);
}

// Bytes that blosclz or snappy made come from elsewhere; they are refused by name rather than
// decoded on trust.
TEST(BloscCodec, RefusesFormatsItDoesNotWrite) {
  const Pipeline pipeline = Make(kLists[2], DType::kFloat32);
  const std::vector<std::byte> raw(4000);
  auto encoded = pipeline->Encode(raw, Shape{1000}).value();
  encoded[2] &= std::byte{0x1f};  // format 0
  std::vector<std::byte> out(raw.size());
  EXPECT_EQ(pipeline->Decode(encoded, Shape{1000}, out).error().code, ErrorCode::kUnsupported);
}

TEST(CodecPipeline, SaysWhatIsWrongWithAList) {
  const auto message = [](std::string_view list, DType dtype = DType::kFloat32) {
    const auto pipeline = CodecPipeline::Create(list, dtype);
    EXPECT_FALSE(pipeline) << list;
    if (pipeline) return std::string();
    EXPECT_EQ(pipeline.error().code, ErrorCode::kInvalidArgument) << list;
    return pipeline.error().message;
  };
  const auto has = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  const std::string bytes = R"({"name":"bytes","configuration":{"endian":"little"}})";
  const std::string unknown = message("[" + bytes + R"(,{"name":"snappy"}])");
  EXPECT_TRUE(has(unknown, "snappy") && has(unknown, "blosc") && has(unknown, "zstd")) << unknown;
  const std::string key = message("[" + bytes + R"(,{"name":"zstd","configuration":{"levle":3}}])");
  EXPECT_TRUE(has(key, "levle") && has(key, "level") && has(key, "zstd")) << key;
  const std::string lzf = message("[" + bytes + R"(,{"name":"blosc","configuration":{"cname":"lzf"}}])");
  EXPECT_TRUE(has(lzf, "lzf") && has(lzf, "lz4hc")) << lzf;
  EXPECT_TRUE(
      has(message("[" + bytes + R"(,{"name":"gzip","configuration":{"level":10}}])"), "0 to 9"));
  EXPECT_TRUE(
      has(message("[" + bytes + R"(,{"name":"gzip","configuration":{"level":"6"}}])"), "level"));
  EXPECT_TRUE(has(message("[]"), "bytes"));
  EXPECT_TRUE(has(message(R"([{"name":"zstd"}])"), "zstd"));
  EXPECT_TRUE(has(message("[" + bytes + "," + bytes + "]"), "second"));
  EXPECT_TRUE(has(message(R"([{"name":"bytes"}])"), "endian"));
  EXPECT_TRUE(has(message("[" + bytes + R"(,{"name":"transpose","configuration":{"order":[0]}}])"),
                  "before"));
  EXPECT_TRUE(
      has(message(R"([{"name":"transpose","configuration":{"order":[0,2]}},)" + bytes + "]"),
          "permutation"));
  EXPECT_TRUE(has(message(R"([{"name":"vlen-utf8"}])"), "float32"));
  message(R"([{"name":"bytes"}])", DType::kJson);
  message("");
  message("{}");
  message("[1]");
  message("[{}]");
  message(R"([{"name":"bytes","configuration":[]}])");
  message(R"([{"name":"bytes","extra":1}])");
  message(std::string(100000, '['));
  message(std::string(70000, ' ') + "[]");
}

TEST(CodecPipeline, TransposeOfAnotherRankIsRefusedWhenUsed) {
  const Pipeline pipeline = Make(WithTranspose(kLists[0], {1, 0}), DType::kInt8);
  std::vector<std::byte> out(8);
  EXPECT_FALSE(pipeline->Encode(out, Shape{8}));
  EXPECT_FALSE(pipeline->Decode(out, Shape{2, 2, 2}, out));
}

TEST(PipelineCache, ParsesAListOnce) {
  PipelineCache cache;
  const auto first = cache.Get(kLists[2], DType::kFloat32).value();
  EXPECT_EQ(cache.Get(kLists[2], DType::kFloat32).value(), first);
  EXPECT_NE(cache.Get(kLists[2], DType::kFloat64).value(), first);
  EXPECT_FALSE(cache.Get("[]", DType::kFloat32));
}

}  // namespace
}  // namespace zn
