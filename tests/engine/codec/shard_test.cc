// Shards, put together here from the words of the specification.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/hash.h"
#include "zn/engine/codec.h"
#include "zn/engine/shard.h"

namespace zn {
namespace {

std::string List(const std::string& index, bool at_end = true, const std::string& chunk = "[2,3]") {
  return R"([{"name":"sharding_indexed","configuration":{"chunk_shape":)" + chunk +
         R"(,"codecs":[{"name":"bytes","configuration":{"endian":"little"}},{"name":"gzip","configuration":{"level":5}}],)"
         R"("index_codecs":)" + index + R"(,"index_location":")" + (at_end ? "end" : "start") + R"("}}])";
}
const std::string kPlain = R"([{"name":"bytes","configuration":{"endian":"little"}}])";
const std::string kChecked = R"([{"name":"bytes","configuration":{"endian":"big"}},"crc32c"])";

/// A shard of (4, 6) int32 in chunks of (2, 3), element (i, j) = 10 i + j; chunk (1, 0) is left out.
std::vector<std::byte> MakeShard(bool big, bool checksum, bool at_end) {
  const auto inner =
      CodecPipeline::Create(R"([{"name":"bytes","configuration":{"endian":"little"}},{"name":"gzip"}])", DType::kInt32).value();
  std::vector<std::byte> chunks;
  std::vector<uint64_t> index;
  const uint64_t index_size = 64 + (checksum ? 4 : 0);
  for (int c = 0; c < 4; ++c) {
    if (c == 2) {
      index.insert(index.end(), {UINT64_MAX, UINT64_MAX});
      continue;
    }
    std::vector<int32_t> values;
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j) values.push_back(10 * (2 * (c / 2) + i) + 3 * (c % 2) + j);
    const auto encoded = inner->Encode(std::as_bytes(std::span(values)), {2, 3}).value();
    index.push_back(chunks.size() + (at_end ? 0 : index_size));
    index.push_back(encoded.size());
    chunks.insert(chunks.end(), encoded.begin(), encoded.end());
  }
  if (big)
    for (uint64_t& word : index) word = __builtin_bswap64(word);
  std::vector<std::byte> bytes(64);
  std::memcpy(bytes.data(), index.data(), 64);
  if (checksum) {
    const uint32_t crc = Crc32c(bytes);
    bytes.resize(68);
    std::memcpy(bytes.data() + 64, &crc, 4);
  }
  chunks.insert(at_end ? chunks.end() : chunks.begin(), bytes.begin(), bytes.end());
  return chunks;
}

std::vector<int32_t> Expected(int32_t fill) {
  std::vector<int32_t> values(24);
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 6; ++j) values[static_cast<size_t>(6 * i + j)] = i >= 2 && j < 3 ? fill : 10 * i + j;
  return values;
}

TEST(ShardingCodec, ReadsShardsWithTheirIndexAtEitherEnd) {
  for (const bool big : {false, true})
    for (const bool at_end : {false, true}) {
      const auto shard = MakeShard(big, big, at_end);
      const int32_t fill = -7;
      const auto pipeline =
          CodecPipeline::Create(List(big ? kChecked : kPlain, at_end), DType::kInt32, std::as_bytes(std::span(&fill, 1)));
      ASSERT_TRUE(pipeline) << pipeline.error().message;
      std::vector<int32_t> out(24);
      const auto decoded = (*pipeline)->Decode(shard, {4, 6}, std::as_writable_bytes(std::span(out)));
      ASSERT_TRUE(decoded) << decoded.error().message;
      EXPECT_EQ(out, Expected(fill));
      out.assign(12, 0);
      ASSERT_TRUE((*pipeline)->DecodeRows(shard, {4, 6}, 1, 2, std::as_writable_bytes(std::span(out))));
      EXPECT_EQ(out, (std::vector<int32_t>{10, 11, 12, 13, 14, 15, -7, -7, -7, 23, 24, 25}));
      EXPECT_FALSE((*pipeline)->CanEncode());
    }
}

