// One client of a listener on this thread: production's own Connection::run() reads from a socket pair what the client
// says, and the handler checks what reaches it. Not thread-safe.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <string>

#include "net/connection.h"
#include "net/http1_head.h"
#include "tests/fuzz/target.h"

namespace vmproxy::fuzz {

// Whatever reaches a handler could be written as one HTTP/1.1 request: nothing in it can become a line of its own.
inline void check_head(const net::RequestHead& head) {
  must(net::is_token(head.method), "a method that reaches a handler is a token");
  for (const char c : head.target) {
    const auto byte = static_cast<uint8_t>(c);
    must(byte > 0x20 && byte != 0x7f, "a target that reaches a handler has no blanks and no controls");
  }
  for (const auto& [name, value] : head.headers.all())
    must(net::is_token(name) && net::is_field_value(value), "a field that reaches a handler is one line");
}

inline constexpr uint64_t handler_body_bytes_max = 4096;

inline net::asio::awaitable<void> answer(net::Exchange& exchange) {
  check_head(exchange.head());
  net::Response response;
  if (exchange.head().method != "GET") {
    const auto read = co_await exchange.read_body(handler_body_bytes_max);
    if (!read) {
      response.status = read.error().code == Code::too_large ? 413 : 400;
    } else {
      const auto& body = exchange.request().body;
      must(body.size() <= handler_body_bytes_max, "a body within its bound");
      if (const auto length = exchange.head().content_length; length && !exchange.head().chunked)
        must(*length == body.size(), "a body as long as announced");
      response.body = body;
    }
  }
  response.trailers.add("x-trailer", "1");
  (void)co_await exchange.reply(std::move(response));
}

inline net::asio::awaitable<void> run(std::unique_ptr<net::Connection> connection) {
  co_await connection->run();
}

inline std::shared_ptr<const net::Listener> listener_of(net::Handler handler) {
  net::ListenOptions options;
  options.head_bytes_max = 16 * 1024;
  return std::make_shared<const net::Listener>(net::Listener{options, std::move(handler), nullptr});
}

// Says these bytes and no more; returns what came back. The connection must end then. `hangs_up`: the client does, once it has said
// them; else they ask the other side to.
inline std::string converse(std::string_view bytes, const std::shared_ptr<const net::Listener>& listener,
                            bool hangs_up = true) {
  static net::asio::io_context io{1};
  static net::ConnectionList connections;
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0, "a socket pair");
  ++connections.count;
  bool ended = false;
  net::asio::co_spawn(
      io, run(std::make_unique<net::Connection>(net::worker_of(io), listener, connections, ends[0])),
      [&](std::exception_ptr thrown) {
        must(!thrown, "no exception ends a connection");
        ended = true;
      });
  std::string answered;
  const auto work = [&] {
    io.restart();
    const bool worked = io.poll() > 0;
    char room[4096];
    ssize_t got = 0;
    while ((got = ::recv(ends[1], room, sizeof room, 0)) > 0) answered.append(room, static_cast<size_t>(got));
    if (got == 0) ::shutdown(ends[1], SHUT_WR);  // else the other side waits a second for it
    return worked;
  };
  while (!bytes.empty() && !ended) {
    const ssize_t sent = ::send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    if (sent < 0 && errno != EAGAIN) break;
    work();
  }
  if (hangs_up) ::shutdown(ends[1], SHUT_WR);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!ended && std::chrono::steady_clock::now() < patience) {
    if (!work()) {
      io.restart();
      io.run_one_for(std::chrono::milliseconds(1));
    }
  }
  must(ended, "a connection ends with its client");
  ::close(ends[1]);
  return answered;
}

inline std::string converse(std::string_view bytes) {
  static const auto listener = listener_of(answer);
  return converse(bytes, listener);
}

}  // namespace vmproxy::fuzz
