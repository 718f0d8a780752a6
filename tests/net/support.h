// Blocking sockets for tests: a client that says exactly these bytes, and a database that answers exactly
// those.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/exchange.h"
#include "net/server.h"
#include "net/upstream.h"

namespace vmproxy::net::test {

using namespace std::chrono_literals;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  static Socket to(uint16_t port, int receive_bytes = 0) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_bytes > 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ::close(fd);
      return Socket(-1);
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return Socket(fd);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Socket() { close(); }

  bool open() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // As many as the socket takes at once; 0 when it takes none for that time.
  size_t send_some(std::string_view bytes, std::chrono::milliseconds patience) {
    pollfd waiting{fd_, POLLOUT, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return 0;
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }
  // What arrives next; "" at the end or after the time.
  std::string receive(std::chrono::milliseconds patience = 3000ms, size_t bytes_max = 65536) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return {};
    std::string bytes(bytes_max, '\0');
    const ssize_t got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    reset_ = got < 0;
    ended_ = got <= 0;
    bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return bytes;
  }
  std::string receive_until(std::string_view end) {
    std::string all;
    while (all.find(end) == std::string::npos) {
      const auto more = receive();
      if (more.empty()) break;
      all += more;
    }
    return all;
  }
  std::string receive_bytes(size_t bytes) {
    std::string all;
    while (all.size() < bytes) {
      const auto more = receive(3000ms, bytes - all.size());
      if (more.empty()) break;
      all += more;
    }
    return all;
  }
  std::string receive_all() {  // to the close
    std::string all;
    for (;;) {
      const auto more = receive();
      if (more.empty()) return all;
      all += more;
    }
  }
  bool closed_within(std::chrono::milliseconds patience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!ended_ && std::chrono::steady_clock::now() < end) receive(10ms);
    return ended_;
  }
  bool was_reset() const { return reset_; }
  void set_receive_buffer(int bytes) { ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); }
  void end_writing() { ::shutdown(fd_, SHUT_WR); }
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
  bool ended_ = false;
  bool reset_ = false;
};

// Reads one request with a Content-Length or without a body; all bytes of it. "" when the peer closed.
inline std::string read_request(Socket& socket) {
  std::string bytes;
  while (bytes.find("\r\n\r\n") == std::string::npos) {
    const auto more = socket.receive();
    if (more.empty()) return {};
    bytes += more;
  }
  const auto head = bytes.find("\r\n\r\n") + 4;
  const auto field = bytes.find("Content-Length: ");
  const size_t length = field < head ? std::stoul(bytes.substr(field + 16)) : 0;
  if (bytes.size() < head + length) bytes += socket.receive_bytes(head + length - bytes.size());
  return bytes;
}

inline std::string ok(std::string_view body = "ok") {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// A port whose connections the test itself accepts, or leaves in the system's queue of `backlog` and one.
class Listener {
 public:
  explicit Listener(int backlog) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(fd_, backlog);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  Listener(const Listener&) = delete;
  ~Listener() { ::close(fd_); }
  Socket accept() { return Socket(::accept(fd_, nullptr, nullptr)); }  // not open() after end()
  void end() { ::shutdown(fd_, SHUT_RDWR); }
  uint16_t port() const { return port_; }
  UpstreamOptions options() const {
    UpstreamOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    return options;
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

// A database on loopback: `serve` gets each accepted connection, with its number, on a thread of its own.
class FakeUpstream {
 public:
  using Serve = std::function<void(Socket&, int)>;
  explicit FakeUpstream(Serve serve) : serve_(std::move(serve)), thread_([this] { accept_all(); }) {}
  ~FakeUpstream() {
    stopping_ = true;
    listener_.end();
    thread_.join();
    for (auto& thread : serving_) thread.join();
  }
  // Answers every request with `answer`, on connections that stay open, and keeps the requests.
  static Serve answering(std::string answer, std::vector<std::string>* seen = nullptr,
                         std::mutex* mutex = nullptr) {
    return [=](Socket& socket, int) {
      for (;;) {
        const auto request = read_request(socket);
        if (request.empty()) return;
        if (seen != nullptr) {
          std::lock_guard hold(*mutex);
          seen->push_back(request);
        }
        socket.send(answer);
      }
    };
  }
  uint16_t port() const { return listener_.port(); }
  int accepted() const { return accepted_; }
  UpstreamOptions options() const { return listener_.options(); }

 private:
  void accept_all() {
    for (;;) {
      Socket socket = listener_.accept();
      if (!socket.open() || stopping_) return;
      const int on = 1;
      ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const int number = accepted_++;
      serving_.emplace_back([this, number](Socket served) { serve_(served, number); }, std::move(socket));
    }
  }

  Serve serve_;
  Listener listener_{512};
  std::atomic<bool> stopping_{false};
  std::atomic<int> accepted_{0};
  std::vector<std::thread> serving_;
  std::thread thread_;  // last: it uses the others
};

inline boost::asio::awaitable<void> reply_error(Exchange& exchange, const Error& error) {
  Response response;
  response.status = error.code == Code::timeout     ? 504
                    : error.code == Code::invalid   ? 400
                    : error.code == Code::too_large ? 413
                                                    : 502;
  response.body = std::string(name_of(error.code)) + ": " + error.message;
  (void)co_await exchange.reply(std::move(response));
}

inline boost::asio::awaitable<void> pass_or_error(Exchange& exchange, Upstream& upstream) {
  if (auto passed = co_await exchange.pass(upstream); !passed) co_await reply_error(exchange, passed.error());
}

inline boost::asio::awaitable<void> hold_or_error(Exchange& exchange, Upstream& upstream,
                                                  uint64_t bytes_max = 1u << 30) {
  if (auto read = co_await exchange.read_body(bytes_max); !read)
    co_return co_await reply_error(exchange, read.error());
  const auto answer =
      co_await exchange.forward(upstream, exchange.deadline(), bytes_max, [] { return true; });
  if (!answer) co_return co_await reply_error(exchange, answer.error());
  (void)co_await exchange.reply_upstream();
}

// A server with one handler on a free port. The upstream outlives it.
struct Proxy {
  explicit Proxy(Handler handler, ListenOptions options = {}, size_t workers = 1) : server(workers) {
    options.host = "127.0.0.1";
    port = server.listen(options, std::move(handler)).value();
    server.start();
  }
  static Proxy passing(Upstream& upstream, ListenOptions options = {}) {
    return Proxy([&upstream](Exchange& exchange) { return pass_or_error(exchange, upstream); }, options);
  }
  static Proxy holding(Upstream& upstream, ListenOptions options = {}) {
    return Proxy([&upstream](Exchange& exchange) { return hold_or_error(exchange, upstream); }, options);
  }
  Server server;
  uint16_t port = 0;
};

}  // namespace vmproxy::net::test
