// Every rule of the Engine.IO protocol (revision 4) that does not need a socket.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "http/websocket.h"
#include "socketio/engineio_session.h"

namespace zn::server::engineio {
namespace {

std::string TextOf(const Pieces& pieces) { return Flatten(pieces); }
std::string DataOf(const OutPacket& packet) { return Flatten({packet.data}); }

TEST(EnginePacket, PayloadsAreTheProtocolsExample) {
  auto packets = DecodePayload(
      "4hello\x1e"
      "2\x1e"
      "4world\x1e"
      "bAQIDBA==");
  ASSERT_TRUE(packets);
  ASSERT_EQ(packets->size(), 4u);
  EXPECT_EQ((*packets)[0], (Packet{PacketType::kMessage, false, "hello"}));
  EXPECT_EQ((*packets)[1], (Packet{PacketType::kPing, false, ""}));
  EXPECT_EQ((*packets)[3], (Packet{PacketType::kMessage, true, "\x01\x02\x03\x04"}));
  std::deque<OutPacket> queue{MakeMessage(false, "hello"), TextPacket(PacketType::kPing),
                              MakeMessage(true, "\x01\x02\x03\x04")};
  EXPECT_EQ(TakePayload(&queue, 1000),
            "4hello\x1e"
            "2\x1e"
            "bAQIDBA==");
}

TEST(EnginePacket, RefusesWhatIsNone) {
  for (const char* bad : {"", "abc", "7", "4a\x1e",
                          "\x1e"
                          "4a",
                          "bA", "b!!!!", "4\xff"})
    EXPECT_FALSE(DecodePayload(bad)) << bad;
  std::string sixteen = "4";
  for (int i = 1; i < 16; ++i)
    sixteen +=
        "\x1e"
        "4";
  EXPECT_TRUE(DecodePayload(sixteen));
  EXPECT_FALSE(DecodePayload(sixteen + "\x1e"
                                       "4"))
      << "more than a payload may have";
}

TEST(EnginePacket, PayloadsAreBoundedInPacketsAndBytes) {
  std::deque<OutPacket> queue;
  for (int i = 0; i < 20; ++i) queue.push_back(MakeMessage(false, "x"));
  EXPECT_EQ(DecodePayload(TakePayload(&queue, 1000))->size(), 16u);
  EXPECT_EQ(queue.size(), 4u);
  EXPECT_EQ(TakePayload(&queue, 5),
            "4x\x1e"
            "4x");
  queue = {MakeMessage(false, "longer than allowed")};
  EXPECT_EQ(TakePayload(&queue, 5), "4longer than allowed") << "one always goes, or nothing would";
}

TEST(EnginePacket, FramesMadeBeforehandHoldTheirMessage) {
  for (size_t n : {0u, 1u, 124u, 125u, 126u, 65534u, 65535u, 65536u, 70000u})
    for (bool binary : {false, true}) {
      const std::string data(n, 'x');
      const OutPacket made = MakeMessage(binary, data);
      const OutPacket found = MessageOf(made.frame);
      EXPECT_EQ(DataOf(found), data);
      EXPECT_EQ(found.binary, binary);
      OutPacket plain{PacketType::kMessage, binary, BufferOf(data), {}};
      EXPECT_EQ(TextOf(FrameOf(made)), TextOf(FrameOf(plain))) << n;
      EXPECT_EQ(EncodePacket(made), EncodePacket(plain));
    }
}

RC_GTEST_PROP(EnginePacket, AnythingSentIsReadBack, (const std::vector<std::string>& texts)) {
  std::deque<OutPacket> queue;
  for (const std::string& text : texts) queue.push_back(MakeMessage(true, text));
  std::vector<std::string> read;
  while (!queue.empty()) {
    auto packets = DecodePayload(TakePayload(&queue, 100));
    RC_ASSERT(packets.has_value());
    for (Packet& packet : *packets) read.push_back(packet.data);
  }
  RC_ASSERT(read == texts);
}

// ------------------------------------------------------------------------------------------------

struct Poll final : PollReply {
  int status = 0;
  std::string body;
  void Answer(int s, std::string b) override {
    EXPECT_EQ(status, 0) << "answered twice";
    status = s;
    body = std::move(b);
  }
};

struct FakeSocket final : SocketLink {
  std::vector<std::string> frames;
  int closed = 0;
  std::string reason;
  bool dropped = false;
  size_t waiting = 0;
  void Send(Pieces frame) override {
    const std::string bytes = TextOf(frame);
    frames.push_back(bytes.substr(2));  // short ones only
  }
  size_t unsent() const override { return waiting; }
  void Close(int code, std::string_view why) override {
    if (closed == 0) closed = code, reason = why;
  }
  void Drop(int code, std::string_view why) override {
    dropped = true;
    Close(code, why);
  }
};

struct Echo final : SessionUser {
  Session* session = nullptr;
  std::string closed;
  void OnMessage(Packet message) override {
    session->Send(MakeMessage(message.binary, message.data));
  }
  void OnClose(std::string_view reason) override {
    EXPECT_EQ(closed, "") << "closed twice";
    closed = reason;
  }
};

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.ping_interval_ms = 300;
    options_.ping_timeout_ms = 200;
    options_.upgrade_timeout_ms = 1000;
    session_ = std::make_unique<Session>("SID", options_, now_);
    user_ = std::make_shared<Echo>();
    user_->session = session_.get();
    session_->SetUser(user_);
  }
  std::shared_ptr<Poll> StartPoll() {
    auto poll = std::make_shared<Poll>();
    session_->OnPoll(poll);
    return poll;
  }
  std::shared_ptr<FakeSocket> Upgrade() {
    auto socket = std::make_shared<FakeSocket>();
    EXPECT_TRUE(session_->Probe(socket));
    session_->OnSocketMessage(socket.get(), false, "2probe");
    session_->OnSocketMessage(socket.get(), false, "5");
    return socket;
  }
  void Advance(int64_t ms) {
    const int64_t until = now_ + ms;
    while (now_ < until) (void)session_->Tick(now_ += 10);
  }

