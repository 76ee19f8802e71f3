#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "zn/engine/codec.h"

namespace zn {
namespace {

RC_GTEST_PROP(Text, ComesBackAsItWas, (std::vector<std::string> texts)) {
  const auto raw = EncodeText(texts);
  const auto decoded = DecodeText(raw);
  RC_ASSERT(decoded);
  RC_ASSERT(std::vector<std::string>(decoded->begin(), decoded->end()) == texts);
  const auto pipeline = CodecPipeline::Create(DefaultCodecs(DType::kJson), DType::kJson);
  RC_ASSERT(pipeline);
  const auto encoded = (*pipeline)->Encode(raw, Shape{static_cast<int64_t>(texts.size())});
  RC_ASSERT(encoded);
  RC_ASSERT((*pipeline)->DecodeVariable(*encoded, raw.size()).value() == raw);
  RC_ASSERT((*pipeline)->DecodeVariable(*encoded, SIZE_MAX).value() == raw);
}

// The layout that numcodecs' VLenUTF8 writes.
TEST(Text, HasTheLayoutOfNumcodecs) {
  const std::vector<std::string> texts = {"ab", ""};
  const auto raw = EncodeText(texts);
  const uint8_t expected[] = {2, 0, 0, 0, 2, 0, 0, 0, 'a', 'b', 0, 0, 0, 0};
  ASSERT_EQ(raw.size(), sizeof expected);
  EXPECT_EQ(std::memcmp(raw.data(), expected, sizeof expected), 0);
}

TEST(Text, RefusesEveryTruncationAndWhatFollows) {
  const std::vector<std::string> texts = {"one", "", "three"};
  auto raw = EncodeText(texts);
  for (size_t size = 0; size < raw.size(); ++size) {
    const std::vector<std::byte> cut(raw.begin(), raw.begin() + static_cast<int64_t>(size));
    const auto decoded = DecodeText(cut);
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, ErrorCode::kCorrupt);
  }
  raw.push_back(std::byte{0});
  EXPECT_FALSE(DecodeText(raw));
}

// Twelve bytes that claim four billion texts must not cost the memory for them.
TEST(Text, TakesNoMemoryForWhatCountsClaim) {
  const std::vector<std::byte> hostile(12, std::byte{0xff});
  EXPECT_FALSE(DecodeText(hostile));
}

TEST(DecodeVariable, StopsAtTheLimit) {
  const std::vector<std::string> texts(1000, std::string(1000, 'x'));
  const auto raw = EncodeText(texts);
  for (const char* compressor :
       {"none", "zstd", "lz4", "gzip", "blosc:lz4", "blosc:zstd", "blosc:zlib"}) {
    const auto list = ParseCodecs(compressor, DType::kJson).value();
    const auto pipeline = CodecPipeline::Create(list, DType::kJson).value();
    const auto encoded = pipeline->Encode(raw, Shape{1000}).value();
    EXPECT_EQ(pipeline->DecodeVariable(encoded, raw.size()).value(), raw) << compressor;
    const auto stopped = pipeline->DecodeVariable(encoded, raw.size() - 1);
    ASSERT_FALSE(stopped) << compressor;
    EXPECT_EQ(stopped.error().code, ErrorCode::kTooLarge) << stopped.error().message;
    for (size_t size = 0; size < encoded.size(); size += 1 + size / 20) {
      const std::vector<std::byte> cut(encoded.begin(),
                                       encoded.begin() + static_cast<int64_t>(size));
      const auto partial = pipeline->DecodeVariable(cut, SIZE_MAX);
      // Without a codec there is nothing to tell by; DecodeText will.
      EXPECT_EQ(static_cast<bool>(partial), std::string_view(compressor) == "none")
          << compressor << size;
    }
  }
}

TEST(DecodeVariable, SurvivesEveryBitFlip) {
  const std::vector<std::string> texts = {"{\"a\": 1}", "[1, 2, 3]", "\"text\""};
  const auto raw = EncodeText(texts);
  for (const char* compressor : {"zstd", "lz4", "gzip", "blosc:lz4"}) {
    const auto pipeline =
        CodecPipeline::Create(ParseCodecs(compressor, DType::kJson).value(), DType::kJson).value();
    auto encoded = pipeline->Encode(raw, Shape{3}).value();
    for (size_t bit = 0; bit < 8 * encoded.size(); ++bit) {
      encoded[bit / 8] ^= std::byte(1 << bit % 8);
      if (const auto decoded = pipeline->DecodeVariable(encoded, 1 << 20)) {
        EXPECT_LE(decoded->size(), size_t{1} << 20);
        (void)DecodeText(*decoded);
      }
      encoded[bit / 8] ^= std::byte(1 << bit % 8);
    }
  }
}

TEST(Text, IsCountedWhenEncoded) {
  const auto pipeline = CodecPipeline::Create(DefaultCodecs(DType::kJson), DType::kJson).value();
  const std::vector<std::string> texts = {"a", "b"};
  EXPECT_FALSE(pipeline->Encode(EncodeText(texts), Shape{3}));
  EXPECT_FALSE(pipeline->Encode({}, Shape{0}));
  std::vector<std::byte> out(4);
  EXPECT_FALSE(pipeline->Decode(out, Shape{1}, out));
}

}  // namespace
}  // namespace zn
