// Requests on their way to a hostile database: passed on as they come, or held with their answers. What no database has answered
// is a 502 that says it is ours.
#pragma once

#include <array>

#include "hostile_server.h"
#include "server_session.h"

namespace vmproxy::fuzz {

inline net::asio::awaitable<void> reply_error(net::Exchange& exchange) {
  net::Response response;
  response.status = 502;
  response.headers.add("x-ours", "1");
  (void)co_await exchange.reply(std::move(response));
}

inline net::asio::awaitable<void> pass(net::Exchange& exchange, net::Upstream& upstream) {
  if (auto passed = co_await exchange.pass(upstream); !passed) co_await reply_error(exchange);
}

inline net::asio::awaitable<void> hold(net::Exchange& exchange, net::Upstream& upstream) {
  constexpr uint64_t bytes_max = 64 * 1024;
  if (auto read = co_await exchange.read_body(bytes_max); !read) co_return co_await reply_error(exchange);
  const auto answer =
      co_await exchange.forward(upstream, exchange.deadline(), bytes_max, [] { return true; });
  if (!answer) co_return co_await reply_error(exchange);
  must(answer->status >= 200 && answer->status <= 999, "a held answer has a status");
  (void)co_await exchange.reply_upstream();
}

// `holds`: or passes on. `reuses`: also a connection on which something was asked before.
inline const std::shared_ptr<const net::Listener>& listener_before_database(bool holds, bool reuses) {
  const auto made = [](bool held, bool reused) {
    auto options = HostileServer::instance().options();
    if (!reused) options.idle_max = {};
    auto* upstream = new net::Upstream(options);  // as long as the process, as the listeners are
    return listener_of([=](net::Exchange& exchange) {
      return held ? hold(exchange, *upstream) : pass(exchange, *upstream);
    });
  };
  static const auto& listeners =
      *new std::array{made(false, false), made(true, false), made(false, true), made(true, true)};
  return listeners[(holds ? 1 : 0) + (reuses ? 2 : 0)];
}

}  // namespace vmproxy::fuzz