  EngineOptions options_;
  int64_t now_ = 5000;
  std::unique_ptr<Session> session_;
  std::shared_ptr<Echo> user_;
};

TEST_F(SessionTest, HandshakeSaysWhatTheClientNeeds) {
  EXPECT_EQ(nlohmann::json::parse(session_->Handshake(true)),
            (nlohmann::json{{"sid", "SID"},
                            {"upgrades", {"websocket"}},
                            {"pingInterval", 300},
                            {"pingTimeout", 200},
                            {"maxPayload", 1000000}}));
  EXPECT_EQ(nlohmann::json::parse(session_->Handshake(false))["upgrades"], nlohmann::json::array());
}

TEST_F(SessionTest, PollsTakeWhatWaitsOrWaitThemselves) {
  EXPECT_EQ(session_->OnPost("4a\x1e"
                             "4b\x1e"
                             "bAQIDBA=="),
            200);
  auto first = StartPoll();
  EXPECT_EQ(first->body,
            "4a\x1e"
            "4b\x1e"
            "bAQIDBA==");
  auto second = StartPoll();
  EXPECT_EQ(second->status, 0) << "nothing to say yet";
  EXPECT_EQ(session_->OnPost("4c"), 200);
  EXPECT_EQ(second->body, "4c");
}

TEST_F(SessionTest, TwoPollsAtATimeEndTheSession) {
  auto first = StartPoll(), second = StartPoll();
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "1");
  EXPECT_EQ(second->status, 400);
  EXPECT_TRUE(session_->closed());
}

TEST_F(SessionTest, MalformedPostsEndTheSession) {
  EXPECT_EQ(session_->OnPost("abc"), 400);
  EXPECT_EQ(user_->closed, "parse error");
  EXPECT_EQ(StartPoll()->status, 400);
}

TEST_F(SessionTest, PostsBeyondThePayloadLimitAreRefused) {
  EXPECT_EQ(session_->OnPost("4" + std::string(options_.max_payload, 'x')), 413);
  EXPECT_TRUE(session_->closed());
}

TEST_F(SessionTest, ClosingEndsTheWaitingPoll) {
  auto poll = StartPoll();
  EXPECT_EQ(session_->OnPost("1"), 200);
  EXPECT_EQ(poll->body, "6");
  EXPECT_EQ(user_->closed, "transport close");
}

TEST_F(SessionTest, TheServersClosingReachesThePoll) {
  auto poll = StartPoll();
  session_->Close("server shutting down");
  EXPECT_EQ(poll->body, "1");
  EXPECT_EQ(user_->closed, "server shutting down");
}

TEST_F(SessionTest, PingsAndEndsWithoutPong) {
  auto poll = StartPoll();
  Advance(290);
  EXPECT_EQ(poll->status, 0);
  Advance(20);
  EXPECT_EQ(poll->body, "2");
  EXPECT_EQ(session_->OnPost("3"), 200);
  poll = StartPoll();
  Advance(320);
  EXPECT_EQ(poll->body, "2") << "again, an interval after the pong";
  Advance(150);
  EXPECT_FALSE(session_->closed());
  Advance(60);
  EXPECT_EQ(user_->closed, "ping timeout");
  EXPECT_EQ(session_->OnPost("3"), 400);
}

TEST_F(SessionTest, AClientThatGivesItsPollUpIsGone) {
  auto poll = StartPoll();
  session_->OnPollGone(poll.get());
  EXPECT_EQ(user_->closed, "transport close");
}

