#include "api/hot_path.h"

#include <gtest/gtest.h>

#include "api/test_store.h"

namespace zn::server {
namespace {

class HotPathTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    state_ = handler_->NewWorkerState();
  }

  /// What the hot path answers on the wire; "" when it leaves the request to the router.
  std::string Hot(const std::string& target, const std::string& headers = "",
                  const std::string& version = "1.1") {
    std::string head =
        "GET " + target + " HTTP/" + version + "\r\nHost: localhost\r\n" + headers + "\r\n";
    Request request;
    EXPECT_EQ(ParseRequestHead(head, &request).status, 0);
    request.local = true;
    Output out;
    InlineContext context{state_.get(), "DATE", request.keep_alive, &out};
    int status = handler_->TryInline(request, context);
    if (status == 0) {
      EXPECT_TRUE(out.empty()) << "it wrote something and gave up";
      return "";
    }
    return out.text();
  }

  /// The same by the router. Reading makes the rows resident.
  std::string Cold(const std::string& target, const std::string& headers = "") {
    std::string head = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
    Reply reply = Get(target, headers);
    Request request;
    EXPECT_EQ(ParseRequestHead(head, &request).status, 0);
    request.local = true;
    bool chunked = false;
    return FormatHead(request, reply, "DATE", true, &chunked) + Flatten(reply.body);
  }

  static std::multiset<std::string> Lines(const std::string& wire) {
    std::multiset<std::string> lines;
    size_t end = wire.find("\r\n\r\n");
    for (size_t at = 0; at < end;) {
      size_t next = wire.find("\r\n", at);
      lines.insert(wire.substr(at, next - at));
      at = next + 2;
    }
    lines.insert("body: " + wire.substr(end));
    return lines;
  }

  std::unique_ptr<WorkerState> state_;
};

// A client must not be able to tell which way its reply came.
TEST_F(HotPathTest, AnswersWhatTheRouterAnswers) {
  for (const char* query :
       {"data=positions", "data=positions&format=npy", "data=pos,cell", "keys=cell&array_keys=str",
        "data=arrays.numbers", "data=energy&format=msgpack"}) {
    std::string target = std::string("/api/rooms/md/frames/0?") + query;
    std::string cold = Cold(target);
    cold = Cold(target);
    std::string hot = Hot(target);
    ASSERT_NE(hot, "") << query << " is not resident";
    EXPECT_EQ(Lines(hot), Lines(cold)) << query;
    EXPECT_EQ(Lines(Hot(std::string("/data/md/frames/0?") + query)), Lines(cold)) << query;
  }
}

TEST_F(HotPathTest, LeavesEverythingElseToTheRouter) {
  Cold("/api/rooms/md/frames/0?data=positions");
  Cold("/api/rooms/md/frames/0?data=positions");
  ASSERT_NE(Hot("/api/rooms/md/frames/0?data=positions"), "");
  for (const char* target :
       {"/api/rooms/md/frames/4?data=positions", "/api/rooms/md/frames/-1?data=positions",
        "/api/rooms/md/frames/0", "/api/rooms/md/frames/0?data=name",
        "/api/rooms/md/frames/0?data=species:symbol", "/api/rooms/md/frames/0?data=nothing",
        "/api/rooms/md/frames/1?data=energy", "/api/rooms/md/frames/0?data=positions&format=json",
        "/api/rooms/md/frames/0?data=positions&atoms=0:1",
        "/api/rooms/none/frames/0?data=positions", "/api/rooms/md/frames/?data=positions",
        "/api/rooms/md/frames/0/versions", "/api/rooms/md/frames/00000000000000000000"})
    EXPECT_EQ(Hot(target), "") << target;
  for (const char* header :
       {"Range: bytes=0-1\r\n", "If-None-Match: *\r\n", "Origin: http://evil.example\r\n",
        "Accept: text/html\r\n", "Accept: application/json\r\n"})
    EXPECT_EQ(Hot("/api/rooms/md/frames/0?data=positions", header), "") << header;
}

TEST_F(HotPathTest, AForeignHostIsNotRememberedAsGood) {
  Cold("/api/rooms/md/frames/0?data=positions");
  Cold("/api/rooms/md/frames/0?data=positions");
  std::string head =
      "GET /api/rooms/md/frames/0?data=positions HTTP/1.1\r\nHost: evil.example\r\n\r\n";
  for (int i = 0; i < 2; ++i) {
    Request request;
    ASSERT_EQ(ParseRequestHead(head, &request).status, 0);
    Output out;
    EXPECT_EQ(handler_->TryInline(request, {state_.get(), "DATE", true, &out}), 0);
    Hot("/api/rooms/md/frames/0?data=positions");
  }
}

TEST_F(HotPathTest, SeesEveryCommitAtOnce) {
  const std::string target = "/api/rooms/md/frames/1?data=positions";
  Cold(target);
  Cold(target);
  std::string before = Hot(target);
  ASSERT_NE(before, "");
  for (int i = 1; i <= 5; ++i) {
    FrameBatch edit = Molecules({3}, static_cast<float>(1000 * i));
    edit.columns.resize(1);
    ASSERT_TRUE(room_->Edit(1, edit, {}, {"tester", ""}));
    std::string now = Hot(target);
    if (now.empty()) now = Cold(target);
    EXPECT_NE(now.find("Frame-Version: " + std::to_string(i + 1) + "\r\n"), std::string::npos);
  }
}

TEST_F(HotPathTest, ADeletedRoomIsGoneAndItsSuccessorIsAnother) {
  const std::string target = "/api/rooms/md/frames/0?data=cell";
  Cold(target);
  Cold(target);
  ASSERT_NE(Hot(target), "");
  room_.reset();
  ASSERT_TRUE(store_->DeleteRoom("md", {"tester", ""}));
  EXPECT_EQ(Hot(target), "");
  MakeRoom("md", Molecules({1}, 5000));
  std::string now = Hot("/api/rooms/md/frames/0?data=positions");
  if (now.empty()) now = Cold("/api/rooms/md/frames/0?data=positions");
  float x = 5000;
  EXPECT_NE(now.find(std::string(reinterpret_cast<const char*>(&x), 4)), std::string::npos);
}

TEST_F(HotPathTest, TellsOldClientsWhetherTheConnectionStays) {
  const std::string target = "/api/rooms/md/frames/0?data=cell";
  Cold(target);
  Cold(target);
  EXPECT_NE(Hot(target, "Connection: close\r\n").find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(Hot(target, "", "1.0").find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(Hot(target, "Connection: keep-alive\r\n", "1.0").find("Connection: keep-alive\r\n"),
            std::string::npos);
}

}  // namespace
}  // namespace zn::server
