// Many Socket.IO clients over WebSocket, in one thread around epoll, so that what is measured is the server and not the
// clients: they connect, join a room, and either stay (--idle: prints "ready" and waits for a line on standard input) or
// measure how long one event takes from the socket that sends it to every socket that gets it.
//   zn-bench-sockets --port P --clients N [--events K] [--idle]
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "zn-bench-sockets: %s\n", what.c_str());
  std::exit(1);
}

class Client {
 public:
  explicit Client(int port) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      Fail(std::string("connect: ") + std::strerror(errno));
    int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Write(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    while (buffer_.find("\r\n\r\n") == std::string::npos) Read();
    if (buffer_.compare(0, 12, "HTTP/1.1 101") != 0) Fail("no WebSocket: " + buffer_);
    buffer_.erase(0, buffer_.find("\r\n\r\n") + 4);
    Await("0{");
    Say("40");
    Await("40{");
  }
  Client(Client&& other) noexcept : socket_(std::exchange(other.socket_, -1)), buffer_(std::move(other.buffer_)) {}
  ~Client() {
    if (socket_ >= 0) ::close(socket_);
  }

  int socket() const { return socket_; }

  void Say(std::string_view text) {
    std::string frame("\x81");
    if (text.size() < 126) {
      frame += static_cast<char>(0x80 | text.size());
    } else {
      frame += static_cast<char>(0xfe);
      frame += static_cast<char>(text.size() >> 8);
      frame += static_cast<char>(text.size());
    }
    frame.append(4, '\0');  // a mask of zeros
    frame += text;
    Write(frame);
  }

  /// Reads until a message that starts so has come.
  std::string Await(std::string_view start) {
    for (;;) {
      std::string message;
      while (!Next(&message)) Read();
      if (message.compare(0, start.size(), start) == 0) return message;
    }
  }

  /// What has come: how many messages start so. Answers pings.
  size_t Take(std::string_view start) {
    Read();
    size_t found = 0;
    std::string message;
    while (Next(&message)) found += message.compare(0, start.size(), start) == 0;
    return found;
  }

 private:
  void Write(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) Fail("the server closed a connection");
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void Read() {
    char part[16384];
    ssize_t n = ::recv(socket_, part, sizeof part, 0);
    if (n <= 0) Fail("the server closed a connection");
    buffer_.append(part, static_cast<size_t>(n));
  }
  bool Next(std::string* message) {
    if (buffer_.size() < 2) return false;
    size_t head = 2, size = static_cast<uint8_t>(buffer_[1]) & 0x7f;
    if (size == 126) {
      if (buffer_.size() < 4) return false;
      size = static_cast<size_t>(static_cast<uint8_t>(buffer_[2])) << 8 | static_cast<uint8_t>(buffer_[3]);
      head = 4;
    } else if (size == 127) {
      Fail("a message longer than this program takes");
    }
    if (buffer_.size() < head + size) return false;
    if ((buffer_[0] & 0x0f) == 8) Fail("the server said goodbye: " + buffer_.substr(head + 2, size - 2));
    *message = buffer_.substr(head, size);
    buffer_.erase(0, head + size);
    if (*message == "2") Say("3");
    return true;
  }

  int socket_;
  std::string buffer_;
};

double Percentile(std::vector<double>& sorted, double p) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(p * static_cast<double>(sorted.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  int port = 0, n = 10, events = 200;
  bool idle = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view name = argv[i];
    if (name == "--idle") {
      idle = true;
      continue;
    }
    if (i + 1 == argc) Fail("--port P --clients N [--events K] [--idle]");
    int value = std::atoi(argv[++i]);
    if (name == "--port") port = value;
    if (name == "--clients") n = value;
    if (name == "--events") events = value;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);

  std::vector<Client> clients;
  clients.reserve(static_cast<size_t>(n) + 1);
  for (int i = 0; i < n; ++i) {
    clients.emplace_back(port);
    clients.back().Say("420[\"join:room\",{\"roomId\":\"bench\"}]");
    clients.back().Await("430[");
  }
  std::printf("ready\n");
  std::fflush(stdout);

  int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < clients.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].socket(), &event);
  }
  std::vector<epoll_event> ready(1024);
  if (idle) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = UINT64_MAX;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
      int count = ::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), -1);
      for (int k = 0; k < count; ++k) {
        if (ready[static_cast<size_t>(k)].data.u64 == UINT64_MAX) return 0;
        (void)clients[ready[static_cast<size_t>(k)].data.u64].Take("42");
      }
    }
  }

  Client speaker(port);
  speaker.Say("420[\"join:room\",{\"roomId\":\"bench\"}]");
  speaker.Await("430[");
  speaker.Say("421[\"request_presenter_token\",{}]");
  speaker.Await("431[");
  std::vector<double> latencies;
  for (int k = 0; k < events + 20; ++k) {
    if (k % 50 == 49) {
      speaker.Say("421[\"renew_presenter_token\",{}]");
      speaker.Await("431[");
    }
    const auto begin = Clock::now();
    speaker.Say("42[\"set_room_frame\",{\"frame\":" + std::to_string(k) + "}]");
    for (size_t missing = clients.size(); missing > 0;) {
      int count = ::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), 10000);
      if (count <= 0) Fail("an event did not arrive");
      const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
      for (int i = 0; i < count; ++i) {
        const size_t got = clients[ready[static_cast<size_t>(i)].data.u64].Take("42[\"frame_update\"");
        if (got > 0 && k >= 20) latencies.insert(latencies.end(), got, us);
        missing -= std::min(got, missing);
      }
    }
  }
  std::sort(latencies.begin(), latencies.end());
  std::printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"received\": %zu}\n",
              Percentile(latencies, 0.5), Percentile(latencies, 0.99), latencies.back(), latencies.size());
}
