// Request heads and chunked bodies. A head that is taken must be taken in the same way when it
// arrives byte by byte, and must hold nothing that ends it earlier for somebody else.
#include <cstdlib>

#include "http/chunked.h"
#include "http/request.h"

namespace {
void Check(bool good) {
  if (!good) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using zn::server::HeadResult;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  zn::server::Request request;
  HeadResult head = zn::server::ParseRequestHead(text, &request);
  Check(head.status == -1 || head.status == 0 || (head.status >= 400 && head.status < 600));
  if (head.status == 0) {
    Check(head.size <= size && text.substr(head.size - 4, 4) == "\r\n\r\n");
    Check(!(request.chunked && request.content_length >= 0));
    std::string_view taken = text.substr(0, head.size);
    for (size_t i = 0; i < taken.size(); ++i) {
      if (taken[i] == '\n') Check(i > 0 && taken[i - 1] == '\r');
      if (taken[i] == '\r') Check(i + 1 < taken.size() && taken[i + 1] == '\n');
      Check(taken[i] != '\0');
    }
    // Some of the prefixes, other ones for each input: all of them take the square of its size.
    for (size_t n = static_cast<unsigned char>(text[size - 1]) % 32; n < head.size; n += 32) {
      zn::server::Request part;
      Check(zn::server::ParseRequestHead(taken.substr(0, n), &part).status == -1);
    }
  }

  constexpr size_t kLimit = 4096;
  zn::server::ChunkedDecoder whole(kLimit), bytewise(kLimit);
  std::string body, body_bytewise;
  std::string_view input = text;
  auto status = whole.Feed(&input, &body);
  auto status_bytewise = zn::server::ChunkedDecoder::Status::kMore;
  for (size_t i = 0; i < size && status_bytewise == zn::server::ChunkedDecoder::Status::kMore;
       ++i) {
    std::string_view one = text.substr(i, 1);
    status_bytewise = bytewise.Feed(&one, &body_bytewise);
  }
  Check(status == status_bytewise && body == body_bytewise && body.size() <= kLimit);
  return 0;
}
