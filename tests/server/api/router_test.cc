#include "api/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <regex>
#include <set>

#include "api/test_store.h"
#include "log.h"
#include "source_dir.h"

namespace zn::server {
namespace {

using nlohmann::json;

/// The paths and methods of openapi.yaml, read by indentation: two blanks before a path, four
/// before a method.
std::set<std::string> DocumentedOperations() {
  std::ifstream file(std::string(ZN_SOURCE_DIR) + "/server/openapi.yaml");
  EXPECT_TRUE(file) << "server/openapi.yaml is missing";
  std::set<std::string> operations;
  std::string line, path;
  bool in_paths = false;
  while (std::getline(file, line)) {
    if (!line.empty() && line[0] != ' ') in_paths = line == "paths:";
    std::smatch match;
    if (!in_paths) continue;
    if (std::regex_match(line, match, std::regex("  (/\\S*):"))) path = match[1];
    if (std::regex_match(line, match, std::regex("    (get|post|put|patch|delete):")))
      operations.insert(match[1].str() + " " + path);
  }
  return operations;
}

std::string Verb(Method method) {
  switch (method) {
    case Method::kPost: return "post";
    case Method::kPut: return "put";
    case Method::kPatch: return "patch";
    case Method::kDelete: return "delete";
    default: return "get";
  }
}

TEST_F(ApiTest, OpenApiAndRoutesNameTheSameOperations) {
  std::set<std::string> routes;
  for (const Route& route : Routes())
    routes.insert(Verb(route.method) + " " + std::string(route.pattern));
  EXPECT_EQ(routes, DocumentedOperations());
}

TEST_F(ApiTest, EveryDocumentedPathAnswers) {
  const std::string commit = GetJson("/api/rooms/md")["commit"];
  ASSERT_EQ(Get("/api/rooms/md/locks/frame:0", "", "PUT").status, 200);
  ASSERT_EQ(Get("/api/rooms/md/state/settings/frame:0/k", "", "PUT", "{\"value\": 1}").status, 201);
  for (const Route& route : Routes()) {
    // Those that change something have tests of their own.
    if (route.method != Method::kGet && route.pattern != "/api/rooms/{room}/frames/select") continue;
    std::string path(route.pattern);
    path = std::regex_replace(path, std::regex("\\{scope\\}/\\{target\\}/\\{key\\}"), "settings/frame:0/k");
    path = std::regex_replace(path, std::regex("\\{target\\}"), "frame:0");
    path = std::regex_replace(path, std::regex("\\{room\\}"), "md");
    path = std::regex_replace(path, std::regex("\\{frame\\}"), "0");
    path = std::regex_replace(path, std::regex("\\{key\\}"), "md/zarr.json");
    if (path.find("{job}") != std::string::npos) continue;  // there is none
    if (path.find("/changes") != std::string::npos) path += "?since=" + commit;
    Reply reply = route.method == Method::kPost ? Get(path, "", "POST", "{}") : Get(path);
    EXPECT_EQ(reply.status, route.scope == Scope::kAdmin ? 403 : 200) << path;
  }
}

TEST_F(ApiTest, OtherMethodsAreRefusedNamingTheOnesThatWork) {
  for (const char* method : {"PUT", "DELETE", "PATCH", "POST", "BREW"}) {
    Reply reply = Get("/api/rooms/md/fields", "", method);
    EXPECT_EQ(reply.status, 405) << method;
    EXPECT_NE(reply.headers.find("Allow: GET, HEAD, OPTIONS\r\n"), std::string::npos)
        << reply.headers;
  }
  EXPECT_EQ(Get("/api/rooms/md/frames/0", "", "OPTIONS").status, 204);
  EXPECT_EQ(Get("/api/rooms/md/nothing").status, 404);
  EXPECT_EQ(Get("/api/rooms/md/frames/0/nothing", "", "PUT").status, 404);
}

TEST_F(ApiTest, RoomsComeInPages) {
  for (const char* name : {"a", "b", "c", "d"}) MakeRoom(name, Molecules({1}));
  Reply first = Get("/api/rooms?limit=2");
  EXPECT_EQ(json::parse(Flatten(first.body)).size(), 2u);
  EXPECT_NE(first.headers.find("Link: </api/rooms?limit=2&after=b>; rel=\"next\""),
            std::string::npos)
      << first.headers;
  json second = GetJson("/api/rooms?limit=2&after=b");
  EXPECT_EQ(second[0]["id"], "c");
  EXPECT_EQ(GetJson("/api/rooms?search=M")[0]["id"], "md");
  EXPECT_EQ(Get("/api/rooms?limit=0").status, 400);
}

TEST_F(ApiTest, HiddenRoomsAreListedWhenAskedFor) {
  RoomModel model;
  model.hidden = true;
  ASSERT_TRUE(room_->SetModel(model, {"tester", ""}));
  EXPECT_EQ(GetJson("/api/rooms"), json::array());
  EXPECT_EQ(GetJson("/api/rooms?hidden=true").size(), 1u);
}

TEST_F(ApiTest, CommitsComeNewestFirstAndInPages) {
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(room_->Append(Molecules({1}), {"tester", "step " + std::to_string(i)}));
  json all = GetJson("/api/rooms/md/commits");
  ASSERT_GE(all.size(), 4u);
  EXPECT_EQ(all[0]["message"], "step 2");
  json page = GetJson("/api/rooms/md/commits?limit=2&after=" + all[0]["commit"].get<std::string>());
  ASSERT_EQ(page.size(), 2u);
  EXPECT_EQ(page[0], all[1]);
  EXPECT_EQ(page[1], all[2]);
}

TEST_F(ApiTest, FieldsSayWhatTheyAre) {
  json fields = GetJson("/api/rooms/md/fields");
  ASSERT_EQ(fields.size(), 5u);
  EXPECT_EQ(fields[0]["name"], "arrays.positions");
  EXPECT_EQ(fields[0]["kind"], "atom");
  EXPECT_EQ(fields[0]["dtype"], "<f4");
  EXPECT_EQ(fields[0]["shape"], json{3});
  EXPECT_EQ(fields[3]["frames"], 2);
}

/// With a token of these scopes instead of nobody's.
class TokenTest : public ApiTest {
 protected:
  std::string With(const std::string& scopes) {
    auto token = CreateToken(*store_, "ann", *ParseScopes(scopes), 0, 1, "test");
    EXPECT_TRUE(token);
    return "Authorization: Bearer " + *token + "\r\n";
  }
};

TEST_F(TokenTest, RoomsThatACallerMayNotReadAreNotThere) {
  MakeRoom("secret", Molecules({1}));
  const std::string ann = With("md=read");
  EXPECT_EQ(Get("/api/rooms/md", ann).status, 200);
  Reply hidden = Get("/api/rooms/secret", ann), missing = Get("/api/rooms/secrets", ann);
  EXPECT_EQ(hidden.status, 404);
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(Flatten(missing.body).find("secret'?"), std::string::npos) << "a near miss tells of it";
  EXPECT_EQ(Get("/api/rooms/secret/frames/0?data=positions&format=npy", ann).status, 404);
  EXPECT_EQ(json::parse(Flatten(Get("/api/rooms", ann).body)).size(), 1u);
}

TEST_F(TokenTest, WhatATokenDoesNotAllowIsForbidden) {
  const std::string reader = With("md=read"), admin = With("admin"), md_admin = With("md=admin");
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0", reader, "PUT").status, 403);
  EXPECT_EQ(Get("/api/rooms/md/state/a/b/c", reader, "PUT", "{\"value\": 1}").status, 403);
  EXPECT_EQ(Get("/api/rooms/md/audit").status, 403);
  EXPECT_EQ(Get("/api/rooms/md/audit", md_admin).status, 200);
  EXPECT_EQ(Get("/api/tokens", md_admin).status, 403);
  EXPECT_EQ(Get("/api/tokens", admin).status, 200);
  EXPECT_EQ(Get("/api/rooms/md", "Authorization: Bearer nonsense\r\n").status, 401);
  EXPECT_EQ(Get("/api/rooms/md", "Authorization: Basic YTpi\r\n").status, 401);
  EXPECT_EQ(Get("/api/rooms/md", "X-Forwarded-For: 8.8.8.8\r\n").status, 401) << "a proxy on this machine is not its user";
  service_.options.read_only = true;
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0", admin, "PUT").status, 403);
  EXPECT_EQ(Get("/api/rooms/md/locks", admin).status, 200);
}

TEST_F(TokenTest, AnAdminMakesAndRevokesTokens) {
  const std::string admin = With("admin");
  const json made = json::parse(
      Flatten(Get("/api/tokens", admin, "POST", R"({"name": "ben", "scopes": "md=read", "expires_in": 60})").body));
  const std::string ben = "Authorization: Bearer " + made["token"].get<std::string>() + "\r\n";
  EXPECT_EQ(Get("/api/rooms/md", ben).status, 200);
  std::string id;
  for (const json& token : json::parse(Flatten(Get("/api/tokens", admin).body)))
    if (token["name"] == "ben") id = token["id"];
  EXPECT_EQ(Get("/api/tokens/" + id, admin, "DELETE").status, 200);
  EXPECT_EQ(Get("/api/rooms/md", ben).status, 401);
  EXPECT_EQ(Get("/api/tokens", admin, "POST", R"({"name": "x", "scopes": "everything"})").status, 400);
}

TEST_F(ApiTest, LocksFollowTheirFrame) {
  const json lock = json::parse(Flatten(Get("/api/rooms/md/locks/frame:1", "", "PUT", R"({"msg": {"why": "test"}})").body));
  EXPECT_EQ(lock["id"], 1);
  EXPECT_EQ(lock["version"], 1);
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:1", "", "PUT").status, 423);
  ASSERT_TRUE(room_->Delete(std::vector<FrameId>{0}, {}));
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:1").status, 404);
  const json now = GetJson("/api/rooms/md/locks/frame:0");
  EXPECT_EQ(now["id"], 1);
  EXPECT_EQ(now["msg"]["why"], "test");
  EXPECT_EQ(now.contains("lock_token"), false);
  const std::string token = "Lock-Token: " + lock["lock_token"].get<std::string>() + "\r\n";
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0", token, "POST", R"({"ttl_ms": 1000})").status, 200);
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0", "", "DELETE").status, 409);
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0?force=true", "", "DELETE").status, 403) << "that is an admin's";
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:0", token, "DELETE").status, 204);
  EXPECT_EQ(GetJson("/api/rooms/md/locks"), json::array());
  // A frame that is deleted takes its lock along.
  ASSERT_EQ(Get("/api/rooms/md/locks/frame:id:1", "", "PUT").status, 200);
  ASSERT_TRUE(room_->Delete(std::vector<FrameId>{1}, {}));
  EXPECT_EQ(GetJson("/api/rooms/md/locks"), json::array());
  EXPECT_EQ(Get("/api/rooms/md/locks/frame:9", "", "PUT").status, 404);
  EXPECT_EQ(Get("/api/rooms/md/locks/everything", "", "PUT").status, 400);
  EXPECT_EQ(Get("/api/rooms/md/locks/trajectory:meta", "", "PUT", R"({"ttl": 1})").status, 400);
}

TEST_F(ApiTest, RecordsOfAFrameFollowIt) {
  ASSERT_EQ(Get("/api/rooms/md/state/frame/1/label", "", "PUT", R"({"value": "good"})").status, 201);
  ASSERT_TRUE(room_->Insert(0, Molecules({1}), {}));
  const json list = GetJson("/api/rooms/md/state?scope=frame");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["target"], "2");
  EXPECT_EQ(list[0]["id"], 1);
  EXPECT_EQ(list[0]["value"], "good");
  EXPECT_EQ(list[0]["actor_id"], "anonymous");
  EXPECT_EQ(GetJson("/api/rooms/md/state?scope=frame&target=2").size(), 1u);
  EXPECT_EQ(GetJson("/api/rooms/md/state?scope=frame&target=1").size(), 0u);
  ASSERT_TRUE(room_->Delete(std::vector<FrameId>{1}, {}));
  EXPECT_EQ(GetJson("/api/rooms/md/state?scope=frame").size(), 0u);
  ASSERT_TRUE(store_->ForkRoom("md", {}, "fork", {}));
  EXPECT_EQ(GetJson("/api/rooms/fork/state"), json::array()) << "forks start without records";
}

TEST_F(ApiTest, RecordsChangeByTheirVersion) {
  const std::string path = "/api/rooms/md/state/settings/view/zoom";
  const std::string two = R"({"value": 2})";
  EXPECT_EQ(Get(path, "If-None-Match: *\r\n", "PUT", R"({"value": 1})").status, 201);
  EXPECT_EQ(Get(path, "If-None-Match: *\r\n", "PUT", two).status, 412);
  EXPECT_EQ(Get(path, "", "PUT", two).status, 428);
  EXPECT_EQ(Get(path, "If-Match: \"7\"\r\n", "PUT", two).status, 412);
  EXPECT_EQ(Get(path, "If-Match: 7\r\n", "PUT", two).status, 409);
  EXPECT_EQ(Get(path, "If-Match: \"1\"\r\n", "PUT", two).status, 200);
  EXPECT_EQ(Get(path + "?base_version=2", "", "PUT", R"({"value": 3})").status, 200);
  EXPECT_EQ(GetJson(path)["version"], 3);
  EXPECT_EQ(Get(path, "", "PUT", R"({"value": 4, "base_version": 3})").status, 200);
  EXPECT_EQ(Get(path + "?base_version=4", "", "DELETE").status, 200);
  EXPECT_EQ(Get(path).status, 404);
  EXPECT_EQ(Get("/api/rooms/md/state", "", "POST",
                R"([{"scope": "s", "target": "t", "key": "a", "value": 1, "base_version": 0},
                    {"op": "put", "scope": "s", "target": "t", "key": "b", "value": [1, 2]}])").status, 200);
  EXPECT_EQ(GetJson("/api/rooms/md/state?scope=s").size(), 2u);
  EXPECT_EQ(Get("/api/rooms/md/state", "", "POST", R"([{"op": "swap", "scope": "s", "target": "t", "key": "a"}])").status, 400);
  RoomModel locked;
  locked.locked = true;
  ASSERT_TRUE(room_->SetModel(locked, {}));
  EXPECT_EQ(Get("/api/rooms/md/state/s/t/c", "", "PUT", R"({"value": 1})").status, 403);
  EXPECT_EQ(GetJson("/api/rooms/md/state?scope=s").size(), 2u) << "reading goes on";
}

std::optional<Problem> Origin(const std::string& headers, const ApiOptions& options = {}) {
  Request request;
  std::string head = "GET / HTTP/1.1\r\n" + headers + "\r\n";
  EXPECT_EQ(ParseRequestHead(head, &request).status, 0);
  return CheckOrigin(options, request);
}

// A page on the internet whose name resolves to 127.0.0.1 would otherwise read the user's store.
TEST(CheckOrigin, OnlyLoopbackNamesAndWhatIsAllowed) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1:80", "127.1.2.3", "[::1]:5000", "LOCALHOST"})
    EXPECT_FALSE(Origin("Host: " + std::string(host) + "\r\n")) << host;
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                           "127.evil", "[::2]", "10.0.0.1"})
    EXPECT_TRUE(Origin("Host: " + std::string(host) + "\r\n")) << host;
  EXPECT_TRUE(Origin("Host: localhost:5000\r\nOrigin: http://evil.example\r\n"));
  EXPECT_TRUE(Origin("Host: localhost:5000\r\nOrigin: null\r\n"));
  EXPECT_FALSE(Origin("Host: localhost:5000\r\nOrigin: http://localhost:5000\r\n"));
  ApiOptions options;
  options.allowed_hosts = {"zn.example.org"};
  options.allowed_origins = {"https://app.example.org"};
  EXPECT_FALSE(Origin("Host: zn.example.org\r\nOrigin: https://app.example.org\r\n", options));
  EXPECT_TRUE(Origin("Host: zn.example.org\r\nOrigin: https://app.example.org.evil\r\n", options));
}

TEST(Redact, HidesTokensOfEverySpelling) {
  EXPECT_EQ(Redact("/a?token=secret&b=1"), "/a?token=...&b=1");
  EXPECT_EQ(Redact("/a?b=1&lock_token=secret"), "/a?b=1&lock_token=...");
  EXPECT_EQ(Redact("/a?%74oken=secret"), "/a?%74oken=...");
  EXPECT_EQ(Redact("/a?indices=0:10&data=x"), "/a?indices=0:10&data=x");
}

}  // namespace
}  // namespace zn::server
