// A database on loopback that says given bytes to whoever connects, whatever it is asked, then hangs up. For clients that
// block: it has a thread of its own, for the whole process.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <string>
#include <thread>

#include "net/upstream.h"
#include "tests/fuzz/target.h"

namespace vmproxy::fuzz {

class HostileServer {
 public:
  static HostileServer& instance() {
    static auto* server = new HostileServer;  // its thread may outlive main()
    return *server;
  }
  // To each connection that is made from now on.
  void say(std::string_view bytes) {
    std::lock_guard hold(mutex_);
    bytes_ = bytes;
  }
  net::UpstreamOptions options() const {
    net::UpstreamOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    return options;
  }

 private:
  HostileServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "a free port");
    must(::listen(listener_, 16) == 0, "a listener");
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    std::thread([this] { serve(); }).detach();
  }

  void serve() {
    for (;;) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      std::string bytes;
      {
        std::lock_guard hold(mutex_);
        bytes = bytes_;
      }
      // What the client says is taken meanwhile: to close on unread bytes would destroy our own.
      char room[4096];
      std::string_view left = bytes;
      bool said = false;
      for (;;) {
        if (left.empty() && !std::exchange(said, true)) ::shutdown(fd, SHUT_WR);
        pollfd waiting{fd, static_cast<short>(left.empty() ? POLLIN : POLLIN | POLLOUT), 0};
        if (::poll(&waiting, 1, 10'000) <= 0) break;
        if ((waiting.revents & POLLOUT) != 0) {
          const ssize_t sent = ::send(fd, left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
          if (sent < 0) break;
          left.remove_prefix(static_cast<size_t>(sent));
        }
        if ((waiting.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            ::recv(fd, room, sizeof room, MSG_DONTWAIT) <= 0)
          break;
      }
      ::close(fd);
    }
  }

  const int listener_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::string bytes_;
};

}  // namespace vmproxy::fuzz
