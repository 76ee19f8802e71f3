// What the connections of one I/O thread share.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "http/asio.h"
#include "http/handler.h"
#include "http/loop.h"
#include "http/server.h"

namespace zn::server {

class Connection;

/// Counters of one I/O thread: written by it alone, read by anyone.
struct WorkerCounters {
  std::atomic<uint64_t> requests{0}, inline_replies{0}, bytes_sent{0}, accepted{0}, refused{0},
      reused{0}, timeouts{0}, tls_failures{0};
  std::array<std::atomic<uint64_t>, 6> status_class{};
  static void Add(std::atomic<uint64_t>& counter, uint64_t n = 1) {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
};

/// Members are for the thread alone, unless Loop says otherwise.
struct Worker final : Loop {
  explicit Worker(const HttpOptions& http_options, Handler* request_handler)
      : options(http_options), handler(request_handler), state(request_handler->NewWorkerState()) {}

  void Post(std::function<void()> task) override { net::post(io, std::move(task)); }
  void After(int64_t ms, std::function<void()> task) override;
  int64_t NowMs() const override;
  void RunOnPool(std::function<void()> task) override { run_on_pool(std::move(task)); }
  /// Drops what After was given, now and from now on, so that the loop can end.
  void StopTimers();

  net::io_context io{1};
  const HttpOptions& options;
  Handler* handler;
  std::unique_ptr<WorkerState> state;
  std::function<void(std::function<void()>)> run_on_pool;
  std::function<void(std::shared_ptr<PendingCommit>, std::function<void(Result<>)>)> await_commit;
  std::function<void()> on_connection_closed;

  Request request;     // scratch of the parser
  Output scratch;      // replies that go out at once are built here
  std::string date;    // refreshed every tick
  int64_t now_ms = 0;  // coarse steady clock, refreshed every tick
  bool stopping = false;
  uint64_t bodies_in_memory = 0;  // bytes of bodies that are coming; each of `shares` workers may have its part
  uint64_t shares = 1;
  std::list<Connection*> connections;
  WorkerCounters counters;

 private:
  void ArmTimer();
  std::multimap<int64_t, std::function<void()>> timed_;  // by when
  net::steady_timer timer_{io};
  bool timers_stopped_ = false;
};

}  // namespace zn::server
