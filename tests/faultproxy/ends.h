// Both ends of a link, held by the test.
#pragma once

#include <catch2/catch.hpp>

#include "fault_proxy.h"
#include "tests/net/support.h"

namespace vmproxy::faultproxy::test {

using net::test::Socket;
using namespace std::chrono_literals;

inline constexpr auto patience = 5000ms;

class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(fd_, 64);
    socklen_t size = sizeof address;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  uint16_t port() const { return port_; }
  // Not open() when nobody came in time.
  Socket accept(std::chrono::milliseconds time = patience) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(time.count())) <= 0) return Socket(-1);
    return Socket(::accept(fd_, nullptr, nullptr));
  }

 private:
  int fd_;
  uint16_t port_ = 0;
};

// A link named "a" to an upstream that the test plays.
struct Line {
  struct Ends {
    Socket client;
    Socket upstream;
  };
  Ends connect() {
    Ends ends{Socket::to(port), upstream.accept()};
    REQUIRE(ends.client.open());
    REQUIRE(ends.upstream.open());
    return ends;
  }
  void set(Direction direction, const Faults& faults) {
    LinkFaults all;
    all.of(direction) = faults;
    proxy.set("a", all);
  }

  RunningFaultProxy proxy{7};
  Listener upstream;
  const uint16_t port = proxy.add("a", upstream.port());
};

// The ends of a connection by direction: who sends, who receives.
inline Socket& sender(Line::Ends& ends, Direction direction) {
  return direction == Direction::to_upstream ? ends.client : ends.upstream;
}
inline Socket& receiver(Line::Ends& ends, Direction direction) {
  return direction == Direction::to_upstream ? ends.upstream : ends.client;
}
inline Direction reverse(Direction direction) {
  return direction == Direction::to_upstream ? Direction::to_client : Direction::to_upstream;
}
inline constexpr Direction both_directions[] = {Direction::to_upstream, Direction::to_client};

// Sends until the other side takes no more for a while; the bytes that left.
inline size_t send_until_full(Socket& socket, size_t bytes_max) {
  const std::string piece(64 * 1024, 'x');
  size_t sent = 0;
  while (sent < bytes_max) {
    const auto taken = socket.send_some(piece, 300ms);
    if (taken == 0) break;
    sent += taken;
  }
  return sent;
}

template <class Done>
bool eventually(Done done) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
  return done();
}

}  // namespace vmproxy::faultproxy::test
