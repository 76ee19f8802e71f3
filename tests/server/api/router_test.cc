#include "api/router.h"

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>

#include "api/test_store.h"
#include "log.h"

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

TEST_F(ApiTest, OpenApiAndRoutesNameTheSameOperations) {
  std::set<std::string> routes;
  for (const Route& route : Routes())
    routes.insert((route.method == Method::kPost ? "post " : "get ") + std::string(route.pattern));
  EXPECT_EQ(routes, DocumentedOperations());
}

TEST_F(ApiTest, EveryDocumentedPathAnswers) {
  const std::string commit = GetJson("/api/rooms/md")["commit"];
  for (const std::string& operation : DocumentedOperations()) {
    size_t blank = operation.find(' ');
    std::string path = operation.substr(blank + 1);
    path = std::regex_replace(path, std::regex("\\{room\\}"), "md");
    path = std::regex_replace(path, std::regex("\\{frame\\}"), "0");
    if (path.find("/changes") != std::string::npos) path += "?since=" + commit;
    Reply reply = operation.substr(0, blank) == "post" ? Get(path, "", "POST", "{}") : Get(path);
    EXPECT_EQ(reply.status, 200) << operation;
  }
}

TEST_F(ApiTest, OtherMethodsAreRefusedNamingTheOnesThatWork) {
  for (const char* method : {"PUT", "DELETE", "PATCH", "POST", "BREW"}) {
    Reply reply = Get("/api/rooms/md/frames/0", "", method);
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
