#include "api/msgpack_writer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace zn::server::msgpack {
namespace {

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[c & 15];
  }
  return text;
}

// The exact bytes of the contract: b"nd", b"type", b"kind", b"shape" and b"data" as bin, which is
// what msgpack_numpy looks for; with str keys it would hand its users a dict instead of an array.
TEST(PutNumpyHead, IsWhatMsgpackNumpyDecodes) {
  std::string out;
  PutNumpyHead(out, DType::kFloat32, Shape{2, 3}, 24, KeyKind::kBin);
  EXPECT_EQ(Hex(out),
            "85"
            "c4026e64"
            "c3"
            "c40474797065"
            "a33c6634"
            "c4046b696e64"
            "c400"
            "c4057368617065"
            "920203"
            "c40464617461"
            "c418");
  out.clear();
  PutNumpyHead(out, DType::kFloat64, Shape{}, 8, KeyKind::kBin);
  EXPECT_EQ(Hex(out),
            "83"
            "c4026e64"
            "c2"
            "c40474797065"
            "a33c6638"
            "c40464617461"
            "c408");
  out.clear();
  PutNumpyHead(out, DType::kInt64, Shape{1}, 8, KeyKind::kStr);
  EXPECT_EQ(Hex(out),
            "85"
            "a26e64"
            "c3"
            "a474797065"
            "a33c6938"
            "a46b696e64"
            "c400"
            "a57368617065"
            "9101"
            "a464617461"
            "c408");
}

TEST(PutInteger, ComesBackAtEveryWidth) {
  for (int64_t value : {int64_t{0}, int64_t{127}, int64_t{128}, int64_t{255}, int64_t{256},
                        int64_t{65535}, int64_t{65536}, int64_t{4294967295}, int64_t{4294967296},
                        INT64_MAX, int64_t{-1}, int64_t{-32}, int64_t{-33}, INT64_MIN}) {
    std::string out;
    PutInteger(out, value);
    EXPECT_EQ(nlohmann::json::from_msgpack(out).get<int64_t>(), value);
  }
}

TEST(PutHeads, UseTheWidthThatTheSizeNeeds) {
  for (size_t size : {0, 15, 16, 31, 32, 255, 256, 65535, 65536}) {
    std::string out;
    PutString(out, std::string(size, 'a'));
    EXPECT_EQ(nlohmann::json::from_msgpack(out).get<std::string>().size(), size);
    out.clear();
    PutArrayHead(out, size);
    out.append(size, '\x01');
    EXPECT_EQ(nlohmann::json::from_msgpack(out).size(), size);
    out.clear();
    PutBin(out, std::string(size, 'b'));
    EXPECT_EQ(nlohmann::json::from_msgpack(out).get_binary().size(), size);
  }
}

TEST(PutJson, MakesNativeValues) {
  for (const char* text : {"\"plain\"", "\"with \\\"escape\\\" \\u00e5\"", "[1,2.5,null,true]",
                           "{\"a\":{\"b\":[]}}", "-7"}) {
    std::string out;
    ASSERT_TRUE(PutJson(out, text)) << text;
    EXPECT_EQ(nlohmann::json::from_msgpack(out), nlohmann::json::parse(text)) << text;
  }
  std::string out;
  EXPECT_FALSE(PutJson(out, "not json"));
}

}  // namespace
}  // namespace zn::server::msgpack
