#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <span>

#include "http/handler.h"
#include "http/tls.h"

namespace zn::server {

void Output::CloseText() {
  if (text_.size() > closed_) segments_.push_back({closed_, text_.size() - closed_, {}});
  closed_ = text_.size();
}

void Output::Pin(Buffer buffer) {
  if (buffer.empty()) return;
  CloseText();
  pinned_ += buffer.size();
  segments_.push_back({0, buffer.size(), std::move(buffer)});
}

void Output::Clear() {
  constexpr size_t kKeep = 128 << 10;
  if (text_.capacity() > kKeep) text_ = {};
  text_.clear();
  segments_.clear();
  closed_ = next_ = offset_ = pinned_ = 0;
}

template <class Write>
int Output::SendBy(const Write& write, uint64_t* sent) {
  CloseText();
  constexpr int kMaxPieces = 64;
  while (next_ < segments_.size()) {
    iovec pieces[kMaxPieces];
    int count = 0;
    for (size_t i = next_; i < segments_.size() && count < kMaxPieces; ++i, ++count) {
      const Segment& segment = segments_[i];
      const char* base = segment.pinned.empty()
                             ? text_.data() + segment.begin
                             : reinterpret_cast<const char*>(segment.pinned.data());
      size_t skip = i == next_ ? offset_ : 0;
      pieces[count].iov_base = const_cast<char*>(base + skip);
      pieces[count].iov_len = segment.size - skip;
    }
    const bool more = next_ + static_cast<size_t>(count) < segments_.size();
    const ssize_t n = write(std::span<iovec>(pieces, static_cast<size_t>(count)), more);
    if (n <= 0) return static_cast<int>(n);
    *sent += static_cast<uint64_t>(n);
    auto left = static_cast<size_t>(n);
    while (left > 0) {
      size_t rest = segments_[next_].size - offset_;
      if (left < rest) {
        offset_ += left;
        break;
      }
      left -= rest;
      segments_[next_].pinned = {};
      ++next_;
      offset_ = 0;
    }
  }
  return 1;
}

int Output::Send(int socket, uint64_t* sent) {
  return SendBy(
      [socket](std::span<iovec> pieces, bool more) -> ssize_t {
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = pieces.size();
        for (;;) {
          const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
          if (n >= 0) return n;
          if (errno != EINTR) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
        }
      },
      sent);
}

int Output::Send(TlsSession& session, uint64_t* sent) {
  return SendBy(
      [&session](std::span<iovec> pieces, bool) -> ssize_t {
        size_t bytes = 0;
        switch (session.Write(pieces, &bytes)) {
          case TlsSession::Step::kDone: return static_cast<ssize_t>(bytes);
          case TlsSession::Step::kWantWrite: return 0;
          default: return -1;  // kWantRead cannot be: there is no renegotiation
        }
      },
      sent);
}

}  // namespace zn::server
