#include "http/request.h"

#include <gtest/gtest.h>

namespace zn::server {
namespace {

HeadResult Parse(std::string_view head, Request* request) {
  return ParseRequestHead(head, request);
}

int StatusOf(std::string_view head) {
  Request request;
  return ParseRequestHead(head, &request).status;
}

TEST(RequestHead, ReadsWhatClientsSend) {
  Request request;
  std::string head =
      "GET /api/rooms/md/frames/7?data=positions HTTP/1.1\r\nHost: localhost:5000\r\nAccept: "
      "*/*\r\n"
      "If-None-Match: \"a\"\r\nX-Other:\t two words \r\n\r\n";
  const std::string received = head + "next";  // the request's views point into it
  HeadResult result = Parse(received, &request);
  ASSERT_EQ(result.status, 0) << result.reason;
  EXPECT_EQ(result.size, head.size());
  EXPECT_EQ(request.method, Method::kGet);
  EXPECT_EQ(request.path, "/api/rooms/md/frames/7");
  EXPECT_EQ(request.query, "data=positions");
  EXPECT_EQ(request.host, "localhost:5000");
  EXPECT_EQ(request.accept, "*/*");
  EXPECT_EQ(request.if_none_match, "\"a\"");
  EXPECT_TRUE(request.keep_alive);
  EXPECT_FALSE(request.has_body());
  ASSERT_NE(request.Find("x-other"), nullptr);
  EXPECT_EQ(*request.Find("x-other"), "two words");
  EXPECT_EQ(request.Find("x-none"), nullptr);
}

// A head arrives in pieces of any size: each prefix asks for more, none is refused and none is
// taken for the whole.
TEST(RequestHead, EveryPrefixOfAGoodHeadIsIncomplete) {
  std::string head =
      "\r\nPOST /api/rooms/x/frames/select?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nA: b "
      "c\r\n\r\n";
  for (size_t n = 0; n < head.size(); ++n) EXPECT_EQ(StatusOf(head.substr(0, n)), -1) << n;
  EXPECT_EQ(StatusOf(head), 0);
}

// Where a proxy in front and this server could disagree about the end of a request, a second one
// can be hidden.
TEST(RequestHead, RefusesWhatCanSmuggle) {
  const std::string line = "POST / HTTP/1.1\r\nHost: h\r\n";
  for (const char* headers : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: -5\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length:\r\n",
           "Content-Length: 99999999999999999999\r\n",
           "Content-Length : 5\r\n",
           "Transfer-Encoding : chunked\r\n",
           " Content-Length: 5\r\n",
           "A: b\r\n c\r\n",
           "A: b\r\n\tc\r\n",
           "A: b\nContent-Length: 5\r\n",
           "A: b\rContent-Length: 5\r\n",
           "A: b\x01\r\n",
           "A\x80: b\r\n",
           ": b\r\n",
           "A b\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Host: other\r\n",
           "Transfer-Encoding:\r\n\tchunked\r\n",
       })
    EXPECT_EQ(StatusOf(line + headers + "\r\n"), 400) << headers;
  EXPECT_EQ(StatusOf(line + "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501);
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(std::string_view("GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 39)), 400);
}

TEST(RequestHead, RefusesBrokenRequestLines) {
  for (const char* head :
       {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n", "GET /\r\n\r\n", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n", "GET / http/1.1\r\nHost: h\r\n\r\n"})
    EXPECT_EQ(StatusOf(head), 400) << head;
  EXPECT_EQ(StatusOf("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
}

TEST(RequestHead, BoundsTheNumberOfHeaders) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 63; ++i) head += "A: b\r\n";
  EXPECT_EQ(StatusOf(head + "\r\n"), 0);
  EXPECT_EQ(StatusOf(head + "A: b\r\n\r\n"), 431);
}

TEST(RequestHead, KnowsWhenToKeepTheConnection) {
  Request request;
  Parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", &request);
  EXPECT_FALSE(request.keep_alive);
  Parse("GET / HTTP/1.0\r\n\r\n", &request);
  EXPECT_FALSE(request.keep_alive);
  Parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &request);
  EXPECT_TRUE(request.keep_alive);
}

TEST(RequestHead, AbsoluteFormNamesTheHost) {
  Request request;
  ASSERT_EQ(
      Parse("GET http://evil.example/a?b HTTP/1.1\r\nHost: localhost\r\n\r\n", &request).status, 0);
  EXPECT_EQ(request.host, "evil.example");
  EXPECT_EQ(request.path, "/a");
  EXPECT_EQ(request.query, "b");
}

// Nothing of an earlier request may be seen in the next one on the same connection.
TEST(RequestHead, ForgetsTheRequestBefore) {
  Request request;
  Parse("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nRange: bytes=0-1\r\nOrigin: o\r\n\r\n",
        &request);
  ASSERT_EQ(Parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &request).status, 0);
  EXPECT_EQ(request.content_length, -1);
  EXPECT_TRUE(request.range.empty());
  EXPECT_TRUE(request.origin.empty());
  EXPECT_EQ(request.header_count, 1u);
}

}  // namespace
}  // namespace zn::server
