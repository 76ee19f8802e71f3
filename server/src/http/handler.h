// Between the wire and the API: what a connection asks for an answer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/reply.h"
#include "http/request.h"

namespace zn::server {

/// Bytes on their way to a socket: text that was copied together and buffers that are pinned until
/// they are sent.
class Output {
 public:
  /// Where to append; the reference is good until the next call.
  std::string& text() { return text_; }
  void Pin(Buffer buffer);
  bool empty() const { return segments_.empty() && text_.empty(); }
  size_t size() const { return pinned_ + text_.size(); }
  void Clear();

  /// sendmsg of what is left. 1: all sent, 0: the socket is full, -1: it is broken.
  int Send(int socket, uint64_t* sent);
  /// The same by TLS.
  int Send(class TlsSession& session, uint64_t* sent);

 private:
  struct Segment {
    size_t begin, size;  // in text_, unless pinned
    Buffer pinned;
  };
  void CloseText();
  /// `write` takes pieces and whether more follow: how many bytes it sent, 0: full, -1: broken.
  template <class Write>
  int SendBy(const Write& write, uint64_t* sent);
  std::string text_;
  size_t closed_ = 0;  // text_ up to here is in segments_
  std::vector<Segment> segments_;
  size_t next_ = 0, offset_ = 0;  // progress: segment and bytes of it
  size_t pinned_ = 0;
};

/// What a handler keeps for each I/O thread.
class WorkerState {
 public:
  virtual ~WorkerState() = default;
};

struct InlineContext {
  WorkerState* state;
  std::string_view date;  // of the Date header
  bool keep_alive;
  Output* out;
};

/// One a process; its members are called from many threads at once.
class Handler {
 public:
  virtual ~Handler() = default;
  virtual std::unique_ptr<WorkerState> NewWorkerState() = 0;

  /// On the thread of `state`, now and then: a time to let go of what was not used.
  virtual void Tidy(WorkerState* state) { (void)state; }

  /// On an I/O thread, first of all: a reply that refuses the request for its client's having sent too many, or nullopt.
  virtual std::optional<Reply> Limit(const Request& request) {
    (void)request;
    return std::nullopt;
  }

  /// On an I/O thread: either appends the whole reply and returns its status, or returns 0 having
  /// done nothing. Must not wait for anything.
  virtual int TryInline(const Request& request, const InlineContext& context) = 0;

  /// On an I/O thread: the most bytes of body that this request may have.
  virtual uint64_t BodyLimit(const Request& request) {
    (void)request;
    return UINT64_MAX;
  }

  /// On the pool, before a body that is too long for memory is taken: a reply that refuses it already, or nullopt.
  virtual std::optional<Reply> Refuse(const OwnedRequest& request) {
    (void)request;
    return std::nullopt;
  }

  /// On an I/O thread, with the whole request here: does Handle look at no more than memory, for a moment? Then it is called
  /// on that thread, without the way to the pool and back.
  virtual bool IsQuick(const Request& request) {
    (void)request;
    return false;
  }

  /// On the pool, unless IsQuick: the reply, not yet finished (see Finish).
  virtual Reply Handle(const OwnedRequest& request) = 0;
};

}  // namespace zn::server
