#include "http/held.h"

#include <sys/socket.h>

#include <cerrno>

#include "http/connection.h"

namespace zn::server {

namespace {
constexpr size_t kBatch = 256 << 10;  // bytes given to the output at a time
constexpr int64_t kDropMs = 5000;     // for a dropped client to take the reason
}  // namespace

Loop& HeldChannel::loop() { return worker_; }

void HeldChannel::Wake() {
  if (woken_ || detached_) return;
  woken_ = true;
  // The connection must end on its own thread, so it is only looked for there.
  net::post(worker_.io, [self = shared_from_this()] {
    std::shared_ptr<Connection> connection;
    {
      std::lock_guard lock(self->mutex_);
      self->woken_ = false;
      if (!self->detached_) connection = self->connection_.lock();
    }
    if (connection) connection->OnChannel();
  });
}

void HeldChannel::Finish(Reply reply) {
  std::lock_guard lock(mutex_);
  wishes_.reply = std::make_unique<Reply>(std::move(reply));
  Wake();
}

void HeldChannel::Send(Pieces bytes) {
  std::lock_guard lock(mutex_);
  if (detached_ || wishes_.end) return;
  unsent_.fetch_add(TotalSize(bytes), std::memory_order_relaxed);
  for (Buffer& piece : bytes)
    if (!piece.empty()) wishes_.pieces.push_back(std::move(piece));
  Wake();
}

void HeldChannel::End() {
  std::lock_guard lock(mutex_);
  wishes_.end = true;
  Wake();
}

void HeldChannel::Drop(Pieces last) {
  std::lock_guard lock(mutex_);
  if (detached_ || wishes_.end) return;
  unsent_.fetch_sub(TotalSize(wishes_.pieces), std::memory_order_relaxed);
  unsent_.fetch_add(TotalSize(last), std::memory_order_relaxed);
  wishes_.pieces = std::move(last);
  wishes_.drop = wishes_.end = true;
  Wake();
}

HeldChannel::Wishes HeldChannel::Take() {
  std::lock_guard lock(mutex_);
  Wishes taken = std::move(wishes_);
  wishes_ = {};
  wishes_.end = taken.end;  // nothing may follow it
  return taken;
}

void HeldChannel::Detach() {
  std::lock_guard lock(mutex_);
  detached_ = true;
  connection_.reset();
  wishes_ = {};
}

void Connection::HandOver() {
  held_ = std::make_unique<Held>();
  held_->kind = reply_->handover;
  held_->owner = std::move(reply_->owner);
  held_->channel = std::make_shared<HeldChannel>(worker_, weak_from_this());
  state_ = State::kHeld;
  deadline_ms_ = 0;
  chunked_ = false;
  if (held_->kind != Handover::kDeferred) {
    const Request& request = request_->request;
    CountReply(reply_->status, request.method_text, request.target);
    worker_.scratch.text().append(
        FormatHead(request, *reply_, worker_.date, !request.http10, &chunked_));
    request_.reset();
  }
  reply_.reset();
  // Nothing the owner does through its channel happens before this returns: channels post.
  held_->owner->OnOpen(held_->channel);
  if (worker_.stopping) held_->owner->OnStopping();
  if (!worker_.scratch.empty() && !Flush() && state_ != State::kHeld) return;
  if (held_->kind == Handover::kUpgrade) {
    TakeHeldBytes();
  } else {
    Watch();
  }
}

void Connection::TakeHeldBytes() {
  const char* base = large_.empty() ? inline_.data() : large_.data();
  if (begin_ < end_) held_->owner->OnBytes({base + begin_, end_ - begin_});
  begin_ = end_ = 0;
  Read();
}

// Long polling and event streams read nothing; a client that goes away is to be noticed all the
// same.
void Connection::Watch() {
  socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const SystemError& error) {
    if (!error) self->OnReadable();
  });
}

void Connection::OnReadable() {
  if (state_ != State::kHeld) return;
  if (tls_) {
    const TlsSession::Step step = tls_->Peek();
    if (step == TlsSession::Step::kDone) return;
    if (step == TlsSession::Step::kWantRead) {
      Watch();
    } else {
      Close();
    }
    return;
  }
  char byte;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return;  // the next request already: its turn comes
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
    Watch();
  } else {
    Close();
  }
}

void Connection::OnChannel() {
  if (state_ != State::kHeld) return;
  HeldChannel::Wishes wishes = held_->channel->Take();
  if (held_->kind == Handover::kDeferred) {
    if (wishes.reply) {
      held_->channel->Detach();
      held_.reset();
      state_ = State::kWorking;
      OnReply(zn::server::Finish(request_->request, std::move(*wishes.reply)));
    } else if (wishes.end) {
      Close();
    }
    return;
  }
  if (wishes.drop) {
    size_t forgotten = 0;
    for (size_t i = held_->next; i < held_->waiting.size(); ++i)
      forgotten += held_->waiting[i].size();
    held_->channel->Sent(forgotten);
    held_->waiting.clear();
    held_->next = 0;
  }
  for (Buffer& piece : wishes.pieces) held_->waiting.push_back(std::move(piece));
  held_->ending |= wishes.end;
  if (blocked_) {
    if (wishes.drop) deadline_ms_ = worker_.now_ms + kDropMs;
    return;
  }
  PumpChannel();
}

void Connection::PumpChannel() {
  for (;;) {
    held_->channel->Sent(std::exchange(held_->in_flight, 0));
    Pieces batch;
    size_t size = 0;
    while (held_->next < held_->waiting.size() && size < kBatch) {
      batch.push_back(std::move(held_->waiting[held_->next++]));
      size += batch.back().size();
    }
    if (batch.empty()) {
      held_->waiting.clear();
      held_->next = 0;
      if (!held_->ending) return;
      if (chunked_ && !std::exchange(held_->ended, true)) {
        QueuePieces({}, true);
        if (!Flush()) return;
      }
      EndHeld();
      refused_ = true;  // the client may be sending: linger
      End();
      return;
    }
    held_->in_flight = size;
    QueuePieces(std::move(batch), false);
    if (!Flush()) return;
  }
}

void Connection::EndHeld() {
  if (!held_) return;
  std::unique_ptr<Held> held = std::move(held_);
  held->channel->Detach();
  held->owner->OnClosed();
}

}  // namespace zn::server
