#include "http/reply.h"

#include <gtest/gtest.h>

#include "http/compress.h"

namespace zn::server {
namespace {

Request RequestOf(std::string_view head) {
  Request request;
  EXPECT_EQ(ParseRequestHead(head, &request).status, 0);
  return request;
}

Reply TenBytes() {
  Reply reply;
  reply.content_type = "application/x-npy";
  reply.accept_ranges = true;
  reply.etag = "1.2.3-tag";
  reply.body = {BufferOf("01234"), BufferOf("56789")};
  return reply;
}

struct RangeCase {
  const char* header;
  int status;
  const char* body;
};

TEST(Finish, CutsRangesAsDownloadersAskForThem) {
  for (const RangeCase& c :
       {RangeCase{"bytes=0-0", 206, "0"}, RangeCase{"bytes=3-6", 206, "3456"},
        RangeCase{"bytes=8-", 206, "89"}, RangeCase{"bytes=-3", 206, "789"},
        RangeCase{"bytes=-30", 206, "0123456789"}, RangeCase{"bytes=5-99", 206, "56789"},
        RangeCase{"bytes=6-5", 200, "0123456789"}, RangeCase{"bytes=0-1,4-5", 200, "0123456789"},
        RangeCase{"lines=0-1", 200, "0123456789"}, RangeCase{"bytes=", 200, "0123456789"}}) {
    std::string head = std::string("GET / HTTP/1.1\r\nHost: h\r\nRange: ") + c.header + "\r\n\r\n";
    Reply reply = Finish(RequestOf(head), TenBytes());
    EXPECT_EQ(reply.status, c.status) << c.header;
    EXPECT_EQ(Flatten(reply.body), c.body) << c.header;
  }
  for (const char* header : {"bytes=10-", "bytes=-0"}) {
    std::string head = std::string("GET / HTTP/1.1\r\nHost: h\r\nRange: ") + header + "\r\n\r\n";
    EXPECT_EQ(Finish(RequestOf(head), TenBytes()).status, 416) << header;
  }
}

TEST(Finish, AResumedDownloadOfOtherBytesStartsAgain) {
  Request request = RequestOf(
      "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Range: \"1.2.3-tagi\"\r\n\r\n");
  EXPECT_EQ(Finish(request, TenBytes()).status, 206);
  Reply changed = TenBytes();
  changed.etag = "1.2.4-tag";
  EXPECT_EQ(Finish(request, std::move(changed)).status, 200);
}

// Produces "0123456789" in pieces of three.
class Digits final : public BodyStream {
 public:
  std::optional<uint64_t> length() const override { return 10; }
  Result<bool> Next(Pieces* pieces) override {
    std::string all = "0123456789";
    pieces->push_back(BufferOf(all.substr(at_, 3)));
    at_ += 3;
    return at_ < all.size();
  }

 private:
  size_t at_ = 0;
};

TEST(Finish, RangesOfStreamsAreTheSameBytes) {
  for (size_t begin = 0; begin < 10; ++begin) {
    for (size_t end = begin; end < 10; ++end) {
      Reply reply;
      reply.accept_ranges = true;
      reply.stream = std::make_unique<Digits>();
      std::string head = "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=" + std::to_string(begin) +
                         "-" + std::to_string(end) + "\r\n\r\n";
      Reply done = Finish(RequestOf(head), std::move(reply));
      EXPECT_EQ(Flatten(done.body), std::string("0123456789").substr(begin, end - begin + 1));
    }
  }
}

TEST(NotModified, ComparesWhatStandsBeforeTheCoding) {
  auto matches = [](const char* value) {
    std::string head =
        std::string("GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: ") + value + "\r\n\r\n";
    return NotModified(RequestOf(head), "a.1.2-b");
  };
  EXPECT_TRUE(matches("\"a.1.2-bi\""));
  EXPECT_TRUE(matches("\"x\", W/\"a.1.2-bz\""));
  EXPECT_TRUE(matches("*"));
  EXPECT_FALSE(matches("\"a.1.3-bi\""));
  EXPECT_FALSE(matches("\"a.1.2-bx\""));
  EXPECT_FALSE(matches("a.1.2-bi"));
}

TEST(ChooseCoding, ObeysTheClientsWeights) {
  EXPECT_EQ(ChooseCoding("gzip, deflate"), Coding::kGzip);
  EXPECT_EQ(ChooseCoding("gzip, zstd"), Coding::kZstd);
  EXPECT_EQ(ChooseCoding("gzip, zstd;q=0.5"), Coding::kGzip);
  EXPECT_EQ(ChooseCoding("gzip;q=0, identity"), Coding::kIdentity);
  EXPECT_EQ(ChooseCoding("*"), Coding::kZstd);
  EXPECT_EQ(ChooseCoding("br"), Coding::kIdentity);
}

TEST(Finish, CompressesTextAndLeavesNoiseAlone) {
  std::string noise(20000, '\0');
  uint64_t state = 1;
  for (char& c : noise) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    c = static_cast<char>(state >> 56);
  }
  Request request = RequestOf("GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n");
  Reply text = Finish(request, Reply::Json(std::string(20000, 'a')));
  EXPECT_NE(text.headers.find("Content-Encoding: gzip"), std::string::npos);
  EXPECT_LT(TotalSize(text.body), 1000u);
  Reply random = Finish(request, Reply::Json(noise));
  EXPECT_EQ(random.headers.find("Content-Encoding"), std::string::npos);
  EXPECT_EQ(Flatten(random.body), noise);
}

TEST(Problem, EveryErrorCodeHasAStatus) {
  EXPECT_EQ(HttpStatus(ErrorCode::kNotFound), 404);
  EXPECT_EQ(HttpStatus(ErrorCode::kNoSpace), 507);
  EXPECT_EQ(HttpStatus(ErrorCode::kCorrupt), 500);
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code)
    EXPECT_NE(ReasonPhrase(HttpStatus(static_cast<ErrorCode>(code))), "Unknown");
}

TEST(Problem, TextThatIsNotUtf8StillMakesJson) {
  EXPECT_NE(Problem(404, "not-found", "\xff").ToJson("/\xfe").find("\"status\":404"),
            std::string::npos);
}

TEST(PieceWriter, JoinsNeighboursOfOneOwner) {
  Buffer whole = BufferOf(std::string(3 * PieceWriter::kCopyBelow, 'x'));
  PieceWriter writer;
  for (size_t i = 0; i < 3; ++i)
    writer.Pin(whole.Slice(i * PieceWriter::kCopyBelow, PieceWriter::kCopyBelow));
  Pieces pieces = writer.Take();
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].data(), whole.data());
  EXPECT_EQ(pieces[0].size(), whole.size());
}

}  // namespace
}  // namespace zn::server
