// Connection: what TLS changes. Requests, replies and channels know nothing of it.
#include "http/connection.h"

namespace zn::server {

using Step = TlsSession::Step;

void Connection::Handshake() {
  if (state_ != State::kHandshake) return;
  const auto again = [self = shared_from_this()](const SystemError& error) {
    if (!error) self->Handshake();
  };
  switch (tls_->Handshake()) {
    case Step::kDone:
      state_ = State::kHead;
      AwaitHead(worker_.options.header_seconds);
      Read();
      return;
    case Step::kWantRead:
      socket_.async_wait(tcp::socket::wait_read, again);
      return;
    case Step::kWantWrite:
      socket_.async_wait(tcp::socket::wait_write, again);
      return;
    default:
      WorkerCounters::Add(worker_.counters.tls_failures);
      if (tls_->got_plain_http()) {
        TurnAway(Problem(400, "plain-http", "this port speaks HTTPS: begin with https:"));
        return;
      }
      Close();
  }
}

// Whatever is there already is posted and not handed on from here: a long body would otherwise go
// ever deeper.
void Connection::ReadTls(net::mutable_buffer into) {
  size_t bytes = 0;
  const auto again = [self = shared_from_this(), into](const SystemError& error) {
    if (error) {
      self->OnRead(error, 0);
    } else if (self->state_ != State::kClosed) {
      self->ReadTls(into);
    }
  };
  const Step step = tls_->Read({static_cast<char*>(into.data()), into.size()}, &bytes);
  switch (step) {
    case Step::kWantRead:
      socket_.async_wait(tcp::socket::wait_read, again);
      return;
    case Step::kWantWrite:
      socket_.async_wait(tcp::socket::wait_write, again);
      return;
    default:
      net::post(worker_.io, [self = shared_from_this(), bytes, step] {
        self->OnRead(step == Step::kDone ? SystemError() : SystemError(net::error::eof), bytes);
      });
  }
}

}  // namespace zn::server
