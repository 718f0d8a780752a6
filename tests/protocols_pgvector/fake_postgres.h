// A PostgreSQL on loopback that lets everybody in and answers each statement with the bytes that a function gives, then waits
// for the next one. An empty answer hangs up. One connection at a time, on a thread of its own for the whole process.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace vmproxy::testing {

// Messages of the server: https://www.postgresql.org/docs/current/protocol-message-formats.html
namespace postgres {

using Cell = std::optional<std::string>;  // nothing: NULL

inline std::string int16(size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}
inline std::string int32(size_t value) {
  return int16(value >> 16) + int16(value & 0xffff);
}
inline std::string message(char type, const std::string& content) {
  return type + int32(content.size() + 4) + content;
}
inline std::string text(std::string_view value) {
  return std::string(value.substr(0, value.find('\0'))) + '\0';
}
inline std::string ready() {
  return message('Z', "I");
}
// Rows of `columns` cells each, in binary.
inline std::string table(size_t columns, const std::vector<Cell>& cells) {
  std::string fields = int16(columns);
  for (size_t i = 0; i < columns; ++i)
    fields += text("c") + int32(0) + int16(0) + int32(25) + int16(0xffff) + int32(0xffffffff) + int16(1);
  std::string out = message('T', fields);
  for (size_t at = 0; columns > 0 && at + columns <= cells.size(); at += columns) {
    std::string row = int16(columns);
    for (size_t i = at; i < at + columns; ++i)
      row += cells[i] ? int32(cells[i]->size()) + *cells[i] : int32(0xffffffff);
    out += message('D', row);
  }
  return out + message('C', text("SELECT")) + ready();
}
inline std::string done() {
  return message('C', text("SET")) + ready();
}
inline std::string failed(std::string_view sqlstate, std::string_view why) {
  return message('E',
                 "S" + text("ERROR") + "V" + text("ERROR") + "C" + text(sqlstate) + "M" + text(why) + '\0') +
         ready();
}
inline std::string copy_in() {
  return message('G', std::string("\1\0\0", 3));
}

}  // namespace postgres

class FakePostgres {
 public:
  // What is answered to a statement, or to the end of what is copied ("").
  using Answers = std::function<std::string(std::string_view statement)>;

  static FakePostgres& instance() {
    static auto* server = new FakePostgres;  // its thread may outlive main()
    return *server;
  }
  void answer(Answers answers) {
    std::lock_guard hold(mutex_);
    answers_ = std::move(answers);
  }
  // `version`: what it calls its own; nothing: it does not say.
  void version(std::optional<std::string> version) {
    std::lock_guard hold(mutex_);
    version_ = std::move(version);
  }
  std::string url() const {
    return "postgresql://user@127.0.0.1:" + std::to_string(port_) + "/db?sslmode=disable&gssencmode=disable";
  }

 private:
  FakePostgres() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0)
      std::abort();
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    std::thread([this] {
      for (;;) {
        const int fd = ::accept(listener_, nullptr, nullptr);
        if (fd < 0) continue;
        serve(fd);
        ::close(fd);
      }
    }).detach();
  }

  static bool take(int fd, std::string& into, size_t bytes) {
    into.resize(bytes);
    for (size_t at = 0; at < bytes;) {
      const ssize_t got = ::recv(fd, into.data() + at, bytes - at, 0);
      if (got <= 0) return false;
      at += static_cast<size_t>(got);
    }
    return true;
  }
  static size_t length_at(const std::string& bytes, size_t at) {
    size_t length = 0;
    for (size_t i = at; i < at + 4; ++i) length = length * 256 + static_cast<uint8_t>(bytes[i]);
    return length - 4;
  }
  static bool give(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void serve(int fd) {
    std::string head, content, statement, welcome = postgres::message('R', postgres::int32(0));
    if (!take(fd, head, 4) || !take(fd, content, length_at(head, 0))) return;
    if (content.starts_with("\x04\xd2\x16\x2e")) return;  // a request to cancel
    {
      std::lock_guard hold(mutex_);
      if (version_)
        welcome += postgres::message('S', postgres::text("server_version") + postgres::text(*version_));
    }
    if (!give(fd, welcome + postgres::message('K', "12345678") + postgres::ready())) return;
    while (take(fd, head, 5) && take(fd, content, length_at(head, 1))) {
      if (head[0] == 'Q') statement = content.substr(0, content.find('\0'));
      if (head[0] == 'P') statement = content.substr(content.find('\0') + 1);  // behind its name
      if (head[0] == 'c' || head[0] == 'f') statement.clear();
      const bool asks = head[0] == 'Q' || head[0] == 'S' || head[0] == 'c' || head[0] == 'f';
      if (!asks) continue;
      std::string answer;
      {
        std::lock_guard hold(mutex_);
        answer = answers_ ? answers_(statement) : "";
      }
      // Bytes that do not end in "ready for the next one" are the last, or each would wait for the other.
      const bool goes_on = answer.ends_with(postgres::ready()) || answer.ends_with(postgres::copy_in());
      if (!give(fd, answer)) return;
      if (goes_on) continue;
      // What the client still says is taken: to close on unread bytes would destroy our own.
      ::shutdown(fd, SHUT_WR);
      while (take(fd, content, 1)) {
      }
      return;
    }
  }

  const int listener_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  Answers answers_;
  std::optional<std::string> version_ = "15.0";
};

}  // namespace vmproxy::testing