TEST(ShardingCodec, NeedNotFetchChunksThatAreNotWanted) {
  auto shard = MakeShard(false, false, true);
  shard[0] ^= std::byte{0xff};  // the first chunk's gzip header
  const auto pipeline = CodecPipeline::Create(List(kPlain), DType::kInt32).value();
  std::vector<int32_t> out(12);
  EXPECT_TRUE(pipeline->DecodeRows(shard, {4, 6}, 2, 2, std::as_writable_bytes(std::span(out))));
  EXPECT_FALSE(pipeline->DecodeRows(shard, {4, 6}, 1, 2, std::as_writable_bytes(std::span(out))));
}

TEST(ShardingCodec, ShardsMayHoldShards) {
  const auto inner = MakeShard(false, false, true);
  std::vector<std::byte> outer = inner;
  const uint64_t index[4] = {0, inner.size(), UINT64_MAX, UINT64_MAX};
  outer.resize(inner.size() + 32);
  std::memcpy(outer.data() + inner.size(), index, 32);
  const std::string nested = R"([{"name":"sharding_indexed","configuration":{"chunk_shape":[4,6],"codecs":)" + List(kPlain) +
                             R"(,"index_codecs":)" + kPlain + "}}]";
  const auto pipeline = CodecPipeline::Create(nested, DType::kInt32);
  ASSERT_TRUE(pipeline) << pipeline.error().message;
  std::vector<int32_t> out(48), expected = Expected(0);
  ASSERT_TRUE((*pipeline)->Decode(outer, {8, 6}, std::as_writable_bytes(std::span(out))));
  expected.resize(48);
  EXPECT_EQ(out, expected);
}

TEST(ShardingCodec, DamagedShardsAreErrors) {
  const auto shard = MakeShard(true, true, true);
  const auto pipeline = CodecPipeline::Create(List(kChecked), DType::kInt32).value();
  std::vector<std::byte> out(96);
  for (size_t cut = 0; cut < shard.size(); ++cut)
    EXPECT_FALSE(pipeline->Decode(std::span(shard).first(cut), {4, 6}, out)) << cut;
  // gzip and crc32c see every flipped bit but those of a gzip header's unused bytes.
  for (size_t bit = (shard.size() - 68) * 8; bit < shard.size() * 8; ++bit) {
    auto flipped = shard;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(pipeline->Decode(flipped, {4, 6}, out)) << bit;
  }
  EXPECT_FALSE(pipeline->Decode(shard, {4, 8}, std::span(out).first(0)));
  EXPECT_FALSE(pipeline->Decode(shard, {24}, out));
}

TEST(ShardIndexFormat, RefusesWhatLiesBeyondTheShard) {
  const auto format = ShardIndexFormat::Create(kPlain).value();
  const auto decode = [&](uint64_t offset, uint64_t length) {
    const uint64_t words[2] = {offset, length};
    return format.Decode(std::as_bytes(std::span(words)), 1, 100).has_value();
  };
  EXPECT_TRUE(decode(0, 100));
  EXPECT_TRUE(decode(UINT64_MAX, UINT64_MAX));
  EXPECT_FALSE(decode(1, 100));
  EXPECT_FALSE(decode(UINT64_MAX, 1));
  EXPECT_FALSE(decode(1, UINT64_MAX));
  EXPECT_FALSE(decode(101, 0));
  EXPECT_FALSE(format.Size(int64_t{1} << 60));
}

TEST(ShardingCodec, SaysWhatIsWrongWithAConfiguration) {
  const auto message = [](const std::string& list) {
    const auto pipeline = CodecPipeline::Create(list, DType::kInt32);
    EXPECT_FALSE(pipeline) << list;
    return pipeline ? std::string() : pipeline.error().message;
  };
  EXPECT_NE(message(List(R"(["gzip"])")).find("index_codecs"), std::string::npos);
  EXPECT_NE(message(List(kPlain, true, "[0,3]")).find("chunk_shape"), std::string::npos);
  EXPECT_NE(message(List(kPlain, true, "[4294967296,4294967296]")).find("chunk_shape"), std::string::npos);
  EXPECT_NE(message(R"([{"name":"sharding_indexed"}])").find("chunk_shape"), std::string::npos);
  std::string deep = List(kPlain);
  EXPECT_NE(message("[" + std::string(60, '[') + std::string(60, ']') + "]").find("deep"), std::string::npos);
  EXPECT_NE(message(deep.substr(0, deep.size() - 1) + ",\"gzip\"]").find("gzip"), std::string::npos);
}

}  // namespace
}  // namespace zn
