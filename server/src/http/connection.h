// One client's connection: reads requests, has them answered, writes the replies, in order.
//
// All members run on the worker's thread. Only what the pool does (Handler::Handle,
// BodyStream::Next) runs elsewhere, and its result is posted back. Nothing is written while
// something else is being written: `out` belongs to one reply (or one run of pipelined inline
// replies) at a time.
//
// A reply with an owner hands the connection over (channel.h): it is then "held" (held.cc), and what
// its channel queues is written here as replies are.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/asio.h"
#include "http/chunked.h"
#include "http/held.h"
#include "http/tls.h"
#include "http/worker.h"

namespace zn::server {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Worker& worker, tcp::socket socket);
  ~Connection();

  void Start();
  /// Instead of Start: says why and ends. With TLS the client only sees the end.
  void TurnAwayAtOnce(const Problem& problem);
  /// Called every tick: closes when the deadline has passed.
  void CheckDeadline();
  /// Closes when nothing of a request is here but, for 2 s now, part of a head: a new connection may then be of more use.
  bool GiveWay();
  /// The server is stopping: idle connections close now, others after their reply.
  void StopSoon();
  void Close();

 private:
  enum class State { kHandshake, kHead, kBody, kSpooling, kWorking, kHeld, kLingering, kClosed };

  void Read();
  /// A head must be here, or begin, in that time.
  void AwaitHead(int seconds);
  /// Ends the connection after the last reply: when the client may still be sending, what it sends
  /// is read and dropped for a moment, since closing at once would reset the connection under the
  /// reply.
  void End();
  void Drain();
  void TurnAway(const Problem& problem);
  // TLS (connection_tls.cc).
  void Handshake();
  void ReadTls(net::mutable_buffer into);
  void OnRead(const SystemError& error, size_t bytes);
  void Process();
  // Bodies (connection_body.cc). Those too long for memory go to a file: nothing is read while the pool writes what came.
  enum class BodyStep { kMore, kDone, kRefused, kSpool };
  bool BeginBody();  // false: refused, or waiting for the pool
  BodyStep TakeBody();
  void PayForBody(size_t bytes);
  void CountBody(size_t bytes);
  void Spool(bool last);
  void OnSpooled(std::optional<Reply> refusal, bool last);
  void Dispatch();
  void TurnDown(std::string_view head, Reply refusal);
  template <class Body>
  static void PostBack(std::shared_ptr<Connection> self, Body body);
  static void AwaitCommit(std::shared_ptr<Connection> self, std::shared_ptr<OwnedRequest> request,
                          std::shared_ptr<Reply> reply);
  void Refuse(int status, std::string_view reason);
  void OnReply(Reply reply);
  void SendReply();
  void QueuePieces(Pieces pieces, bool last);
  void Produce();
  void OnProduced(Result<bool> more, Pieces pieces);
  bool Flush();  // false: blocked or closed
  void OnWritable();
  void Drained();
  void FinishReply();
  void CountReply(int status, std::string_view method, std::string_view target);

  // Handed over; see held.cc.
  friend class HeldChannel;
  void HandOver();
  void Watch();
  void OnReadable();
  void TakeHeldBytes();
  void OnChannel();
  void PumpChannel();
  void EndHeld();

  Worker& worker_;
  tcp::socket socket_;
  std::unique_ptr<TlsSession> tls_;  // null: plain
  std::list<Connection*>::iterator place_;
  State state_ = State::kHead;
  int64_t deadline_ms_ = 0;
  int64_t waiting_since_ms_ = 0;  // for a head
  bool local_ = false;  // the peer is on this machine
  PeerAddress peer_;
  bool keep_alive_ = true;
  bool refused_ = false;
  bool last_queued_ = false;  // an inline reply with Connection: close is queued or sent

  // What was read and not yet used: [begin_, end_) of inline_ or, for long heads, of large_.
  std::array<char, 2048> inline_;
  std::vector<char> large_;
  size_t begin_ = 0, end_ = 0;
  bool head_started_ = false;
  size_t lingered_ = 0;

  std::unique_ptr<Output> blocked_;        // the rest of what the socket did not take yet
  std::shared_ptr<OwnedRequest> request_;  // while its body comes or it is worked on
  std::unique_ptr<ChunkedDecoder> decoder_;
  uint64_t body_left_ = 0;
  uint64_t keep_in_memory_ = 0;  // bytes of the body at hand; the rest goes to a file
  bool small_body_ = false;      // its handler takes it from memory
  size_t counted_body_ = 0;      // in worker_.bodies_in_memory
  uint64_t unpaid_bytes_ = 0;    // of the body, that have moved no deadline yet

  // The reply being sent.
  std::unique_ptr<Reply> reply_;
  bool replying_ = false, chunked_ = false, head_only_ = false;
  bool producing_ = false, produced_ = false, produced_last_ = false;
  Pieces next_pieces_;

  std::unique_ptr<Held> held_;  // in state kHeld
};

// From the pool. The pool gives up its share in the connection, so that it always ends on its own
// thread.
template <class Body>
void Connection::PostBack(std::shared_ptr<Connection> self, Body body) {
  net::io_context& io = self->worker_.io;
  net::post(io, [self = std::move(self), body = std::move(body)] { body(*self); });
}

}  // namespace zn::server
