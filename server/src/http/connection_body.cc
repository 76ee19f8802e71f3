// Connection: bodies of requests.
#include <algorithm>

#include "http/connection.h"
#include "http/temp_file.h"

namespace zn::server {

bool Connection::BeginBody() {
  const Request& request = request_->request;
  state_ = State::kBody;
  deadline_ms_ = worker_.now_ms + worker_.options.header_seconds * 1000;
  decoder_.reset();
  body_left_ = 0;
  const uint64_t limit = std::min(worker_.options.max_body, worker_.handler->BodyLimit(request));
  keep_in_memory_ = limit <= worker_.options.small_body ? limit : worker_.options.memory_body;
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
  deadline_ms_ = worker_.now_ms + worker_.options.header_seconds * 1000;
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
  if (large_.empty() && begin_ == end_) {  // read the rest in larger pieces
    const uint64_t rest = decoder_ ? keep_in_memory_ : body_left_;
    large_.resize(std::clamp<uint64_t>(rest, 4096, 64 << 10));
    begin_ = end_ = 0;
  }
  return request_->body.size() > keep_in_memory_ ? BodyStep::kSpool : BodyStep::kMore;
}

void Connection::Spool(bool last) {
  state_ = State::kSpooling;
  deadline_ms_ = 0;
  auto bytes = std::make_shared<std::string>(std::move(request_->body));
  request_->body.clear();
  worker_.run_on_pool([self = shared_from_this(), request = request_, bytes, last]() mutable {
    auto refusal = std::make_shared<std::optional<Reply>>();
    const auto store = [&]() -> Result<> {
      if (!request->spool) {
        *refusal = self->worker_.handler->Refuse(*request);
        if (*refusal) return {};
        ZN_ASSIGN_OR_RETURN(request->spool, TempFile::Create(self->worker_.options.spool_folder));
      }
      ZN_RETURN_IF_ERROR(request->spool->Append(*bytes));
      if (last) {
        ZN_ASSIGN_OR_RETURN(request->spooled, TempFile::Map(request->spool));
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
