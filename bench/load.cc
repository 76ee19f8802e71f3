// An HTTP/1.1 client that asks for a known number of frames over kept connections, each path once
// or at random, and reports the rate: what wrk cannot do (wrk runs for a time, so it cannot read
// every frame exactly once).
//
//   zn-bench-load --port 5000 --path '/api/rooms/r/frames/{}?data=positions&format=npy' --count
//   1000
//                 --requests 1000 --order sequential|permutation|random --connections 32 --threads
//                 2
//
// Prints one JSON object: requests, seconds, rate, bytes (bodies), errors, and latencies in
// microseconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  int port = 0;
  std::string path;
  int64_t count = 1, requests = 1000;
  std::string order = "random";
  int connections = 32, threads = 2;
};

struct Totals {
  int64_t requests = 0, bytes = 0, errors = 0;
  std::vector<float> micros;
};

struct Connection {
  int fd = -1;
  std::string out;
  size_t sent = 0;
  std::string head;        // of the reply, until its end is seen
  int64_t body_left = -1;  // -1: the head is not complete
  bool failed = false;
  Clock::time_point begin;
};

class Worker {
 public:
  Worker(const Options& options, const std::vector<int64_t>& order, std::atomic<int64_t>& next)
      : options_(options), order_(order), next_(next), buffer_(1 << 18) {}

  Totals Run(int connections) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    connections_.resize(static_cast<size_t>(connections));
    for (Connection& c : connections_) {
      if (!Open(c) || !Start(c)) continue;
      ++active_;
    }
    epoll_event events[256];
    while (active_ > 0) {
      int n = epoll_wait(epoll_, events, 256, 10000);
      if (n <= 0) {
        std::fprintf(stderr, "no reply in 10 s\n");
        ++totals_.errors;
        break;
      }
      for (int i = 0; i < n; ++i) {
        if (!Serve(connections_[events[i].data.u32])) --active_;
      }
    }
    for (Connection& c : connections_)
      if (c.fd >= 0) close(c.fd);
    close(epoll_);
    return std::move(totals_);
  }

 private:
  bool Open(Connection& c) {
    c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      std::perror("connect");
      ++totals_.errors;
      return false;
    }
    int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(&c - connections_.data());
    return epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &event) == 0;
  }

  // Sends the next request; false when there is none left. A request is small: it is written in one
  // call.
  bool Start(Connection& c) {
    int64_t number = next_.fetch_add(1, std::memory_order_relaxed);
    if (number >= options_.requests) return false;
    std::string path = options_.path;
    if (size_t at = path.find("{}"); at != std::string::npos)
      path.replace(at, 2, std::to_string(order_[static_cast<size_t>(number)]));
    c.out = "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(options_.port) +
            "\r\n\r\n";
    c.head.clear();
    c.body_left = -1;
    c.begin = Clock::now();
    return write(c.fd, c.out.data(), c.out.size()) == static_cast<ssize_t>(c.out.size());
  }

  // Reads what has come; false when the connection has nothing more to do.
  bool Serve(Connection& c) {
    ssize_t got = recv(c.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got <= 0) {
      ++totals_.errors;
      epoll_ctl(epoll_, EPOLL_CTL_DEL, c.fd, nullptr);
      return false;
    }
    int64_t bytes = got;
    if (c.body_left < 0) {
      c.head.append(buffer_.data(), static_cast<size_t>(got));
      size_t end = c.head.find("\r\n\r\n");
      if (end == std::string::npos) return true;
      bytes = static_cast<int64_t>(c.head.size() - end - 4);
      std::string_view head(c.head.data(), end);
      size_t at = Find(head, "content-length:");
      if (head.substr(9, 3) != "200" || at == std::string::npos) {
        ++totals_.errors;
        if (totals_.errors == 1)
          std::fprintf(stderr, "%.*s\n", static_cast<int>(head.size()), head.data());
        epoll_ctl(epoll_, EPOLL_CTL_DEL, c.fd, nullptr);
        return false;
      }
      c.body_left = std::strtoll(c.head.c_str() + at + 15, nullptr, 10);
      totals_.bytes += c.body_left;
    }
    c.body_left -= bytes;
    if (c.body_left > 0) return true;
    ++totals_.requests;
    totals_.micros.push_back(
        std::chrono::duration<float, std::micro>(Clock::now() - c.begin).count());
    if (Start(c)) return true;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, c.fd, nullptr);
    return false;
  }

  static size_t Find(std::string_view text, std::string_view lower) {
    auto at = std::search(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == b;
    });
    return at == text.end() ? std::string::npos : static_cast<size_t>(at - text.begin());
  }

  const Options& options_;
  const std::vector<int64_t>& order_;
  std::atomic<int64_t>& next_;
  std::vector<char> buffer_;
  std::vector<Connection> connections_;
  Totals totals_;
  int epoll_ = -1, active_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--port")
      options.port = std::atoi(value);
    else if (name == "--path")
      options.path = value;
    else if (name == "--count")
      options.count = std::atoll(value);
    else if (name == "--requests")
      options.requests = std::atoll(value);
    else if (name == "--order")
      options.order = value;
    else if (name == "--connections")
      options.connections = std::atoi(value);
    else if (name == "--threads")
      options.threads = std::atoi(value);
    else
      return 16;
  }
  if (options.port == 0 || options.path.empty() || options.count < 1 || options.threads < 1)
    return 16;

  std::vector<int64_t> order(static_cast<size_t>(options.requests));
  std::mt19937_64 random(1);
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = options.order == "random"
                   ? static_cast<int64_t>(random() % static_cast<uint64_t>(options.count))
                   : static_cast<int64_t>(i) % options.count;
  if (options.order == "permutation") std::shuffle(order.begin(), order.end(), random);

  std::atomic<int64_t> next{0};
  std::vector<Totals> totals(static_cast<size_t>(options.threads));
  std::vector<std::thread> threads;
  auto begin = Clock::now();
  for (int t = 0; t < options.threads; ++t) {
    int connections =
        options.connections / options.threads + (t < options.connections % options.threads);
    if (connections == 0) continue;
    threads.emplace_back([&, t, connections] {
      totals[static_cast<size_t>(t)] = Worker(options, order, next).Run(connections);
    });
  }
  for (std::thread& thread : threads) thread.join();
  double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  Totals all;
  for (Totals& t : totals) {
    all.requests += t.requests;
    all.bytes += t.bytes;
    all.errors += t.errors;
    all.micros.insert(all.micros.end(), t.micros.begin(), t.micros.end());
  }
  std::sort(all.micros.begin(), all.micros.end());
  auto quantile = [&](double q) {
    return all.micros.empty() ? 0.0
                              : static_cast<double>(all.micros[static_cast<size_t>(
                                    q * static_cast<double>(all.micros.size() - 1))]);
  };
  std::printf(
      "{\"requests\": %lld, \"seconds\": %.6f, \"rate\": %.1f, \"bytes\": %lld, \"errors\": %lld, "
      "\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f}\n",
      static_cast<long long>(all.requests), seconds, static_cast<double>(all.requests) / seconds,
      static_cast<long long>(all.bytes), static_cast<long long>(all.errors), quantile(0.5),
      quantile(0.99), quantile(0.999));
  return all.errors == 0 ? 0 : 1;
}
