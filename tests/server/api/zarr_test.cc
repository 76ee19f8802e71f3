// What readers of the Zarr view rely on over HTTP; the hierarchy itself is tested with the engine.
#include "api/zarr.h"

#include <gtest/gtest.h>

#include "api/test_store.h"

namespace zn::server {
namespace {

using nlohmann::json;

class ZarrTest : public ApiTest {
 protected:
  /// What an I/O thread answers at once; "" when it leaves the request to the pool.
  std::string Hot(const std::string& target, const std::string& headers = "") {
    if (!state_) state_ = handler_->NewWorkerState();
    std::string head = "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
    Request request;
    EXPECT_EQ(ParseRequestHead(head, &request).status, 0);
    request.local = true;
    Output out;
    int status = handler_->TryInline(request, {state_.get(), "DATE", request.keep_alive, &out});
    return status == 0 ? "" : out.text();
  }
  std::string Header(const Reply& reply, const std::string& name) {
    size_t at = reply.headers.find(name + ": ");
    if (at == std::string::npos) return "";
    at += name.size() + 2;
    return reply.headers.substr(at, reply.headers.find("\r\n", at) - at);
  }
  std::unique_ptr<WorkerState> state_;
};

TEST_F(ZarrTest, BothVersionsDescribeTheRoom) {
  json v3 = GetJson("/zarr/md/zarr.json");
  EXPECT_EQ(v3["zarr_format"], 3);
  EXPECT_EQ(v3["attributes"]["room"], "md");
  EXPECT_TRUE(v3["consolidated_metadata"]["metadata"].contains("arrays.positions"));
  EXPECT_EQ(GetJson("/zarr/md/.zgroup")["zarr_format"], 2);
  EXPECT_EQ(GetJson("/zarr/md/arrays.positions/.zarray")["shape"], json::parse("[4,5,3]"));
  EXPECT_EQ(GetJson("/zarr/md/arrays.positions/.zattrs")["aliases"],
            json::parse(R"(["positions","pos"])"));
  EXPECT_EQ(Get("/zarr-sharded/md/.zgroup").status, 404);
  EXPECT_EQ(GetJson("/zarr-sharded/md/arrays.positions/zarr.json")["codecs"][0]["name"],
            "sharding_indexed");
}

TEST_F(ZarrTest, TheRootListsVisibleRooms) {
  auto hidden = MakeRoom("hidden", Molecules({1}));
  RoomModel model;
  model.hidden = true;
  ASSERT_TRUE(hidden->SetModel(model, {"tester", ""}));
  EXPECT_EQ(GetJson("/zarr/.zattrs")["rooms"], json{"md"});
  EXPECT_EQ(GetJson("/zarr/zarr.json")["attributes"]["rooms"], json{"md"});
  const std::string listing = Flatten(Get("/zarr/").body);
  EXPECT_NE(listing.find("<a href=\"/zarr/md/\">"), std::string::npos);
  EXPECT_EQ(listing.find("hidden"), std::string::npos);
  EXPECT_NE(Flatten(Get("/zarr/md/").body).find("<a href=\"/zarr/md/arrays.positions/\">"),
            std::string::npos);
}

TEST_F(ZarrTest, MissingKeysAre404) {
  for (const char* target :
       {"/zarr/.zmetadata", "/zarr/none/zarr.json", "/zarr/md/nothing",
        "/zarr/md/arrays.positions/1.0.0", "/zarr/md/arrays.positions/0",
        "/zarr/md/arrays.positions", "/zarr/md@1-0000000000000000/zarr.json"}) {
    Reply reply = Get(target);
    EXPECT_EQ(reply.status, 404) << target;
    EXPECT_EQ(reply.content_type, "application/problem+json") << target;
  }
  EXPECT_EQ(Get("/zarr/md@x/zarr.json").status, 400);
  EXPECT_EQ(Get("/zarr/md/zarr.json?x=1").status, 400);
}

TEST_F(ZarrTest, CommitsStayAsTheyWere) {
  const std::string commit = room_->Head().commit().ToString();
  const std::string pinned = "/zarr/md@" + commit + "/arrays.positions/0.0.0";
  Reply before = Get(pinned);
  EXPECT_NE(Header(before, "Cache-Control").find("immutable"), std::string::npos);
  Reply head = Get("/zarr/md/arrays.positions/0.0.0");
  EXPECT_EQ(Header(head, "Cache-Control"), "no-cache");
  EXPECT_EQ(Header(head, "ETag"), Header(before, "ETag"));
  ASSERT_TRUE(room_->Insert(0, Molecules({3}, 7), {"tester", ""}));
  EXPECT_EQ(Flatten(Get(pinned).body), Flatten(before.body));
  Reply after = Get("/zarr/md/arrays.positions/0.0.0");
  EXPECT_NE(Header(after, "ETag"), Header(head, "ETag"));
  EXPECT_EQ(
      Get("/zarr/md/arrays.positions/0.0.0", "If-None-Match: " + Header(after, "ETag") + "\r\n")
          .status,
      304);
  EXPECT_EQ(
      Get("/zarr/md/arrays.positions/0.0.0", "If-None-Match: " + Header(head, "ETag") + "\r\n")
          .status,
      200);
}

TEST_F(ZarrTest, ReadyBytesAreAnsweredOnTheIoThread) {
  const std::string target = "/zarr/md/arrays.positions/0.0.0";
  EXPECT_EQ(Hot(target), "") << "nobody has read it";
  Reply cold = Get(target);
  const std::string hot = Hot(target);
  ASSERT_NE(hot, "");
  EXPECT_NE(hot.find(Flatten(cold.body)), std::string::npos);
  EXPECT_NE(hot.find("ETag: " + Header(cold, "ETag") + "\r\n"), std::string::npos);
  EXPECT_NE(Hot("/zarr/md/.zgroup"), "");
  for (const char* left :
       {"/zarr/md/", "/zarr/md/none/0", "/zarr/none/.zgroup", "/zarr/.zgroup",
        "/zarr/md/arrays.positions/0.0.0?x=1", "/zarr/md/arrays.positions/9.0.0"})
    EXPECT_EQ(Hot(left), "") << left;
  EXPECT_EQ(Hot(target, "Range: bytes=0-1\r\n"), "");
  EXPECT_EQ(Hot(target, "Origin: http://evil.example\r\n"), "");
  // After a commit the old bytes must not be served.
  ASSERT_TRUE(room_->Insert(0, Molecules({3}, 7), {"tester", ""}));
  EXPECT_EQ(Hot(target), "");
}

TEST_F(ZarrTest, FieldsWithOddNamesAreFoundByEitherName) {
  FrameBatch batch = Molecules({1});
  batch.columns.resize(3);
  batch.columns[2].name = "info.a b/ü";
  MakeRoom("odd", batch);
  const json escaped = GetJson("/zarr/odd/info.a~20b~2F~C3~BC/.zarray");
  EXPECT_EQ(escaped["zarr_format"], 2);
  EXPECT_EQ(Get("/zarr/odd/info.a%20b/.zarray").status, 404);
  batch.columns[2].name = "info.a ü";
  MakeRoom("odd2", batch);
  EXPECT_EQ(GetJson("/zarr/odd2/info.a%20%C3%BC/.zarray")["zarr_format"], 2);
}

TEST_F(ZarrTest, ShardsAnswerRangesAsTheWholeWould) {
  const std::string target = "/zarr-sharded/md/arrays.positions/0.0.0";
  const std::string whole = Flatten(Get(target).body);
  ASSERT_GT(whole.size(), 100u);
  Reply head = Get(target, "", "HEAD");
  EXPECT_EQ(Header(head, "ETag"), Header(Get(target), "ETag"));
  EXPECT_EQ(Flatten(Get(target, "Range: bytes=-20\r\n").body), whole.substr(whole.size() - 20));
  EXPECT_EQ(Flatten(Get(target, "Range: bytes=5-50\r\n").body), whole.substr(5, 46));
}

}  // namespace
}  // namespace zn::server
