#include "http/websocket.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "http/base64.h"

namespace zn::server::websocket {
namespace {

// A client's frame, by the letter of RFC 6455, section 5.2.
std::string Frame(int first_byte, std::string payload, int length_bytes = -1) {
  std::string out(1, static_cast<char>(first_byte));
  const size_t n = payload.size();
  if (length_bytes < 0) length_bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
  out += static_cast<char>(0x80 | (length_bytes == 0 ? n : length_bytes == 2 ? 126 : 127));
  for (int i = length_bytes - 1; i >= 0; --i) out += static_cast<char>(n >> (8 * i));
  const std::string mask("\x12\x34\x56\x78");
  out += mask;
  for (size_t i = 0; i < n; ++i) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

int FeedAll(const std::string& bytes, std::vector<Message>* messages, size_t limit = 1000,
            size_t step = SIZE_MAX) {
  FrameDecoder decoder(limit);
  for (size_t at = 0; at < bytes.size(); at += std::min(step, bytes.size() - at)) {
    const int code = decoder.Feed(std::string_view(bytes).substr(at, step), messages);
    if (code != 0) return code;
  }
  return 0;
}

int CodeOf(const std::string& bytes) {
  std::vector<Message> messages;
  return FeedAll(bytes, &messages);
}

TEST(WebSocketHandshake, AnswersTheExampleOfTheRfc) {
  EXPECT_EQ(AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

Answer<std::string> Accept(const std::string& headers, const std::string& line = "GET / HTTP/1.1") {
  auto request = OwnedRequest::Copy(line + "\r\nHost: x\r\n" + headers + "\r\n");
  return AcceptHeaders(request->request);
}

TEST(WebSocketHandshake, RefusesWhatIsNoneAndDeclinesExtensions) {
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  const std::string version = "Sec-WebSocket-Version: 13\r\n";
  const std::string upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";
  auto good = Accept(upgrade + key + version +
                     "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
  ASSERT_TRUE(good);
  EXPECT_EQ(good->find("Extensions"), std::string::npos);
  EXPECT_NE(good->find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            std::string::npos);
  EXPECT_EQ(Accept(key + version).error().status, 400);
  EXPECT_EQ(Accept(upgrade + version).error().status, 400);
  EXPECT_EQ(Accept(upgrade + "Sec-WebSocket-Key: short\r\n" + version).error().status, 400);
  EXPECT_EQ(Accept(upgrade + key + version, "POST / HTTP/1.1").error().status, 400);
  auto old = Accept(upgrade + key + "Sec-WebSocket-Version: 8\r\n");
  EXPECT_EQ(old.error().status, 426);
  EXPECT_EQ(old.error().headers, "Sec-WebSocket-Version: 13\r\n");
}

TEST(WebSocketFrames, TakesMessagesHoweverTheyArrive) {
  const std::string bytes = Frame(0x81, "hello") + Frame(0x82, std::string("\0\xff", 2)) +
                            Frame(0x89, "p") + Frame(0x81, std::string(300, 'x')) + Frame(0x81, "");
  for (size_t step : {1, 2, 3, 7, 1000}) {
    std::vector<Message> messages;
    ASSERT_EQ(FeedAll(bytes, &messages, 1000, step), 0);
    ASSERT_EQ(messages.size(), 5u);
    EXPECT_EQ(messages[0].payload, "hello");
    EXPECT_EQ(messages[0].opcode, Opcode::kText);
    EXPECT_EQ(messages[1].payload, std::string("\0\xff", 2));
    EXPECT_EQ(messages[1].opcode, Opcode::kBinary);
    EXPECT_EQ(messages[2].opcode, Opcode::kPing);
    EXPECT_EQ(messages[3].payload.size(), 300u);
    EXPECT_EQ(messages[4].payload, "");
  }
}

TEST(WebSocketFrames, JoinsFragmentsAroundControlFrames) {
  std::vector<Message> messages;
  ASSERT_EQ(
      FeedAll(Frame(0x01, "a") + Frame(0x00, "b") + Frame(0x89, "") + Frame(0x80, "c"), &messages),
      0);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].opcode, Opcode::kPing);
  EXPECT_EQ(messages[1].payload, "abc");
}

TEST(WebSocketFrames, RefusesWhatTheRfcForbids) {
  EXPECT_EQ(CodeOf(std::string("\x81\x05hello")), kProtocolError) << "unmasked";
  EXPECT_EQ(CodeOf(Frame(0xc1, "x")), kProtocolError) << "RSV1 without an extension";
  EXPECT_EQ(CodeOf(Frame(0x83, "x")), kProtocolError) << "reserved opcode";
  EXPECT_EQ(CodeOf(Frame(0x8b, "x")), kProtocolError) << "reserved control opcode";
  EXPECT_EQ(CodeOf(Frame(0x80, "x")), kProtocolError) << "continues nothing";
  EXPECT_EQ(CodeOf(Frame(0x01, "x") + Frame(0x81, "y")), kProtocolError) << "starts amid a message";
  EXPECT_EQ(CodeOf(Frame(0x09, "x")), kProtocolError) << "fragmented control frame";
  EXPECT_EQ(CodeOf(Frame(0x89, std::string(126, 'x'))), kProtocolError) << "long control frame";
  EXPECT_EQ(CodeOf(Frame(0x81, "x", 2)), kProtocolError) << "length not minimal";
  EXPECT_EQ(CodeOf(Frame(0x81, "\xff")), kBadData) << "not UTF-8";
  EXPECT_EQ(CodeOf(Frame(0x88, "x")), kProtocolError) << "half a close code";
  EXPECT_EQ(CodeOf(Frame(0x88, std::string("\x03\xed", 2))), kProtocolError) << "1005";
  EXPECT_EQ(CodeOf(Frame(0x88, std::string("\x03\xe8\xff", 3))), kBadData) << "reason not UTF-8";
}

TEST(WebSocketFrames, OneMessageIsBoundedHoweverItIsCut) {
  std::vector<Message> messages;
  EXPECT_EQ(FeedAll(Frame(0x82, std::string(1001, 'x')), &messages), kTooBig);
  EXPECT_EQ(
      FeedAll(Frame(0x02, std::string(600, 'x')) + Frame(0x80, std::string(600, 'x')), &messages),
      kTooBig);
  std::string huge = Frame(0x82, "");
  huge[1] = static_cast<char>(0xff);
  huge.insert(2, std::string("\x7f\xff\xff\xff\xff\xff\xff\xff", 8));
  EXPECT_EQ(FeedAll(huge, &messages), kTooBig) << "the length alone decides";
}

TEST(WebSocketFrames, SaysWhyTheClientCloses) {
  std::vector<Message> messages;
  ASSERT_EQ(FeedAll(Frame(0x88, std::string("\x03\xe9") + "bye") + "garbage", &messages), 0);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].code, kGoingAway);
  EXPECT_EQ(messages[0].payload, "bye");
  messages.clear();
  ASSERT_EQ(FeedAll(Frame(0x88, ""), &messages), 0);
  EXPECT_EQ(messages[0].code, kNoCode);
}

TEST(WebSocketFrames, CloseReasonsAreCutBetweenCharacters) {
  std::string reason;
  for (int i = 0; i < 60; ++i) reason += "\xc3\xa9";  // 120 bytes
  reason += "ab\xc3\xa9";                             // cut inside the last one
  const std::string frame = CloseFrame(1008, reason);
  EXPECT_EQ(frame.size(), 2u + 2 + 122);
}

RC_GTEST_PROP(WebSocketFrames, AnyCutOfAnyMessagesReadsTheSame,
              (const std::vector<std::vector<char>>& payloads)) {
  std::string bytes;
  for (const auto& p : payloads) bytes += Frame(0x82, std::string(p.begin(), p.end()));
  std::vector<Message> messages;
  RC_ASSERT(FeedAll(bytes, &messages, 1 << 20, *rc::gen::inRange<size_t>(1, 50)) == 0);
  RC_ASSERT(messages.size() == payloads.size());
  for (size_t i = 0; i < payloads.size(); ++i)
    RC_ASSERT(messages[i].payload == std::string(payloads[i].begin(), payloads[i].end()));
}

TEST(Utf8, KnowsTheEdges) {
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc2", "\xe1\x80", "a\xff"})
    EXPECT_FALSE(IsUtf8(bad)) << bad;
}

RC_GTEST_PROP(Base64, ReadsBackWhatItPrints, (const std::string& bytes)) {
  RC_ASSERT(DecodeBase64(EncodeBase64(bytes)) == bytes);
}

TEST(Base64, TakesOneEncodingOnly) {
  EXPECT_EQ(EncodeBase64("\x01\x02\x03\x04"), "AQIDBA==");
  for (const char* bad :
       {"A", "AB", "ABC", "AQIDBA=", "AQIDBB==", "A===", "====", "AQ==AQ==", "A-_A"})
    EXPECT_FALSE(DecodeBase64(bad)) << bad;
}

}  // namespace
}  // namespace zn::server::websocket