TEST_F(SessionTest, UpgradesFromPollingToWebSocket) {
  auto poll = StartPoll();
  auto socket = std::make_shared<FakeSocket>();
  ASSERT_TRUE(session_->Probe(socket));
  session_->OnSocketMessage(socket.get(), false, "2probe");
  EXPECT_EQ(socket->frames, std::vector<std::string>{"3probe"});
  EXPECT_EQ(poll->body, "6") << "so that the client can pause polling";
  EXPECT_EQ(StartPoll()->body, "6") << "and any that it starts meanwhile";
  session_->Send(MakeMessage(false, "queued"));
  session_->OnSocketMessage(socket.get(), false, "5");
  session_->OnSocketMessage(socket.get(), false, "4hello");
  EXPECT_EQ(socket->frames, (std::vector<std::string>{"3probe", "4queued", "4hello"}));
  EXPECT_EQ(StartPoll()->status, 400);
  EXPECT_EQ(session_->OnPost("4x"), 400);
  EXPECT_FALSE(session_->closed()) << "strays on the old transport do not end it";
  EXPECT_FALSE(session_->Probe(std::make_shared<FakeSocket>()));
}

TEST_F(SessionTest, AProbeThatFailsLeavesPollingAsItWas) {
  auto socket = std::make_shared<FakeSocket>();
  ASSERT_TRUE(session_->Probe(socket));
  session_->OnSocketMessage(socket.get(), false, "5");  // without a probe
  EXPECT_NE(socket->closed, 0);
  EXPECT_EQ(session_->OnPost("4a"), 200);
  EXPECT_EQ(StartPoll()->body, "4a");
  socket = std::make_shared<FakeSocket>();
  ASSERT_TRUE(session_->Probe(socket)) << "and it may try again";
  session_->OnSocketMessage(socket.get(), false, "2probe");
  session_->OnSocketClosed(socket.get());
  auto poll = StartPoll();
  EXPECT_EQ(poll->status, 0) << "polls wait again";
}

TEST_F(SessionTest, AProbeIsNotKeptForEver) {
  options_.ping_interval_ms = 100000;
  session_ = std::make_unique<Session>("SID", options_, now_);
  session_->SetUser(user_);
  auto socket = std::make_shared<FakeSocket>();
  ASSERT_TRUE(session_->Probe(socket));
  session_->OnSocketMessage(socket.get(), false, "2probe");
  Advance(1010);
  EXPECT_NE(socket->closed, 0);
  EXPECT_FALSE(session_->closed());
}

TEST_F(SessionTest, WebSocketSessionsEndWithTheirSocket) {
  auto socket = std::make_shared<FakeSocket>();
  session_->Open(socket);
  ASSERT_EQ(socket->frames.size(), 1u);
  EXPECT_EQ(socket->frames[0][0], '0');
  session_->OnSocketMessage(socket.get(), true, std::string("\x01\x02", 2));
  EXPECT_EQ(socket->frames[1], std::string("\x01\x02", 2)) << "binary comes back as binary";
  session_->OnSocketClosed(socket.get());
  EXPECT_EQ(user_->closed, "transport close");
}

TEST_F(SessionTest, MalformedFramesCloseTheWebSocket) {
  auto socket = Upgrade();
  session_->OnSocketMessage(socket.get(), false, "abc");
  EXPECT_EQ(user_->closed, "parse error");
  EXPECT_NE(socket->closed, 0);
}

TEST_F(SessionTest, TheClientMayCloseAWebSocketSession) {
  auto socket = Upgrade();
  session_->OnSocketMessage(socket.get(), false, "1");
  EXPECT_EQ(user_->closed, "transport close");
  EXPECT_NE(socket->closed, 0);
}

TEST_F(SessionTest, SlowWebSocketsAreDroppedWithAReason) {
  options_.max_unsent = 1000;
  session_ = std::make_unique<Session>("SID", options_, now_);
  session_->SetUser(user_);
  auto socket = std::make_shared<FakeSocket>();
  session_->Open(socket);
  socket->waiting = 990;
  session_->Send(MakeMessage(false, "one too many"));
  EXPECT_TRUE(socket->dropped);
  EXPECT_EQ(socket->closed, websocket::kPolicy);
  EXPECT_EQ(socket->reason, "more than 1000 bytes waited to be read");
  EXPECT_EQ(user_->closed, "slow consumer");
  EXPECT_EQ(session_->dropped(), 1u);
}

TEST_F(SessionTest, PollersThatDoNotPollAreDroppedToo) {
  options_.max_unsent = 1000;
  session_ = std::make_unique<Session>("SID", options_, now_);
  session_->SetUser(user_);
  int sent = 0;
  while (!session_->closed() && sent < 100) {
    session_->Send(MakeMessage(false, "0123456789"));
    ++sent;
  }
  EXPECT_EQ(user_->closed, "slow consumer");
  EXPECT_LT(sent, 20);
}

}  // namespace
}  // namespace zn::server::engineio
