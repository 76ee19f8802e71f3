// The HTTP server: one io_context and one SO_REUSEPORT acceptor a core, and a pool for what may
// wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http/handler.h"
#include "http/tls.h"
#include "zn/engine/error.h"

namespace zn::server {

struct HttpOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 5000;  // 0: any free one
  int io_threads = 0;    // 0: one a core
  int pool_threads = 0;  // 0: one a core, at least 2
  size_t max_head = 16 << 10;
  uint64_t max_body = uint64_t{16} << 30;  // Handler::BodyLimit may say less
  /// Bodies that may be longer than small_body are kept in memory up to memory_body, and beyond in a file of
  /// spool_folder.
  uint64_t small_body = 16 << 20;
  uint64_t memory_body = 1 << 20;
  std::string spool_folder = "/tmp";
  /// When there are as many, those that have been idle, or at one head, for 2 s make room for new ones.
  int max_connections = 4096;
  int idle_seconds = 75;  // between requests
  int header_seconds = 10;  // from a request's first byte to the end of its head
  /// Bodies must come at min_body_rate bytes per second, averaged over header_seconds, or get 408.
  int min_body_rate = 500;
  /// Bodies that are still coming, of all connections: beyond this they go to files, however short.
  uint64_t bodies_in_memory = 256 << 20;
  int write_seconds = 30;  // without the client taking a byte
  int stop_seconds = 10;   // for replies in flight when stopping
  std::shared_ptr<TlsContext> tls;  // null: plain HTTP
  /// Called after each reply when set; see AccessRecord.
  std::function<void(const struct AccessRecord&)> access_log;
};

struct AccessRecord {
  std::string_view method, target;
  int status;
};

struct HttpStats {
  uint64_t requests = 0, inline_replies = 0, bytes_sent = 0, connections = 0, accepted = 0,
           refused = 0, reused = 0, timeouts = 0, tls_failures = 0;
  uint64_t status_class[6] = {};  // [2]: 2xx
};

class HttpServer {
 public:
  /// Binds and starts the threads. `handler` must outlive the server.
  static Result<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, Handler* handler);
  virtual ~HttpServer() = default;  // as Stop
  virtual uint16_t port() const = 0;
  /// No new connections; replies in flight are finished for up to stop_seconds; then everything
  /// ends. Idempotent.
  virtual void Stop() = 0;
  virtual HttpStats stats() const = 0;
};

}  // namespace zn::server
