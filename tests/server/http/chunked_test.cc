#include "http/chunked.h"

#include <gtest/gtest.h>

namespace zn::server {
namespace {

using Status = ChunkedDecoder::Status;

// Fed in pieces of `step` bytes, as a network may.
Status Decode(std::string_view input, size_t step, std::string* body, size_t limit = 1000) {
  ChunkedDecoder decoder(limit);
  Status status = Status::kMore;
  for (size_t i = 0; i < input.size() && status == Status::kMore; i += step) {
    std::string_view piece = input.substr(i, step);
    status = decoder.Feed(&piece, body);
  }
  return status;
}

TEST(ChunkedDecoder, JoinsChunksHoweverTheyArrive) {
  for (size_t step : {1, 2, 3, 7, 100}) {
    std::string body;
    EXPECT_EQ(Decode("4\r\nWiki\r\nA\r\npedia in \r\n\r\n", step, &body), Status::kBad)
        << "10 bytes, 9 sent";
    body.clear();
    EXPECT_EQ(Decode("4\r\nWiki\r\n9\r\npedia in \r\n0\r\n\r\n", step, &body), Status::kDone);
    EXPECT_EQ(body, "Wikipedia in ");
  }
}

TEST(ChunkedDecoder, LeavesTheNextRequestAlone) {
  ChunkedDecoder decoder(100);
  std::string_view input = "1\r\na\r\n0\r\n\r\nGET /";
  std::string body;
  EXPECT_EQ(decoder.Feed(&input, &body), Status::kDone);
  EXPECT_EQ(input, "GET /");
}

TEST(ChunkedDecoder, RefusesWhatProxiesReadDifferently) {
  for (const char* input :
       {"zz\r\n", "\r\n", "4;ext=1\r\nWiki\r\n0\r\n\r\n", "4\nWiki\r\n0\r\n\r\n", "4 \r\nWiki\r\n",
        "-4\r\n", "0x4\r\n", "4\r\nWikiX\r\n", "0\r\nTrailer: a\r\n\r\n", "1111111111111111\r\n"}) {
    std::string body;
    Status status = Decode(input, 100, &body);
    EXPECT_TRUE(status == Status::kBad || status == Status::kTooLarge) << input;
  }
}

TEST(ChunkedDecoder, StopsAtTheLimitBeforeReadingTheChunk) {
  std::string body;
  EXPECT_EQ(Decode("3e8\r\n", 100, &body), Status::kMore);
  EXPECT_EQ(Decode("3e9\r\n", 100, &body), Status::kTooLarge);
}

}  // namespace
}  // namespace zn::server
