#include "http/chunked.h"

#include <algorithm>
#include <cstdio>

namespace zn::server {

ChunkedDecoder::Status ChunkedDecoder::Feed(std::string_view* input, std::string* body) {
  while (!input->empty()) {
    char c = input->front();
    switch (state_) {
      case State::kSize: {
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        input->remove_prefix(1);
        if (digit >= 0) {
          if (++digits_ > 15) return Status::kBad;
          left_ = left_ * 16 + static_cast<uint64_t>(digit);
          if (left_ > limit_ - std::min<uint64_t>(limit_, total_)) return Status::kTooLarge;
        } else if (c == '\r' && digits_ > 0) {
          state_ = State::kSizeCr;
        } else {
          return Status::kBad;
        }
        break;
      }
      case State::kSizeCr:
        if (c != '\n') return Status::kBad;
        input->remove_prefix(1);
        state_ = left_ == 0 ? State::kTrailer : State::kData;
        break;
      case State::kData: {
        size_t n = static_cast<size_t>(std::min<uint64_t>(left_, input->size()));
        body->append(input->substr(0, n));
        total_ += n;
        input->remove_prefix(n);
        left_ -= n;
        if (left_ == 0) state_ = State::kDataCr;
        break;
      }
      case State::kDataCr:
        if (c != '\r') return Status::kBad;
        input->remove_prefix(1);
        state_ = State::kDataLf;
        break;
      case State::kDataLf:
        if (c != '\n') return Status::kBad;
        input->remove_prefix(1);
        digits_ = 0;
        state_ = State::kSize;
        break;
      case State::kTrailer:  // trailers are not taken
        if (c != '\r') return Status::kBad;
        input->remove_prefix(1);
        state_ = State::kTrailerLf;
        break;
      case State::kTrailerLf:
        if (c != '\n') return Status::kBad;
        input->remove_prefix(1);
        return Status::kDone;
    }
  }
  return Status::kMore;
}

std::string ChunkHeader(uint64_t size) {
  char text[24];
  int n = std::snprintf(text, sizeof text, "%llx\r\n", static_cast<unsigned long long>(size));
  return std::string(text, static_cast<size_t>(n));
}

}  // namespace zn::server
