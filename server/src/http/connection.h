// One client's connection: reads requests, has them answered, writes the replies, in order.
//
// All members run on the worker's thread. Only what the pool does (Handler::Handle,
// BodyStream::Next) runs elsewhere, and its result is posted back. Nothing is written while
// something else is being written: `out` belongs to one reply (or one run of pipelined inline
// replies) at a time.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "http/asio.h"
#include "http/chunked.h"
#include "http/handler.h"
#include "http/server.h"

namespace zn::server {

class Connection;

/// Counters of one I/O thread: written by it alone, read by anyone.
struct WorkerCounters {
  std::atomic<uint64_t> requests{0}, inline_replies{0}, bytes_sent{0}, accepted{0}, refused{0},
      timeouts{0};
  std::array<std::atomic<uint64_t>, 6> status_class{};
  static void Add(std::atomic<uint64_t>& counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

/// What the connections of one I/O thread share.
struct Worker {
  explicit Worker(const HttpOptions& http_options, Handler* request_handler)
      : options(http_options), handler(request_handler), state(request_handler->NewWorkerState()) {}

  net::io_context io{1};
  const HttpOptions& options;
  Handler* handler;
  std::unique_ptr<WorkerState> state;
  std::function<void(std::function<void()>)> run_on_pool;
  std::function<void()> on_connection_closed;

  Request request;     // scratch of the parser
  Output scratch;      // replies that go out at once are built here
  std::string date;    // refreshed every tick
  int64_t now_ms = 0;  // coarse steady clock, refreshed every tick
  bool stopping = false;
  std::list<Connection*> connections;
  WorkerCounters counters;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Worker& worker, tcp::socket socket);
  ~Connection();

  void Start();
  /// Called every tick: closes when the deadline has passed.
  void CheckDeadline();
  /// The server is stopping: idle connections close now, others after their reply.
  void StopSoon();
  void Close();

 private:
  enum class State { kHead, kBody, kWorking, kLingering, kClosed };

  void Read();
  /// Ends the connection after the last reply: when the client may still be sending, what it sends
  /// is read and dropped for a moment, since closing at once would reset the connection under the
  /// reply.
  void End();
  void Drain();
  void OnRead(const SystemError& error, size_t bytes);
  void Process();
  bool TakeBody();  // false: more must be read
  void Dispatch();
  template <class Body>
  static void PostBack(std::shared_ptr<Connection> self, Body body);
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

  Worker& worker_;
  tcp::socket socket_;
  std::list<Connection*>::iterator place_;
  State state_ = State::kHead;
  int64_t deadline_ms_ = 0;
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
  size_t body_left_ = 0;

  // The reply being sent.
  std::unique_ptr<Reply> reply_;
  bool replying_ = false, chunked_ = false, head_only_ = false;
  bool producing_ = false, produced_ = false, produced_last_ = false;
  Pieces next_pieces_;
};

}  // namespace zn::server
