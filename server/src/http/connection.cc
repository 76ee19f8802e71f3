#include "http/connection.h"

#include <cstring>
#include <exception>

namespace zn::server {

namespace {
constexpr size_t kFlushAt = 64 << 10;  // of pipelined inline replies
constexpr int64_t kLingerMs = 2000;
constexpr size_t kLingerBytes = 1 << 20;
constexpr int64_t kGiveWayMs = 2000;
}  // namespace

Connection::Connection(Worker& worker, tcp::socket socket)
    : worker_(worker), socket_(std::move(socket)) {
  place_ = worker_.connections.insert(worker_.connections.end(), this);
}

Connection::~Connection() {
  if (held_) held_->channel->Detach();
  worker_.connections.erase(place_);
  worker_.on_connection_closed();
}

void Connection::Start() {
  SystemError ignored;
  const auto peer = socket_.remote_endpoint(ignored);
  local_ = !ignored && peer.address().is_loopback();
  if (!ignored)
    peer_ = peer.address().is_v4() ? PeerAddress::V4(peer.address().to_v4().to_bytes())
                                   : PeerAddress{peer.address().to_v6().to_bytes()};
  AwaitHead(worker_.options.header_seconds);
  if (worker_.options.tls) {
    tls_ = worker_.options.tls->NewSession(socket_.native_handle());
    state_ = State::kHandshake;
    Handshake();
    return;
  }
  Read();
}

void Connection::TurnAwayAtOnce(const Problem& problem) {
  if (worker_.options.tls) {
    Close();
  } else {
    TurnAway(problem);
  }
}

void Connection::TurnAway(const Problem& problem) {
  Request nothing;
  bool chunked = false;
  const Reply reply = Reply::Of(problem, "");
  const std::string bytes = FormatHead(nothing, reply, worker_.date, false, &chunked) + Flatten(reply.body);
  SystemError ignored;
  socket_.write_some(net::buffer(bytes), ignored);
  refused_ = true;  // its request may be on the way
  End();
}

void Connection::CheckDeadline() {
  if (state_ == State::kClosed || deadline_ms_ == 0 || worker_.now_ms < deadline_ms_) return;
  if (state_ != State::kLingering) WorkerCounters::Add(worker_.counters.timeouts);
  if (state_ == State::kBody && !blocked_) {
    CountReply(408, request_->request.method_text, request_->request.target);
    TurnAwayAtOnce(Problem(408, "too-slow", "the body comes too slowly: fewer than " +
                                                std::to_string(worker_.options.min_body_rate) + " bytes per second over " +
                                                std::to_string(worker_.options.header_seconds) + " s"));
  } else {
    Close();
  }
}

void Connection::AwaitHead(int seconds) {
  waiting_since_ms_ = worker_.now_ms;
  deadline_ms_ = worker_.now_ms + seconds * 1000;
}

bool Connection::GiveWay() {
  const bool waits = state_ == State::kHandshake || (state_ == State::kHead && !blocked_ && !replying_);
  if (!waits || worker_.now_ms - waiting_since_ms_ < kGiveWayMs) return false;
  Close();
  return true;
}

void Connection::StopSoon() {
  if (state_ == State::kHeld) held_->owner->OnStopping();
  if (state_ == State::kLingering || state_ == State::kHandshake) Close();
  if (state_ == State::kHead && end_ == begin_ && !blocked_ && !replying_) Close();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  blocked_.reset();
  next_pieces_.clear();
  CountBody(0);
  EndHeld();
  if (tls_) tls_->Shutdown();
  SystemError ignored;
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

void Connection::End() {
  if (state_ == State::kClosed) return;
  if (!refused_ && begin_ == end_) {
    Close();
    return;
  }
  CountBody(0);
  state_ = State::kLingering;
  deadline_ms_ = worker_.now_ms + kLingerMs;
  if (tls_) tls_->Shutdown();  // what still comes is dropped as it is, not decrypted
  SystemError ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  Drain();
}

void Connection::Drain() {
  socket_.async_read_some(net::buffer(inline_),
                          [self = shared_from_this()](const SystemError& error, size_t bytes) {
                            self->lingered_ += bytes;
                            if (error || self->lingered_ > kLingerBytes) {
                              self->Close();
                            } else {
                              self->Drain();
                            }
                          });
}

void Connection::Read() {
  char* base = large_.empty() ? inline_.data() : large_.data();
  size_t capacity = large_.empty() ? inline_.size() : large_.size();
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (!large_.empty() && (state_ == State::kHead || state_ == State::kHeld)) {  // the long head is gone: so is its buffer
      large_ = {};
      base = inline_.data();
      capacity = inline_.size();
    }
  } else if (end_ == capacity) {
    if (begin_ > 0) {
      std::memmove(base, base + begin_, end_ - begin_);
    } else {
      std::vector<char> larger(std::min(capacity * 2, worker_.options.max_head + 1));
      std::memcpy(larger.data(), base, end_);
      large_ = std::move(larger);
      base = large_.data();
      capacity = large_.size();
    }
    end_ -= begin_;
    begin_ = 0;
  }
  if (tls_) {
    ReadTls(net::buffer(base + end_, capacity - end_));
    return;
  }
  socket_.async_read_some(net::buffer(base + end_, capacity - end_),
                          [self = shared_from_this()](const SystemError& error, size_t bytes) {
                            self->OnRead(error, bytes);
                          });
}

void Connection::OnRead(const SystemError& error, size_t bytes) {
  // A body that came too slowly was turned away while this was waited for; Drain reads now.
  if (state_ == State::kClosed || state_ == State::kLingering) return;
  if (error) {
    Close();
    return;
  }
  end_ += bytes;
  if (state_ == State::kHeld) {
    TakeHeldBytes();
  } else {
    Process();
  }
}

void Connection::Process() {
  for (;;) {
    if (state_ == State::kBody) {
      const BodyStep step = TakeBody();
      if (step == BodyStep::kMore) break;
      if (step == BodyStep::kSpool) Spool(false);
      if (step == BodyStep::kDone && request_->spool) Spool(true);
      if (step == BodyStep::kDone && state_ == State::kBody) Dispatch();
      return;
    }
    if (begin_ == end_ || last_queued_) break;
    const char* base = large_.empty() ? inline_.data() : large_.data();
    std::string_view unread(base + begin_, end_ - begin_);
    Request& request = worker_.request;
    HeadResult head = ParseRequestHead(unread, &request);
    if (head.status == -1 && unread.size() <= worker_.options.max_head) {
      if (!head_started_) {
        head_started_ = true;
        AwaitHead(worker_.options.header_seconds);
      }
      break;
    }
    if (head.status != 0) {
      if (head.status == -1) {
        Refuse(431, "the request's head is larger than this server takes");
      } else {
        Refuse(head.status, head.reason);
      }
      return;
    }
    head_started_ = false;
    begin_ += head.size;
    request.local = local_;
    request.peer = peer_;
    WorkerCounters::Add(worker_.counters.requests);
    keep_alive_ = request.keep_alive && !worker_.stopping;
    if (auto refusal = worker_.handler->Limit(request)) {
      TurnDown(unread.substr(0, head.size), std::move(*refusal));
      return;
    }
    if (!request.has_body()) {
      InlineContext context{worker_.state.get(), worker_.date, keep_alive_, &worker_.scratch};
      if (int status = worker_.handler->TryInline(request, context)) {
        WorkerCounters::Add(worker_.counters.inline_replies);
        CountReply(status, request.method_text, request.target);
        last_queued_ = !keep_alive_;
        if (worker_.scratch.size() > kFlushAt && !Flush()) return;
        continue;
      }
    }
    request_ = OwnedRequest::Copy(unread.substr(0, head.size));
    request_->request.local = local_;
    request_->request.peer = peer_;
    if (!request_->request.has_body()) {
      Dispatch();
      return;
    }
    if (!BeginBody()) return;
  }
  if (!Flush()) return;
  if (last_queued_ || (worker_.stopping && begin_ == end_ && state_ == State::kHead)) {
    End();
    return;
  }
  if (begin_ == end_ && state_ == State::kHead) AwaitHead(worker_.options.idle_seconds);
  Read();
}

// Posted, since many requests may wait in the buffer, each to be turned down.
void Connection::TurnDown(std::string_view head, Reply refusal) {
  request_ = OwnedRequest::Copy(head);
  if (request_->request.has_body()) {  // which is not taken
    refused_ = true;
    keep_alive_ = false;
  }
  state_ = State::kWorking;
  deadline_ms_ = 0;
  auto reply = std::make_shared<Reply>(std::move(refusal));
  PostBack(shared_from_this(), [reply](Connection& c) { c.OnReply(std::move(*reply)); });
  if (!worker_.scratch.empty()) Flush();
}

// The reply goes out once what it tells of is durable; the pool goes on meanwhile.
void Connection::AwaitCommit(std::shared_ptr<Connection> self, std::shared_ptr<OwnedRequest> request,
                             std::shared_ptr<Reply> reply) {
  Worker& worker = self->worker_;
  std::shared_ptr<PendingCommit> pending = std::move(reply->pending);
  worker.await_commit(std::move(pending), [self = std::move(self), request, reply](Result<> durable) mutable {
    if (!durable) *reply = Reply::Of(Problem(durable.error()), request->request.path);
    PostBack(std::move(self), [reply](Connection& c) { c.OnReply(std::move(*reply)); });
  });
}

void Connection::Dispatch() {
  CountBody(0);
  state_ = State::kWorking;
  deadline_ms_ = 0;
  auto answer = [self = shared_from_this(), request = request_]() mutable {
    auto reply = std::make_shared<Reply>();
    try {
      *reply = Finish(request->request, self->worker_.handler->Handle(*request));
    } catch (const std::exception& error) {  // std::bad_alloc, above all
      *reply = Reply::Of(Problem(500, "internal", error.what()), request->request.path);
    }
    if (reply->pending && !reply->pending->empty()) {
      AwaitCommit(std::move(self), request, reply);
      return;
    }
    PostBack(std::move(self), [reply](Connection& c) { c.OnReply(std::move(*reply)); });
  };
  if (worker_.handler->IsQuick(request_->request)) {
    answer();  // posts the reply all the same: many requests may wait in the buffer
  } else {
    worker_.run_on_pool(std::move(answer));
  }
  // Replies to requests before this one leave while it is worked on.
  if (!worker_.scratch.empty()) Flush();
}

void Connection::Refuse(int status, std::string_view reason) {
  Problem problem(status, status == 431 ? "head-too-large" : "bad-request", std::string(reason));
  request_ = std::make_shared<OwnedRequest>();
  request_->request.method = Method::kGet;
  refused_ = true;
  keep_alive_ = false;
  state_ = State::kWorking;
  OnReply(Reply::Of(problem, ""));
}

void Connection::OnReply(Reply reply) {
  if (state_ == State::kClosed) return;
  reply_ = std::make_unique<Reply>(std::move(reply));
  if (!blocked_) SendReply();  // else: once the replies before it are out
}

void Connection::SendReply() {
  if (reply_->handover != Handover::kNone) {
    HandOver();
    return;
  }
  replying_ = true;
  if (worker_.stopping || reply_->close) keep_alive_ = false;
  const Request& request = request_->request;
  bool chunked = false;
  std::string head = FormatHead(request, *reply_, worker_.date, keep_alive_, &chunked);
  if (reply_->stream && !chunked && !reply_->stream->length()) keep_alive_ = false;  // HTTP/1.0
  chunked_ = chunked;
  head_only_ = request.method == Method::kHead || reply_->status == 304 || reply_->status == 204;
  CountReply(reply_->status, request.method_text, request.target);
  worker_.scratch.text().append(head);
  if (head_only_) {
    reply_->stream.reset();
  } else {
    QueuePieces(std::move(reply_->body), !reply_->stream);
    if (reply_->stream) Produce();
  }
  if (Flush()) Drained();
}

void Connection::QueuePieces(Pieces pieces, bool last) {
  Output& out = worker_.scratch;
  uint64_t size = TotalSize(pieces);
  if (chunked_ && size > 0) out.text().append(ChunkHeader(size));
  for (Buffer& piece : pieces) {
    if (piece.size() <= PieceWriter::kCopyBelow) {
      out.text().append(reinterpret_cast<const char*>(piece.data()), piece.size());
    } else {
      out.Pin(std::move(piece));
    }
  }
  if (chunked_) {
    if (size > 0) out.text().append("\r\n");
    if (last) out.text().append("0\r\n\r\n");
  }
}

void Connection::Produce() {
  producing_ = true;
  worker_.run_on_pool([self = shared_from_this()]() mutable {
    auto pieces = std::make_shared<Pieces>();
    auto more = std::make_shared<Result<bool>>(false);
    try {
      *more = self->reply_->stream->Next(pieces.get());
    } catch (const std::exception& error) {
      *more = Error{ErrorCode::kInternal, error.what()};
    }
    PostBack(std::move(self),
             [more, pieces](Connection& c) { c.OnProduced(std::move(*more), std::move(*pieces)); });
  });
}

void Connection::OnProduced(Result<bool> more, Pieces pieces) {
  producing_ = false;
  if (state_ == State::kClosed) return;
  if (!more) {  // the length or the coding is promised already: only breaking off tells the client
    Close();
    return;
  }
  next_pieces_ = std::move(pieces);
  produced_ = true;
  produced_last_ = !*more;
  if (!blocked_) Drained();
}

bool Connection::Flush() {
  Output& out = blocked_ ? *blocked_ : worker_.scratch;
  if (out.empty()) return true;
  uint64_t sent = 0;
  int status = tls_ ? out.Send(*tls_, &sent) : out.Send(socket_.native_handle(), &sent);
  WorkerCounters::Add(worker_.counters.bytes_sent, sent);
  if (status == 1) {
    if (blocked_) {
      blocked_.reset();
    } else {
      out.Clear();
    }
    return true;
  }
  if (status < 0) {
    if (!blocked_) out.Clear();
    Close();
    return false;
  }
  if (!blocked_) {
    blocked_ = std::make_unique<Output>(std::move(worker_.scratch));
    worker_.scratch = Output();
  }
  deadline_ms_ = worker_.now_ms + worker_.options.write_seconds * 1000;
  socket_.async_wait(tcp::socket::wait_write,
                     [self = shared_from_this()](const SystemError& error) {
                       if (error) {
                         self->Close();
                       } else {
                         self->OnWritable();
                       }
                     });
  return false;
}

void Connection::OnWritable() {
  if (state_ == State::kClosed || !blocked_) return;
  if (Flush()) Drained();
}

// Everything that was queued is out.
void Connection::Drained() {
  if (state_ == State::kHeld) {
    deadline_ms_ = 0;
    PumpChannel();
    return;
  }
  if (state_ == State::kSpooling) return;  // goes on in OnSpooled
  if (state_ != State::kWorking) {  // inline replies had blocked, or 100 Continue
    Process();
    return;
  }
  deadline_ms_ = 0;
  if (!replying_) {
    if (reply_) SendReply();
    return;  // else: the pool is still at it
  }
  if (produced_) {
    produced_ = false;
    bool last = produced_last_;
    QueuePieces(std::move(next_pieces_), last);
    next_pieces_.clear();
    if (last) {
      reply_->stream.reset();
    } else {
      Produce();
    }
    if (Flush()) Drained();
    return;
  }
  if (!producing_) FinishReply();
}

void Connection::FinishReply() {
  reply_.reset();
  request_.reset();
  decoder_.reset();
  replying_ = false;
  if (!keep_alive_) {
    End();
    return;
  }
  state_ = State::kHead;
  AwaitHead(worker_.options.idle_seconds);
  Process();
}

void Connection::CountReply(int status, std::string_view method, std::string_view target) {
  if (status >= 100 && status < 600)
    WorkerCounters::Add(worker_.counters.status_class[static_cast<size_t>(status / 100)]);
  if (worker_.options.access_log) worker_.options.access_log({method, target, status});
}

}  // namespace zn::server
