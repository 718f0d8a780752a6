// A connection cut at every byte, with requests that can be told apart and a database that counts what it executed.
#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>

#include "tests/faultproxy/fault_proxy.h"
#include "tests/net/support.h"

namespace vmproxy::net_cuts {

using namespace std::chrono_literals;
using faultproxy::Cut;
using faultproxy::Direction;

// Where the cut is.
enum class Place { before_proxy, behind_proxy };

// What a client was told.
struct Outcome {
  bool whole = false;  // an answer that says it is complete and good
  std::string body;    // of that answer
  Error error;         // otherwise: the client's own, or the one that the proxy answered with
};

constexpr size_t body_bytes = 2048;

// The body of request `number`: its bytes occur in no other request's at the same places.
inline std::string body_of(size_t number) {
  std::string body = "request " + std::to_string(number) + ":";
  while (body.size() < body_bytes) body += static_cast<char>('a' + (body.size() * 7 + number) % 26);
  return body;
}

// Answers each request with its own body, and counts it once it was read whole.
class Database {
 public:
  net::Handler handler() {
    return [this](net::Exchange& exchange) { return serve(exchange); };
  }
  std::map<std::string, int> executed() {
    std::lock_guard hold(mutex_);
    return executed_;
  }

 private:
  boost::asio::awaitable<void> serve(net::Exchange& exchange) {
    if (!co_await exchange.read_body(1u << 20)) co_return;
    std::string body = exchange.request().body;
    {
      std::lock_guard hold(mutex_);
      ++executed_[exchange.head().http2 ? body.substr(std::min<size_t>(5, body.size())) : body];
    }
    net::Response response;
    response.body = std::move(body);
    if (exchange.head().http2) {
      response.headers.set("content-type", "application/grpc");
      response.trailers.set("grpc-status", "0");
    }
    (void)co_await exchange.reply(std::move(response));
  }

  std::mutex mutex_;
  std::map<std::string, int> executed_;
};

inline net::UpstreamOptions at(uint16_t port) {
  net::UpstreamOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.idle_max = {};  // each request on a connection of its own, so that each is cut at its byte
  return options;
}

inline boost::asio::awaitable<void> answer_error(net::Exchange& exchange, const Error& error) {
  const std::string text = std::string(name_of(error.code)) + ": " + error.message;
  net::Response response;
  if (exchange.head().http2) {
    response.headers.set("content-type", "application/grpc");
    response.headers.set("grpc-status", "14");
    response.headers.set("grpc-message", net::percent_encode(text));
  } else {
    response.status = 502;
    response.body = text;
  }
  (void)co_await exchange.reply(std::move(response));
}

inline boost::asio::awaitable<void> relay(net::Exchange& exchange, net::Upstream& upstream, bool hold) {
  if (!hold) {
    if (auto passed = co_await exchange.pass(upstream); !passed)
      co_await answer_error(exchange, passed.error());
    co_return;
  }
  if (auto read = co_await exchange.read_body(1u << 20); !read)
    co_return co_await answer_error(exchange, read.error());
  const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1u << 20, [] { return true; });
  if (!answer) co_return co_await answer_error(exchange, answer.error());
  (void)co_await exchange.reply_upstream();
}

// The error that answer_error() wrote.
inline Error told(std::string_view text) {
  for (int code = 0; code <= static_cast<int>(Code::internal); ++code) {
    const auto name = name_of(static_cast<Code>(code));
    if (text.starts_with(name) && text.substr(name.size()).starts_with(": "))
      return {static_cast<Code>(code), std::string(text)};
  }
  return {Code::internal, std::string(text)};
}

inline size_t open_descriptors() {
  const std::filesystem::directory_iterator files("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(files), end(files)));
}

template <class Done>
bool eventually(Done done) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  for (;;) {
    if (done()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(100us);
  }
}

// client - [link "client"] - proxy - [link "database"] - database
struct Chain {
  explicit Chain(bool hold)
      : upstream(at(faults.add("database", server.port))),
        proxy([this, hold](net::Exchange& exchange) { return relay(exchange, upstream, hold); }),
        port(faults.add("client", proxy.port)) {}

  Database database;
  net::test::Proxy server{database.handler()};
  faultproxy::RunningFaultProxy faults{1};
  net::Upstream upstream;
  net::test::Proxy proxy;
  const uint16_t port;

  size_t connections() const { return proxy.server.connections() + server.server.connections(); }
};

// Sends one request through the chain at `port` and waits for what the client is told, seconds at most.
using Call = std::function<Outcome(uint16_t port, const std::string& body)>;

// Cuts at every byte (of slow builds: at some) from 0 until a few after the last that such an exchange has, and checks what may be said of it:
// a whole answer is exactly the right one; an error is connection_lost, or one that proves that nothing was executed,
// and then nothing was; nothing is executed twice; what was cut before `short_of` bytes (absent: before the last) is
// never whole; after each cut both servers let go of their connections, and at the end no descriptor is left.
void sweep(const Call& call, bool hold, Place place, Direction direction, Cut cut,
           std::optional<size_t> short_of);

}  // namespace vmproxy::net_cuts
