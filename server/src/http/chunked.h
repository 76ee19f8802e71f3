// The chunked transfer coding: decoding of request bodies, framing of streamed replies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zn::server {

/// Decodes a chunked body as its bytes come. Strict: chunk lines are hex digits and CRLF;
/// extensions are refused.
class ChunkedDecoder {
 public:
  enum class Status { kMore, kDone, kBad, kTooLarge };

  explicit ChunkedDecoder(uint64_t limit) : limit_(limit) {}
  /// Takes from the front of `input` (what it used is removed) and appends the decoded bytes to
  /// `body`, which may be emptied between calls.
  Status Feed(std::string_view* input, std::string* body);

 private:
  enum class State { kSize, kSizeCr, kData, kDataCr, kDataLf, kTrailer, kTrailerLf };
  State state_ = State::kSize;
  uint64_t limit_;
  uint64_t left_ = 0;
  uint64_t total_ = 0;
  int digits_ = 0;
};

/// "1f40\r\n"
std::string ChunkHeader(uint64_t size);

}  // namespace zn::server
