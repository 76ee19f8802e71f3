// Socket.IO packets (protocol revision 5), and what a connection does with them.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "server/support/fake_loop.h"
#include "socketio/echo.h"
#include "socketio/socketio_client.h"

namespace zn::server::socketio {
namespace {

using engineio::OutPacket;
using Status = Decoder::Status;

std::string DataOf(const OutPacket& packet) { return Flatten({packet.data}); }
engineio::Packet Text(std::string data) { return {engineio::PacketType::kMessage, false, data}; }
engineio::Packet Binary(std::string data) { return {engineio::PacketType::kMessage, true, data}; }

std::optional<Packet> DecodeText(const std::string& text) {
  Decoder decoder(Parser::kDefault, 1000);
  Packet packet;
  if (decoder.Feed(Text(text), &packet) != Status::kPacket) return std::nullopt;
  return packet;
}

TEST(SocketPacket, ReadsTheExamplesOfTheProtocol) {
  EXPECT_EQ(DecodeText("0")->type, PacketType::kConnect);
  EXPECT_EQ(DecodeText("0/admin,{\"token\":\"123\"}")->data, (json{{"token", "123"}}));
  EXPECT_EQ(DecodeText("0/admin,{\"token\":\"123\"}")->nsp, "/admin");
  EXPECT_EQ(DecodeText("0/admin")->nsp, "/admin");
  EXPECT_EQ(DecodeText("1/admin,")->type, PacketType::kDisconnect);
  EXPECT_EQ(DecodeText("2[\"hello\",1]")->data, (json{"hello", 1}));
  EXPECT_EQ(DecodeText("2/admin,456[\"project:delete\",123]")->id, 456u);
  EXPECT_EQ(DecodeText("3/admin,456[]")->data, json::array());
  EXPECT_EQ(DecodeText("4/admin,{\"message\":\"Not authorized\"}")->type,
            PacketType::kConnectError);
}

TEST(SocketPacket, PutsAttachmentsWhereTheirPlaceholdersAre) {
  Decoder decoder(Parser::kDefault, 1000);
  Packet packet;
  EXPECT_EQ(decoder.Feed(Text("52-/admin,7[\"hello\",{\"_placeholder\":true,\"num\":1},"
                              "{\"a\":[{\"_placeholder\":true,\"num\":0}]}]"),
                         &packet),
            Status::kMore);
  EXPECT_EQ(decoder.Feed(Binary("\x01\x02"), &packet), Status::kMore);
  ASSERT_EQ(decoder.Feed(Binary("\x03"), &packet), Status::kPacket);
  EXPECT_EQ(packet.type, PacketType::kEvent);
  EXPECT_EQ(packet.id, 7u);
  EXPECT_EQ(packet.data[1], json::binary({3}));
  EXPECT_EQ(packet.data[2]["a"][0], json::binary({1, 2}));
  auto messages = Encode(packet, Parser::kDefault);
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(DataOf(messages[0]),
            "52-/admin,7[\"hello\",{\"_placeholder\":true,\"num\":0},"
            "{\"a\":[{\"_placeholder\":true,\"num\":1}]}]");
  EXPECT_TRUE(messages[1].binary);
  EXPECT_EQ(DataOf(messages[1]), "\x03");
}

TEST(SocketPacket, RefusesWhatIsNone) {
  for (const char* bad : {"",
                          "abc",
                          "7",
                          "2",
                          "2{}",
                          "2[]",
                          "2[{}]",
                          "2abc[\"e\"]",
                          "2[\"e\"",
                          "2[\"e\"]x",
                          "2null",
                          "0[]",
                          "0\"x\"",
                          "1{}",
                          "3[]",
                          "5[\"e\"]",
                          "5-[\"e\"]",
                          "5x-[\"e\"]",
                          "565-[\"e\"]",
                          "51-{\"_placeholder\":true,\"num\":0}",
                          "299999999999999999999[\"e\"]"})
    EXPECT_FALSE(DecodeText(bad)) << bad;
  EXPECT_FALSE(DecodeText("0/" + std::string(200, 'n'))) << "a namespace of any length";
}

TEST(SocketPacket, RefusesAttachmentsThatDoNotFit) {
  Packet packet;
  Decoder stray(Parser::kDefault, 1000);
  EXPECT_EQ(stray.Feed(Binary("x"), &packet), Status::kBad) << "nothing announced it";
  Decoder text(Parser::kDefault, 1000);
  (void)text.Feed(Text("51-[\"e\",{\"_placeholder\":true,\"num\":0}]"), &packet);
  EXPECT_EQ(text.Feed(Text("2[\"e\"]"), &packet), Status::kBad) << "text instead";
  Decoder range(Parser::kDefault, 1000);
  (void)range.Feed(Text("51-[\"e\",{\"_placeholder\":true,\"num\":1}]"), &packet);
  EXPECT_EQ(range.Feed(Binary("x"), &packet), Status::kBad) << "beyond the last";
  Decoder large(Parser::kDefault, 1000);
  (void)large.Feed(Text("52-[\"e\",{\"_placeholder\":true,\"num\":0}]"), &packet);
  EXPECT_EQ(large.Feed(Binary(std::string(2000, 'x')), &packet), Status::kBad) << "too many bytes";
}

TEST(SocketPacket, NestingIsBounded) {
  EXPECT_TRUE(ParseJson("[[\"[[[[\\\"[\"]]"));
  EXPECT_TRUE(ParseJson(std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(ParseJson(std::string(33, '[') + std::string(33, ']')));
  EXPECT_FALSE(ParseJson(std::string(1'000'000, '[')));
  EXPECT_TRUE(ParseMsgpack(std::string(31, '\x91') + "\xc0"));
  EXPECT_FALSE(ParseMsgpack(std::string(1'000'000, '\x91') + "\xc0"));
}

TEST(SocketPacket, MsgpackCountsThatLieCostNothing) {
  EXPECT_FALSE(ParseMsgpack(std::string("\xdd\xff\xff\xff\xff", 5)));
  EXPECT_FALSE(ParseMsgpack(std::string("\xdf\xff\xff\xff\xff\xc0", 6)));
  EXPECT_FALSE(ParseMsgpack(std::string("\xc6\xff\xff\xff\xff", 5)));
  EXPECT_FALSE(ParseMsgpack(std::string("\xc0\xc0", 2))) << "something behind it";
  EXPECT_FALSE(ParseMsgpack(std::string("\x81\x01\x01", 3))) << "a key that is no string";
}

TEST(SocketPacket, MsgpackPacketsAreMaps) {
  // {type: 2, nsp: "/", id: 5, data: ["e", bin 01 02, undefined, -1, 1.5]}, packed by hand.
  const std::string bytes = std::string(
      "\x84\xa4type\x02\xa3nsp\xa1/\xa2id\x05\xa4"
      "data\x95\xa1"
      "e\xc4\x02\x01\x02"
      "\xd4\x00\x00\xff\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00",
      42);
  Decoder decoder(Parser::kMsgpack, 1000);
  Packet packet;
  ASSERT_EQ(decoder.Feed(Binary(bytes), &packet), Status::kPacket);
  EXPECT_EQ(packet.id, 5u);
  EXPECT_EQ(packet.data, (json{"e", json::binary({1, 2}), nullptr, -1, 1.5}));
  EXPECT_EQ(decoder.Feed(Text("2[\"e\"]"), &packet), Status::kBad) << "text has no place there";
  auto messages = Encode(packet, Parser::kMsgpack);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_TRUE(messages[0].binary);
}

rc::Gen<json> AnyJson(int depth) {
  if (depth == 0)
    return rc::gen::oneOf(
        rc::gen::map(rc::gen::arbitrary<int64_t>(), [](int64_t v) { return json(v); }),
        rc::gen::map(rc::gen::container<std::string>(rc::gen::inRange('a', 'z')),
                     [](std::string v) { return json(v); }),
        rc::gen::map(rc::gen::arbitrary<std::vector<uint8_t>>(),
                     [](std::vector<uint8_t> v) { return json::binary(v); }),
        rc::gen::just(json(true)), rc::gen::just(json(nullptr)), rc::gen::just(json(0.25)));
  return rc::gen::oneOf(
      AnyJson(0),
      rc::gen::map(rc::gen::resize(4, rc::gen::container<std::vector<json>>(AnyJson(depth - 1))),
                   [](std::vector<json> v) { return json(v); }),
      rc::gen::map(AnyJson(depth - 1), [](json v) {
        return json{{"key", v}};
      }));
}

RC_GTEST_PROP(SocketPacket, BothParsersReadBackWhatTheyWrite, ()) {
  Packet packet;
  packet.nsp = *rc::gen::element<std::string>("/", "/custom");
  if (*rc::gen::arbitrary<bool>()) packet.id = *rc::gen::inRange<uint64_t>(0, 1u << 30);
  packet.data = json::array({"event", *AnyJson(3), *AnyJson(2)});
  for (Parser parser : {Parser::kDefault, Parser::kMsgpack}) {
    Decoder decoder(parser, 1 << 20);
    Packet read;
    Status status = Status::kMore;
    for (const OutPacket& message : Encode(packet, parser)) {
      RC_ASSERT(status == Status::kMore);
      status =
          decoder.Feed({engineio::PacketType::kMessage, message.binary, DataOf(message)}, &read);
    }
    RC_ASSERT(status == Status::kPacket);
    RC_ASSERT(read.nsp == packet.nsp);
    RC_ASSERT(read.id == packet.id);
    RC_ASSERT(read.data == packet.data);
  }
}

// ------------------------------------------------------------------------------------------------

struct Wire final : engineio::SocketLink {
  std::vector<std::string> frames;
  bool closed = false;
  void Send(Pieces frame) override {
    const std::string bytes = Flatten(frame);
    const size_t head = (bytes[1] & 0x7f) == 126 ? 4 : 2;
    frames.push_back(bytes.substr(head));
  }
  size_t unsent() const override { return 0; }
  void Close(int, std::string_view) override { closed = true; }
  void Drop(int, std::string_view) override { closed = true; }
};

// A client of the echo application over a WebSocket.
class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    engineio::EngineOptions engine;
    session_ = std::make_shared<engineio::Session>("SID", engine, loop_.NowMs());
    ClientOptions options;
    options.connect_timeout_ms = 1000;
    auto request = OwnedRequest::Copy("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    session_->SetUser(
        MakeClient({loop_, session_, *request}, options, Parser::kDefault, SocketEcho()));
    session_->Open(wire_);
    wire_->frames.clear();
  }
  void Say(const std::string& text) {
    session_->OnSocketMessage(wire_.get(), false, text);
    loop_.Run();
  }
  std::vector<std::string> Heard() { return std::exchange(wire_->frames, {}); }
  void Connect() {
    Say("40");
    Heard();
  }

  FakeLoop loop_;
  std::shared_ptr<engineio::Session> session_;
  std::shared_ptr<Wire> wire_ = std::make_shared<Wire>();
};

using Frames = std::vector<std::string>;

TEST_F(ClientTest, ConnectsToNamespaces) {
  Say("40");
  auto heard = Heard();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].substr(0, 2), "40");
  json answer = json::parse(heard[0].substr(2));
  EXPECT_EQ(answer.size(), 1u) << "no pid: connection state recovery is not offered";
  EXPECT_TRUE(answer["sid"].is_string());
  EXPECT_EQ(heard[1], "42[\"auth\",{}]");
  Say("40/custom,{\"token\":\"abc\"}");
  heard = Heard();
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0].substr(0, 10), "40/custom,");
  EXPECT_EQ(heard[1], "42/custom,[\"auth\",{\"token\":\"abc\"}]");
}

