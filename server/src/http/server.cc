#include "http/server.h"

#include <sys/socket.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>

#include "http/asio.h"
#include "http/committer.h"
#include "http/connection.h"

namespace zn::server {
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr uint64_t kTidyTicks = 40;
constexpr int kToldWhy = 64;  // connections above the limit at a time

std::string HttpDate() {
  char text[40];
  std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  size_t n = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, n);
}

// A worker with its acceptor, timer and thread.
class Thread {
 public:
  Thread(const HttpOptions& options, Handler* handler)
      : worker(options, handler),
        acceptor_(worker.io),
        timer_(worker.io),
        guard_(worker.io.get_executor()) {}

  /// With SO_REUSEPORT the kernel would share the port with another server of this user, too:
  /// `alone` asks first.
  Result<uint16_t> Listen(const std::string& address, uint16_t port, bool alone) {
    SystemError error;
    auto ip = net::ip::make_address(address, error);
    if (error) return {ErrorCode::kInvalidArgument, address + ": not an IP address"};
    tcp::endpoint endpoint(ip, port);
    if (alone && port != 0) {
      tcp::acceptor probe(worker.io);
      probe.open(endpoint.protocol(), error);
      if (!error) probe.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) probe.bind(endpoint, error);
      if (!error) probe.listen(1, error);
    }
    if (!error) acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    int on = 1;
    if (!error) ::setsockopt(acceptor_.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(1024, error);
    if (error)
      return {ErrorCode::kIo,
              "cannot listen on " + address + ":" + std::to_string(port) + ": " + error.message()};
    return acceptor_.local_endpoint().port();
  }

  void Run(std::atomic<int>* connections) {
    connections_ = connections;
    Refresh();
    Tick();
    Accept();
    thread_ = std::thread([this] { worker.io.run(); });
  }

  void StopAccepting() {
    net::post(worker.io, [this] {
      worker.stopping = true;
      SystemError ignored;
      acceptor_.close(ignored);
      for (Connection* connection : worker.connections) connection->StopSoon();
    });
  }

  void CloseAll() {
    net::post(worker.io, [this] {
      for (Connection* connection : worker.connections) connection->Close();
    });
  }

  void Join() {
    net::post(worker.io, [this] {
      SystemError ignored;
      ended_ = true;
      timer_.cancel(ignored);
      retry_.cancel(ignored);
      worker.StopTimers();
      guard_.reset();
    });
    if (thread_.joinable()) thread_.join();
  }

  Worker worker;

 private:
  void Refresh() {
    worker.now_ms = worker.NowMs();
    worker.date = HttpDate();
  }

