// A database on loopback that says given bytes to whoever connects, whatever it is asked, then hangs up. For clients that
// block: it has a thread of its own, for the whole process.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/upstream.h"
#include "tests/fuzz/target.h"

namespace vmproxy::fuzz {

class HostileServer {
 public:
  static HostileServer& instance() {
    static auto* server = new HostileServer;  // its thread may outlive main()
    return *server;
  }
  // To each connection that is made from now on. `later`: not before so many HTTP/2 requests have come on it.
  void say(std::string_view bytes, std::string_view later = {}, int requests = 0) {
    std::lock_guard hold(mutex_);
    said_ = {std::string(bytes), std::string(later), requests};
  }
  net::UpstreamOptions options() const {
    net::UpstreamOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    return options;
  }

 private:
  struct Said {
    std::string at_once, later;
    int requests = 0;
  };

  // Counts the HEADERS of an HTTP/2 client, behind its preface.
  class Requests {
   public:
    int count(std::string_view more) {
      bytes_ += more;
      while (bytes_.size() >= at_ + 9) {
        const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes_[at_ + i]); };
        count_ += byte(3) == 1 ? 1 : 0;
        at_ += size_t{9} + (byte(0) << 16 | byte(1) << 8 | byte(2));
      }
      return count_;
    }

   private:
    std::string bytes_;
    size_t at_ = 24;
    int count_ = 0;
  };

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

  // A client may keep one idle while it makes another.
  class Connection {
   public:
    Connection(int fd, Said said) : fd_(fd), said_(std::move(said)), left_(std::move(said_.at_once)) {
      go_on(0);
    }
    pollfd waits() const { return {fd_, static_cast<short>(left_.empty() ? POLLIN : POLLIN | POLLOUT), 0}; }
    // False: it is closed.
    bool go_on(short events) {
      if ((events & POLLOUT) != 0) {
        const ssize_t sent = ::send(fd_, left_.data(), left_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) return close();
        left_.erase(0, static_cast<size_t>(sent));
      }
      // What the client says is taken meanwhile: to close on unread bytes would destroy our own.
      if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
        char room[4096];
        const ssize_t got = ::recv(fd_, room, sizeof room, MSG_DONTWAIT);
        if (got <= 0) return close();
        if (!asked() && requests_.count({room, static_cast<size_t>(got)}) >= said_.requests) {
          said_.requests = 0;
          left_ += said_.later;
        }
      }
      if (left_.empty() && asked() && !std::exchange(ended_, true)) ::shutdown(fd_, SHUT_WR);
      return true;
    }

   private:
    bool asked() const { return said_.requests == 0; }
    bool close() {
      ::close(fd_);
      return false;
    }

    int fd_;
    Said said_;
    std::string left_;
    Requests requests_;
    bool ended_ = false;
  };

  void serve() {
    for (;;) {
      std::vector<pollfd> waiting{{listener_, POLLIN, 0}};
      for (const auto& connection : connections_) waiting.push_back(connection.waits());
      if (::poll(waiting.data(), waiting.size(), -1) < 0) continue;
      for (size_t i = connections_.size(); i-- > 0;) {
        if (waiting[i + 1].revents != 0 && !connections_[i].go_on(waiting[i + 1].revents))
          connections_.erase(connections_.begin() + static_cast<ptrdiff_t>(i));
      }
      if (waiting[0].revents == 0) continue;
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      std::lock_guard hold(mutex_);
      connections_.emplace_back(fd, said_);
      said_.requests = std::min(said_.requests, 1);  // what was refused comes again, maybe alone
    }
  }

  const int listener_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  Said said_;
  std::vector<Connection> connections_;  // of the thread
};

}  // namespace vmproxy::fuzz