TEST_F(ClientTest, UnknownNamespacesAreRefusedNotFatal) {
  Say("40/random");
  EXPECT_EQ(Heard(), Frames{"44/random,{\"message\":\"Invalid namespace\"}"});
  Connect();
  Say("42[\"message\",1]");
  EXPECT_EQ(Heard(), Frames{"42[\"message-back\",1]"});
}

TEST_F(ClientTest, ConnectionsThatNeverConnectAreClosed) {
  loop_.Advance(990);
  EXPECT_FALSE(wire_->closed);
  loop_.Advance(20);
  EXPECT_TRUE(wire_->closed);
}

TEST_F(ClientTest, ConnectedOnesStay) {
  Connect();
  loop_.Advance(5000);
  EXPECT_FALSE(wire_->closed);
}

TEST_F(ClientTest, EventsAcksAndAttachments) {
  Connect();
  Say("42[\"message\",1,\"2\",{\"3\":[true]}]");
  EXPECT_EQ(Heard(), Frames{"42[\"message-back\",1,\"2\",{\"3\":[true]}]"});
  Say("42456[\"message-with-ack\",1,\"2\",{\"3\":[false]}]");
  EXPECT_EQ(Heard(), Frames{"43456[1,\"2\",{\"3\":[false]}]"});
  Say("452-789[\"message-with-ack\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,"
      "\"num\":1}]");
  EXPECT_EQ(Heard(), Frames{});
  session_->OnSocketMessage(wire_.get(), true, "\x01\x02\x03");
  session_->OnSocketMessage(wire_.get(), true, "\x04\x05\x06");
  EXPECT_EQ(Heard(),
            (Frames{"462-789[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
                    "\x01\x02\x03", "\x04\x05\x06"}));
}

TEST_F(ClientTest, LeavingANamespaceLeavesTheOthers) {
  Connect();
  Say("40/custom");
  Heard();
  Say("41/custom");
  Say("42/custom,[\"message\",1]");
  Say("42[\"message\",\"still here\"]");
  EXPECT_EQ(Heard(), Frames{"42[\"message-back\",\"still here\"]"});
  Say("41");
  EXPECT_FALSE(wire_->closed);
}

TEST_F(ClientTest, MalformedPacketsCloseTheConnection) {
  for (const char* bad : {"4abc", "42{}", "42abc[\"message-with-ack\",1]", "40"}) {
    SetUp();
    wire_->closed = false;
    Connect();
    Say(bad);
    EXPECT_TRUE(wire_->closed) << bad;
  }
}

TEST_F(ClientTest, EventsBeforeConnectingCloseTheConnection) {
  Say("42[\"message\",1]");
  EXPECT_TRUE(wire_->closed);
}

}  // namespace
}  // namespace zn::server::socketio