  void Tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](const SystemError& error) {
      if (error || ended_) return;  // one that has expired cannot be cancelled any more
      Refresh();
      for (Connection* connection : worker.connections) connection->CheckDeadline();
      if (++ticks_ % kTidyTicks == 0) worker.handler->Tidy(worker.state.get());
      Tick();
    });
  }

  void Accept() {
    acceptor_.async_accept([this](const SystemError& error, tcp::socket socket) {
      if (error == net::error::operation_aborted || !acceptor_.is_open()) return;
      if (error) {  // out of descriptors: wait rather than spin
        retry_.expires_after(std::chrono::milliseconds(100));
        retry_.async_wait([this](const SystemError& cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Take(std::move(socket));
      Accept();
    });
  }

  void Take(tcp::socket socket) {
    SystemError ignored;
    WorkerCounters::Add(worker.counters.accepted);
    socket.non_blocking(true, ignored);
    const int others = connections_->fetch_add(1);
    if (others >= worker.options.max_connections && !MakeRoom()) {
      WorkerCounters::Add(worker.counters.refused);
      // A few are told why; to a flood that would cost more than it helps.
      auto refused = std::make_shared<Connection>(worker, std::move(socket));
      if (others - worker.options.max_connections < kToldWhy) {
        refused->TurnAwayAtOnce(
            Problem(503, "too-many-connections", "the server has as many connections as it takes"));
      } else {
        refused->Close();
      }
      return;
    }
    socket.set_option(tcp::no_delay(true), ignored);
    std::make_shared<Connection>(worker, std::move(socket))->Start();
  }

  // Closes a connection whose client lets it wait. Looks at a few, beginning where it left off, since a flood comes here
  // for each of its connections.
  bool MakeRoom() {
    constexpr int kLooks = 64;
    std::list<Connection*>& all = worker.connections;
    for (int i = 0; i < kLooks && !all.empty(); ++i) {
      Connection* connection = all.front();
      all.splice(all.end(), all, all.begin());
      if (!connection->GiveWay()) continue;
      WorkerCounters::Add(worker.counters.reused);
      return true;
    }
    return false;
  }

  tcp::acceptor acceptor_;
  net::steady_timer timer_;
  net::steady_timer retry_{worker.io};
  net::executor_work_guard<net::io_context::executor_type> guard_;
  std::atomic<int>* connections_ = nullptr;
  uint64_t ticks_ = 0;
  bool ended_ = false;  // no tick arms the next one
  std::thread thread_;
};

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(const HttpOptions& options, Handler* handler) : options_(options) {
    int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    int io_threads = options_.io_threads > 0 ? options_.io_threads : cores;
    int pool_threads = options_.pool_threads > 0 ? options_.pool_threads : std::max(2, cores);
    pool_ = std::make_unique<net::thread_pool>(pool_threads);
    committer_ = std::make_unique<Committer>();
    for (int i = 0; i < io_threads; ++i) {
      threads_.push_back(std::make_unique<Thread>(options_, handler));
      threads_.back()->worker.shares = static_cast<uint64_t>(io_threads);
      threads_.back()->worker.run_on_pool = [this](std::function<void()> task) {
        net::post(*pool_, std::move(task));
      };
      threads_.back()->worker.await_commit = [this](std::shared_ptr<PendingCommit> pending,
                                                    std::function<void(Result<>)> done) {
        committer_->Wait(std::move(pending), std::move(done));
      };
      threads_.back()->worker.on_connection_closed = [this] {
        if (connections_.fetch_sub(1) == 1) {
          std::lock_guard lock(mutex_);
          all_closed_.notify_all();
        }
      };
    }
  }
  ~HttpServerImpl() override { Stop(); }

  Result<> Listen() {
    port_ = options_.port;
    for (auto& thread : threads_) {
      ZN_ASSIGN_OR_RETURN(port_,
                          thread->Listen(options_.address, port_, thread == threads_.front()));
    }
    for (auto& thread : threads_) thread->Run(&connections_);
    running_ = true;
    return {};
  }

  uint16_t port() const override { return port_; }

  void Stop() override {
    if (!running_) return;
    running_ = false;
    for (auto& thread : threads_) thread->StopAccepting();
    {
      std::unique_lock lock(mutex_);
      all_closed_.wait_for(lock, std::chrono::seconds(options_.stop_seconds),
                           [this] { return connections_.load() == 0; });
    }
    for (auto& thread : threads_) thread->CloseAll();
    pool_->join();  // its tasks post to the workers, which are still running
    committer_.reset();  // as do these
    for (auto& thread : threads_) thread->Join();
  }

  HttpStats stats() const override {
    HttpStats total;
    total.connections = static_cast<uint64_t>(std::max(0, connections_.load()));
    for (const auto& thread : threads_) {
      const WorkerCounters& counters = thread->worker.counters;
      total.requests += counters.requests.load(std::memory_order_relaxed);
      total.inline_replies += counters.inline_replies.load(std::memory_order_relaxed);
      total.bytes_sent += counters.bytes_sent.load(std::memory_order_relaxed);
      total.accepted += counters.accepted.load(std::memory_order_relaxed);
      total.refused += counters.refused.load(std::memory_order_relaxed);
      total.reused += counters.reused.load(std::memory_order_relaxed);
      total.timeouts += counters.timeouts.load(std::memory_order_relaxed);
      total.tls_failures += counters.tls_failures.load(std::memory_order_relaxed);
      for (size_t i = 0; i < 6; ++i)
        total.status_class[i] += counters.status_class[i].load(std::memory_order_relaxed);
    }
    return total;
  }

 private:
  HttpOptions options_;
  std::unique_ptr<net::thread_pool> pool_;
  std::unique_ptr<Committer> committer_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::condition_variable all_closed_;
  uint16_t port_ = 0;
  bool running_ = false;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options,
                                                      Handler* handler) {
  auto server = std::make_unique<HttpServerImpl>(options, handler);
  ZN_RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace zn::server
