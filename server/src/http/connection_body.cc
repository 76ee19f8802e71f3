// Connection: bodies of requests.
#include <algorithm>

#include "http/connection.h"
#include "http/temp_file.h"

namespace zn::server {

namespace {
constexpr size_t kLargestRead = 64 << 10;
}  // namespace

// Each byte buys the next ones time, up to header_seconds ahead: so neither a pause nor a trickle holds the connection.
void Connection::PayForBody(size_t bytes) {
  const uint64_t rate = static_cast<uint64_t>(worker_.options.min_body_rate);
  const int64_t longest = worker_.now_ms + worker_.options.header_seconds * 1000;
  unpaid_bytes_ += bytes;
  const uint64_t bought_ms = rate > 0 ? unpaid_bytes_ * 1000 / rate : (bytes > 0 ? UINT32_MAX : 0);
  unpaid_bytes_ -= bought_ms * rate / 1000;
  deadline_ms_ = std::min(longest, deadline_ms_ + static_cast<int64_t>(bought_ms));
}

// `bytes` of a body are here and its client has not sent the rest.
void Connection::CountBody(size_t bytes) {
  worker_.bodies_in_memory += bytes - counted_body_;
  counted_body_ = bytes;
}

bool Connection::BeginBody() {
  const Request& request = request_->request;
  state_ = State::kBody;
  deadline_ms_ = worker_.now_ms + worker_.options.header_seconds * 1000;
  decoder_.reset();
  body_left_ = unpaid_bytes_ = 0;
  const uint64_t limit = std::min(worker_.options.max_body, worker_.handler->BodyLimit(request));
  small_body_ = limit <= worker_.options.small_body;
  keep_in_memory_ = small_body_ ? limit : worker_.options.memory_body;
  if (request.chunked) {
    decoder_ = std::make_unique<ChunkedDecoder>(limit);
  } else if (static_cast<uint64_t>(request.content_length) > limit) {
    refused_ = true;
    request_->body_too_large = true;  // whether 413 is the answer is the router's to say
    keep_alive_ = false;
    Dispatch();
    return false;
  } else {
    body_left_ = static_cast<uint64_t>(request.content_length);
    if (body_left_ > keep_in_memory_) {  // ask before it is sent
      Spool(false);
      return false;
    }
  }
  if (request.expect_continue && begin_ == end_) worker_.scratch.text().append("HTTP/1.1 100 Continue\r\n\r\n");
  return true;
}

Connection::BodyStep Connection::TakeBody() {
  const char* base = large_.empty() ? inline_.data() : large_.data();
  std::string_view input(base + begin_, end_ - begin_);
  PayForBody(input.size());
  bool done = false;
  if (!decoder_) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(body_left_, input.size()));
    request_->body.append(input.substr(0, n));
    begin_ += n;
    body_left_ -= n;
    done = body_left_ == 0;
  } else {
    const ChunkedDecoder::Status status = decoder_->Feed(&input, &request_->body);
    begin_ = end_ - input.size();
    if (status == ChunkedDecoder::Status::kTooLarge) {
      refused_ = request_->body_too_large = true;
      keep_alive_ = false;
      Dispatch();
      return BodyStep::kRefused;
    }
    if (status == ChunkedDecoder::Status::kBad) {
      Refuse(400, "bad chunked body");
      return BodyStep::kRefused;
    }
    done = status == ChunkedDecoder::Status::kDone;
  }
  if (done) return BodyStep::kDone;
  const size_t capacity = large_.empty() ? inline_.size() : large_.size();
  if (begin_ == end_ && end_ == capacity && capacity < kLargestRead) {  // it comes fast: read larger pieces
    large_.resize(std::min(4 * capacity, kLargestRead));
    begin_ = end_ = 0;
  }
  CountBody(request_->body.size());
  const uint64_t share = worker_.options.bodies_in_memory / worker_.shares;
  const bool spool = request_->body.size() > keep_in_memory_ || (worker_.bodies_in_memory > share && !request_->body.empty());
  return spool ? BodyStep::kSpool : BodyStep::kMore;
}

void Connection::Spool(bool last) {
  CountBody(0);
  state_ = State::kSpooling;
  deadline_ms_ = 0;
  auto bytes = std::make_shared<std::string>(std::move(request_->body));
  request_->body.clear();
  worker_.run_on_pool([self = shared_from_this(), request = request_, bytes, last, small = small_body_]() mutable {
    auto refusal = std::make_shared<std::optional<Reply>>();
    const auto store = [&]() -> Result<> {
      if (!request->spool) {
        if (!small) *refusal = self->worker_.handler->Refuse(*request);
        if (*refusal) return {};
        ZN_ASSIGN_OR_RETURN(request->spool, TempFile::Create(self->worker_.options.spool_folder));
      }
      ZN_RETURN_IF_ERROR(request->spool->Append(*bytes));
      if (last) {
        ZN_ASSIGN_OR_RETURN(request->spooled, TempFile::Map(request->spool));
        if (small) {  // its handler reads it from memory
          request->body.assign(reinterpret_cast<const char*>(request->spooled.data()), request->spooled.size());
          request->spooled = {};
        }
      }
      return {};
    };
    try {
      if (auto stored = store(); !stored) *refusal = Reply::Of(Problem(stored.error()), request->request.path);
    } catch (const std::exception& error) {
      *refusal = Reply::Of(Problem(500, "internal", error.what()), request->request.path);
    }
    PostBack(std::move(self), [refusal, last](Connection& c) { c.OnSpooled(std::move(*refusal), last); });
  });
  // Replies to requests before this one leave meanwhile.
  if (!worker_.scratch.empty()) Flush();
}

void Connection::OnSpooled(std::optional<Reply> refusal, bool last) {
  if (state_ == State::kClosed) return;
  if (refusal) {
    refused_ = true;
    keep_alive_ = false;
    state_ = State::kWorking;
    OnReply(Finish(request_->request, std::move(*refusal)));
    return;
  }
  if (last) {
    Dispatch();
    return;
  }
  state_ = State::kBody;
  deadline_ms_ = worker_.now_ms + worker_.options.header_seconds * 1000;
  const bool nothing_yet = request_->spool->size() == 0 && begin_ == end_;
  if (request_->request.expect_continue && nothing_yet)
    worker_.scratch.text().append("HTTP/1.1 100 Continue\r\n\r\n");
  if (!blocked_) Process();
}

}  // namespace zn::server
