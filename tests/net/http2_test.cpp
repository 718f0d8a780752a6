// HTTP/2 and gRPC: the same Exchange, streams instead of connections.
#include <zlib.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <fstream>

#include "net/grpc_client.h"
#include "net/http2_exchange.h"
#include "net/http_client.h"
#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

Deadline soon(std::chrono::milliseconds in = 5000ms) {
  return std::chrono::steady_clock::now() + in;
}

UpstreamOptions at(uint16_t port) {
  UpstreamOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  return options;
}

std::string frame(std::string_view message, char flag = 0) {
  std::string out(1, flag);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>((message.size() >> shift) & 0xff);
  return out.append(message);
}

boost::asio::awaitable<void> sleep(Exchange& exchange, std::chrono::milliseconds time) {
  boost::asio::steady_timer timer(exchange.executor(), time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

Response grpc_response(std::string body, std::string_view status = "0") {
  Response response;
  response.headers.set("content-type", "application/grpc");
  response.body = std::move(body);
  response.trailers.set("grpc-status", status);
  return response;
}

std::string gzipped(std::string_view bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(bytes.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A gRPC database: what it does depends on the path.
struct Database {
  boost::asio::awaitable<void> serve(Exchange& exchange) {
    ++calls;
    const auto path = std::string(exchange.head().path());
    if (path == "/t/Hang" || path == "/t/Unread") {
      ++hanging;
      while (!exchange.client_gone() && !let_go) co_await sleep(exchange, 5ms);
      saw_cancel = exchange.client_gone();
      --hanging;
      if (path == "/t/Hang") co_return;
    }
    if (!co_await exchange.read_body(1u << 30)) co_return;
    if (path == "/t/Echo") (void)co_await exchange.reply(grpc_response(exchange.request().body));
    if (path == "/t/Unread")
      (void)co_await exchange.reply(grpc_response(frame(std::to_string(exchange.request().body.size()))));
    if (path == "/t/Gzip") {
      auto response = grpc_response(frame(gzipped(std::string(100000, 'z')), 1));
      response.headers.set("grpc-encoding", "gzip");
      (void)co_await exchange.reply(std::move(response));
    }
    if (path == "/t/TrailersOnly") {
      Response response;
      response.headers.set("content-type", "application/grpc");
      response.headers.set("grpc-status", "5");
      response.headers.set("grpc-message", "not%20here");
      (void)co_await exchange.reply(std::move(response));
    }
    if (path == "/t/Metadata") {
      auto response = grpc_response(frame(exchange.request().headers.find("x-in").value_or("?")));
      response.headers.set("x-out", "o");
      response.trailers.set("x-trailer", "t");
      (void)co_await exchange.reply(std::move(response));
    }
  }
  Handler handler() {
    return [this](Exchange& exchange) { return serve(exchange); };
  }
  std::atomic<int> calls{0};
  std::atomic<int> hanging{0};
  std::atomic<bool> let_go{false};
  std::atomic<bool> saw_cancel{false};
};

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr size_t spare_bytes = 200u << 20;  // freed memory stays resident under a sanitizer
#else
constexpr size_t spare_bytes = 20u << 20;
#endif

size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  size_t all = 0;
  size_t resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

bool eventually(const std::function<bool()>& done, std::chrono::milliseconds patience = 10000ms) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
  return done();
}

// Whatever a client did on its connection.
bool serves_others(const Proxy& server) {
  GrpcClient other(at(server.port), 1);
  return other.send("/t/Echo", {}, "x", soon()).has_value();
}

// A client's frames by hand.
std::string settings_frame() {
  return {"\0\0\0\4\0\0\0\0\0", 9};
}
const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string number(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}
// MadeYouReset (CVE-2025-8671): a request, and a window that overflows, for which the server must reset it.
std::string provoked_reset(uint32_t stream) {
  return std::string("\0\0\x6\1\4", 5) + number(stream) + "\x83\x86\x84\x41\x01" + "a" +
         std::string("\0\0\4\x8\0", 5) + number(stream) + "\x7f\xff\xff\xff";
}

}  // namespace

TEST_CASE("gRPC passes and is held through the proxy: messages, metadata, trailers, status") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  for (const bool hold : {false, true}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    GrpcClient client(at(proxy.port), 4);
    CHECK(client.send("/t/Echo", {}, "hello", soon()).value().body == "hello");
    CHECK(client.send("/t/Echo", {}, "", soon()).value().body.empty());
    const auto told = client.send("/t/Metadata", {{"X-In", "i"}}, "", soon()).value();
    CHECK(told.body == "i");
    CHECK(told.headers.find("x-out") == "o");
    CHECK(told.trailers.find("x-trailer") == "t");
    const auto failed = client.send("/t/TrailersOnly", {}, "x", soon()).value();
    CHECK(failed.status == 5);
    CHECK(failed.message == "not here");
    CHECK(client.send("/t/Gzip", {}, "x", soon()).value().body == std::string(100000, 'z'));
    const std::string large(20 << 20, 'L');
    CHECK(client.send("/t/Echo", {}, large, soon(20s)).value().body == large);
  }
}

TEST_CASE("a held call can go on with another body") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    exchange.send_instead(frame("another"));
    (void)co_await exchange.forward(upstream, exchange.deadline(), 1000, nullptr);
    (void)co_await exchange.reply_upstream();
  });
  GrpcClient client(at(proxy.port), 1);
  for (const std::string body : {"hello", ""}) {
    const auto answer =
        client.send("/t/Echo", {{"content-length", std::to_string(body.size() + 5)}}, body, soon());
    CHECK(answer.value().body == "another");
  }
}

TEST_CASE("many calls at once share connections and none is mixed up") {
  Database database;
  Proxy server(database.handler(), {}, 2);
  Upstream upstream(at(server.port));
  for (const bool hold : {false, true}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    GrpcClient client(at(proxy.port), 24);
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 24; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          const std::string message =
              std::to_string(t) + ":" + std::to_string(i) + std::string(static_cast<size_t>(t * i * 20), 'x');
          const auto answer = client.send("/t/Echo", {}, message, soon(20s));
          right += answer && answer->body == message;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    CHECK(right == 24 * 50);
  }
}

TEST_CASE("an answer before the end of the request arrives whole, then the rest is refused") {
  Response refused = grpc_response("");
  SECTION("as fields alone") {
    refused.headers.set("grpc-status", "8");
    refused.trailers = {};
  }
  SECTION("with a body and trailers") {
    refused = grpc_response(frame("no"), "8");
  }
  SECTION("with a body alone") {
    refused = grpc_response(frame("no"));
    refused.trailers = {};
  }
  std::atomic<bool> reading{false};
  Proxy server([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    reading = true;
    const auto read = co_await exchange.read_body(10);
    if (read.has_error()) (void)co_await exchange.reply(Response(refused));
  });
  auto client = Socket::to(server.port);
  using namespace std::string_literals;
  const auto head = "\x83\x86\x44\x02/x\x41\x01"s + "a";
  client.send(preface + settings_frame() + "\0\0"s + static_cast<char>(head.size()) + "\1\4\0\0\0\1"s + head);
  REQUIRE(eventually([&] { return reading.load(); }));
  client.send("\0\0\x14\0\0\0\0\0\1"s + std::string(20, 'x'));  // and more could come
  enum : char { data = 0, headers = 1, rst_stream = 3 };
  std::string received;
  bool ended = false, reset = false;
  while (!reset) {
    const auto more = client.receive(2000ms);
    if (more.empty()) break;
    received += more;
    while (received.size() >= 9) {
      const size_t size = static_cast<uint8_t>(received[1]) << 8 | static_cast<uint8_t>(received[2]);
      if (received.size() < 9 + size) break;
      if ((received[3] == data || received[3] == headers) && (received[4] & 1) != 0) ended = true;
      if (received[3] == rst_stream) {
        CHECK(ended);
        CHECK(received.substr(9, 4) == "\0\0\0\0"s);  // NO_ERROR
        reset = true;
      }
      received.erase(0, 9 + size);
    }
  }
  CHECK(ended);
  CHECK(reset);
}

TEST_CASE("a cancelled call reaches the upstream within 50 ms") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  auto proxy = Proxy::passing(upstream);
  // One that is quick shows it; others may have waited for a processor.
  auto quickest = std::chrono::steady_clock::duration::max();
  for (int attempt = 0; attempt < 5 && quickest >= 50ms; ++attempt) {
    {
      GrpcClient impatient(at(proxy.port), 1);
      std::thread call([&] { (void)impatient.send("/t/Hang", {}, "x", soon(300ms)); });
      REQUIRE(eventually([&] { return database.hanging == 1; }));
      call.join();  // its deadline passed, its connection closed
    }
    const auto begun = std::chrono::steady_clock::now();
    CHECK(eventually([&] { return database.hanging == 0; }));
    quickest = std::min(quickest, std::chrono::steady_clock::now() - begun);
    CHECK(database.saw_cancel);
  }
  CHECK(quickest < 50ms);
}

TEST_CASE("a gRPC call for which no connection becomes free was surely not made, and may be made again") {
  Database database;
  Proxy server(database.handler());
  GrpcClient client(at(server.port), 1);
  std::thread hangs([&] { (void)client.send("/t/Hang", {}, "x", soon()); });
  CHECK(eventually([&] { return database.hanging == 1; }));
  const auto refused = client.send("/t/Echo", {}, "x", soon(50ms));
  database.let_go = true;
  hangs.join();
  REQUIRE(refused.has_error());
  CHECK(refused.error().surely_not_done());
  CHECK(refused.error().retryable());
  CHECK(database.calls == 1);
}

TEST_CASE("grpc-timeout is the request's deadline") {
  CHECK(parse_grpc_timeout("100m") == Duration(100ms));
  CHECK(parse_grpc_timeout("2S") == Duration(2s));
  CHECK(parse_grpc_timeout("3H") == Duration(3h));
  CHECK(parse_grpc_timeout("99999999H").has_value());
  for (const auto* wrong : {"", "m", "10", "-1m", "1x", "999999999m", "1 m"})
    CHECK_FALSE(parse_grpc_timeout(wrong).has_value());

  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  std::atomic<int> code{-1};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1000, nullptr);
    code = answer ? 100 : static_cast<int>(answer.error().code);
    Response response;
    response.headers.set("grpc-status", "4");
    (void)co_await exchange.reply(std::move(response));
  });
  // The client waits longer than it says, to see the proxy's own answer.
  auto client = Socket::to(proxy.port);
  GrpcClient patient(at(proxy.port), 1);
  const auto answer = patient.send("/t/Hang", {{"grpc-timeout", "100m"}}, "x", soon(400ms));
  CHECK(eventually([&] { return code >= 0; }));
  CHECK(code == static_cast<int>(Code::timeout));
}

TEST_CASE("a body that the upstream does not take is not collected in memory") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  auto proxy = Proxy::passing(upstream);
  GrpcClient client(at(proxy.port), 1);
  const std::string large(60 << 20, 'L');
  const auto before = resident_bytes();
  std::string answer;
  std::thread call([&] {
    const auto got = client.send("/t/Unread", {}, large, soon(60s));
    answer = got ? got->body : got.error().message;
  });
  REQUIRE(eventually([&] { return database.hanging == 1; }));
  std::this_thread::sleep_for(500ms);
  const auto after = resident_bytes();
  database.let_go = true;
  call.join();
  CHECK(after < before + large.size() + spare_bytes);  // the client's framed copy, and little else
  CHECK(answer == std::to_string(large.size() + 5));
}

TEST_CASE("an upstream that is down: refused, nothing was sent") {
  Upstream upstream(at(1));
  for (const bool hold : {false, true}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    GrpcClient client(at(proxy.port), 1);
    const auto answer = client.send("/t/Echo", {}, "x", soon());
    REQUIRE(answer.has_value());
    CHECK(answer->status == 14);  // HTTP 502 without a gRPC status
  }
}

TEST_CASE("an upstream that dies in a call ends the call and the next one finds the new upstream") {
  Database database;
  auto server = std::make_unique<Proxy>(database.handler());
  const auto port = server->port;
  Upstream upstream(at(port));
  auto proxy = Proxy::passing(upstream);
  GrpcClient client(at(proxy.port), 2);
  CHECK(client.send("/t/Echo", {}, "x", soon()).has_value());
  std::thread killer([&] {
    eventually([&] { return database.hanging == 1; });
    server->server.stop(0ms);
  });
  const auto broken = client.send("/t/Hang", {}, "x", soon());
  CHECK((broken.has_error() || broken->status != 0));
  killer.join();
  server.reset();
  Server again(1);
  ListenOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  REQUIRE(again.listen(options, database.handler()).has_value());
  again.start();
  CHECK(client.send("/t/Echo", {}, "back", soon()).value().body == "back");
}

TEST_CASE("H56: upstreams that say goodbye between calls never cost a call") {
  Database database;
  Proxy first(database.handler());
  auto options = at(first.port);
  options.idle_max = 20ms;
  Upstream upstream(options);
  auto proxy = Proxy::holding(upstream);
  GrpcClient client(at(proxy.port), 1);
  for (int i = 0; i < 30; ++i) {
    CHECK(client.send("/t/Echo", {}, "x", soon()).has_value());
    std::this_thread::sleep_for(i % 3 == 0 ? 25ms : 1ms);
  }
  CHECK(database.calls == 30);
}

TEST_CASE("a gRPC read whose connection dies before the answer is made once more, a write is not") {
  Database database;
  Proxy real(database.handler());
  std::atomic<int> dying{0};  // so many connections die at what comes next
  FakeUpstream between([&](Socket& socket, int) {
    auto server = Socket::to(real.port);
    while (!socket.closed_within(0ms) && !server.closed_within(0ms)) {
      const auto request = socket.receive(2ms);
      if (!request.empty() && dying > 0) {
        --dying;
        return;
      }
      server.send(request);
      socket.send(server.receive(2ms));
    }
  });
  Upstream upstream(between.options());
  for (const bool hold : {false, true}) {
    Proxy proxy([&](Exchange& exchange) {
      if (exchange.head().headers.find("x-in") == "read") exchange.set_repeatable();
      return hold ? hold_or_error(exchange, upstream) : pass_or_error(exchange, upstream);
    });
    GrpcClient client(at(proxy.port), 1);
    const auto call = [&](const char* kind, size_t bytes) {
      return client.send("/t/Echo", {{"x-in", kind}}, std::string(bytes, 'y'), soon());
    };
    for (const size_t bytes : {size_t{0}, size_t{10}, size_t{60000}}) {
      INFO(hold << " " << bytes);
      REQUIRE(call("read", 1).value().body == "y");
      dying = 1;
      CHECK((call("read", bytes).value().body == std::string(bytes, 'y')));
      CHECK(dying == 0);
      CHECK(call("read", 1).value().body == "y");
    }
    dying = 1;
    const auto write = call("write", 10);
    CHECK((write.has_error() || write->status != 0));
    CHECK(dying == 0);
    REQUIRE(call("read", 1).value().body == "y");
    dying = 2;
    const auto twice = call("read", 10);
    CHECK((twice.has_error() || twice->status != 0));
    CHECK(dying == 0);
  }
}

TEST_CASE(
    "a gRPC read whose request never ends is answered at its deadline, and the database hears nothing") {
  Database database;
  Proxy real(database.handler());
  Upstream upstream(at(real.port));
  ListenOptions options;
  options.request_timeout = 200ms;
  Proxy proxy(
      [&](Exchange& exchange) {
        exchange.set_repeatable();
        return pass_or_error(exchange, upstream);
      },
      options);
  auto client = Socket::to(proxy.port);
  client.send(preface + settings_frame() +
              std::string("\0\0\6\1\4\0\0\0\1\x83\x86\x84\x41\x01"
                          "a",
                          15));  // POST /
  std::string answer;
  const auto is_504 = [&] { return answer.find("504") != std::string::npos; };
  for (int i = 0; i < 20 && !is_504(); ++i) answer += client.receive(100ms);
  CHECK(is_504());
  CHECK(database.calls == 0);
}

TEST_CASE("H50: a gRPC client that has gone before the first byte leaves: nothing is sent") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  std::atomic<bool> read{false};
  std::atomic<int> code{-1};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    read = true;
    while (!exchange.client_gone()) co_await sleep(exchange, 5ms);
    const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1000,
                                                  [&] { return !exchange.client_gone(); });
    code = answer ? 100 : static_cast<int>(answer.error().code);
  });
  GrpcClient client(at(proxy.port), 1);
  CHECK(client.send("/t/Echo", {{"grpc-timeout", "60S"}}, "x", soon(150ms)).has_error());
  CHECK(read);
  CHECK(eventually([&] { return code >= 0; }));
  CHECK(code == static_cast<int>(Code::cancelled));
  CHECK(database.calls == 0);
}

TEST_CASE("HTTP/1.1 and HTTP/2 are served on one port") {
  Database database;
  Proxy server(database.handler());
  HttpClient one(at(server.port), 1);
  GrpcClient two(at(server.port), 1);
  Request request;
  request.method = "POST";
  request.target = "/t/Echo";
  request.body = "plain";
  CHECK(one.send(request, soon()).value().body == "plain");
  CHECK(two.send("/t/Echo", {}, "framed", soon()).value().body == "framed");
}

TEST_CASE("stop sends GOAWAY, lets calls end and refuses new connections") {
  Database database;
  Proxy server(database.handler());
  GrpcClient client(at(server.port), 2);
  CHECK(client.send("/t/Echo", {}, "x", soon()).has_value());
  std::string answer;
  std::thread call([&] {
    const auto got = client.send("/t/Unread", {}, "12345", soon());
    answer = got ? got->body : got.error().message;
  });
  REQUIRE(eventually([&] { return database.hanging == 1; }));
  std::thread release([&] {
    std::this_thread::sleep_for(200ms);
    database.let_go = true;
  });
  const auto begun = std::chrono::steady_clock::now();
  server.server.stop(5s);
  CHECK(std::chrono::steady_clock::now() - begun < 3s);
  call.join();
  release.join();
  CHECK(answer == "10");
  CHECK(client.send("/t/Echo", {}, "x", soon()).error().code == Code::refused_connection);
}

TEST_CASE("stop does not cut off the end of an answer that its client reads slowly") {
  // Of one of these sizes the end waits for a client that does not read, with all before it in the sockets' buffers.
  constexpr size_t clients = 120, least = 64 << 10, step = 60 << 10;
  std::atomic<size_t> next{0};
  Proxy server([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.reply(grpc_response(std::string(least + step * next++, 'a')));
  });
  std::vector<Socket> sockets;
  for (size_t i = 0; i < clients; ++i) {
    auto& client = sockets.emplace_back(Socket::to(server.port, 64 * 1024));
    // Windows of 2^31-1, of the stream and of the connection: what is behind is in the sockets.
    client.send(preface + std::string("\0\0\6\4\0\0\0\0\0\0\4\x7f\xff\xff\xff", 15) +
                std::string("\0\0\4\x8\0\0\0\0\0\x7f\xff\0\0", 13) + std::string("\0\0\x6\1\5\0\0\0\1", 9) +
                "\x83\x86\x84\x41\x01" + "a");
  }
  for (int i = 0; next < clients && i < 20000; ++i) std::this_thread::sleep_for(1ms);
  REQUIRE(next == clients);
  std::thread stop([&] { server.server.stop(20s); });
  std::this_thread::sleep_for(1500ms);  // how slow they are: idle clients are closed after a second
  enum : char { data = 0, headers = 1 };
  size_t got = 0, ended = 0;
  for (auto& client : sockets) {
    std::string received;
    for (bool end = false; !end;) {
      const auto more = client.receive(3000ms, 256 * 1024);
      if (more.empty()) break;
      received += more;
      size_t at = 0;
      while (received.size() - at >= 9) {
        const auto byte = [&](size_t n) {
          return static_cast<size_t>(static_cast<uint8_t>(received[at + n]));
        };
        const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
        if (received.size() - at < 9 + size) break;
        if (byte(3) == data) got += size;
        end = end || (byte(3) == headers && (byte(4) & 1) != 0);
        at += 9 + size;
      }
      received.erase(0, at);
      ended += end;
    }
    client.close();
  }
  CHECK(ended == clients);
  CHECK(got == clients * least + step * (clients * (clients - 1) / 2));
  stop.join();
}

TEST_CASE("frames that are none end the connection, and only it") {
  Database database;
  Proxy server(database.handler());
  for (const std::string& garbage :
       {std::string(200, '\xff'), std::string("\0\0\4\1\5\0\0\0\1\xff\xff\xff\xff", 13),
        std::string("\0\0\1\0\0\0\0\0\1x", 10)}) {
    auto client = Socket::to(server.port);
    client.send(preface + settings_frame() + garbage);
    CHECK(client.closed_within(2000ms));
  }
  GrpcClient client(at(server.port), 1);
  CHECK(client.send("/t/Echo", {}, "x", soon()).has_value());
}

TEST_CASE("CONNECT is not served") {
  Database database;
  Proxy server(database.handler());
  auto client = Socket::to(server.port);
  client.send(preface + settings_frame() + std::string("\0\0\x0c\1\4\0\0\0\1\x42\x07", 11) + "CONNECT" +
              std::string("\x41\x01", 2) + "a");
  std::string got;
  const std::string reset("\0\0\4\3\0\0\0\0\1\0\0\0\1", 13);
  while (got.find(reset) == std::string::npos) {
    const auto more = client.receive();
    if (more.empty()) break;
    got += more;
  }
  CHECK(got.find(reset) != std::string::npos);
  CHECK(serves_others(server));
  CHECK(database.calls == 1);
}

TEST_CASE("the fields of an answer have a bound, however small they were packed") {
  // The second field is 3,900 bytes and put into the table; each byte behind it names it again.
  const auto answer_of = [](size_t times) {
    const std::string block =
        std::string("\x88\x40\x01x\x7f\xbd\x1d", 7) + std::string(3900, 'a') + std::string(times, '\xbe');
    const std::string length = {static_cast<char>(block.size() >> 16), static_cast<char>(block.size() >> 8),
                                static_cast<char>(block.size())};
    return settings_frame() + length + std::string("\1\5\0\0\0\1", 6) + block;
  };
  std::atomic<size_t> times{9};
  FakeUpstream database([&](Socket& socket, int) {
    socket.receive();
    socket.send(answer_of(times));
    while (!socket.receive().empty()) {
    }
  });
  const auto few = GrpcClient(at(database.port()), 1).send("/t/Any", {}, "x", soon());
  CHECK(few.value().headers.all().size() == 10);
  times = 12000;  // of 46 MB
  const auto many = GrpcClient(at(database.port()), 1).send("/t/Any", {}, "x", soon());
  REQUIRE_FALSE(many.has_value());
  CHECK(many.error().code == Code::connection_lost);
}

TEST_CASE("fields that a client packed small are not unpacked into memory without end") {
  Database database;
  Proxy server(database.handler());
  const size_t before = resident_bytes();
  auto client = Socket::to(server.port);
  client.send(preface + settings_frame());
  // A value of 3,900 bytes is put into the table, and nothing after it; each byte behind it names it again: 46 MB a request, none of
  // which ends.
  const std::string packed = std::string("\x40\x01x\x7f\xbd\x1d", 6) + std::string(3900, 'a');
  bool open = true;
  for (uint32_t i = 0; i < 20 && open; ++i) {
    const std::string block =
        "\x83\x86\x84\x01\x01" + std::string("a") + (i == 0 ? packed : "") + std::string(12000, '\xbe');
    open = client.send(number(static_cast<uint32_t>(block.size())).substr(1) + std::string("\1\4", 2) +
                       number(2 * i + 1) + block);
  }
  while (open && !client.receive(200ms).empty()) {
  }
  CHECK(database.calls == 0);
  CHECK(resident_bytes() < before + spare_bytes);
  CHECK(serves_others(server));
}

TEST_CASE("fields that come in frame after frame and never end, end the connection") {
  Database database;
  Proxy server(database.handler());
  const size_t before = resident_bytes();
  const auto continuation = [](const std::string& part) {
    return number(static_cast<uint32_t>(part.size())).substr(1) + std::string("\x9\0\0\0\0\1", 6) + part;
  };
  // A field without indexing: "x" with a thousand bytes.
  const std::string field = std::string("\0\1x\x7f\xe9\x06", 6) + std::string(1000, 'a');
  for (const std::string& part : {std::string(), field}) {
    auto client = Socket::to(server.port);
    client.send(preface + settings_frame() + std::string("\0\0\x6\1\0\0\0\0\1", 9) + "\x83\x86\x84\x41\x01" +
                "a");
    std::string many;
    for (int i = 0; i < 100; ++i) many += continuation(part);
    bool open = true;
    for (int i = 0; i < 1000 && open; ++i) open = client.send(many);
    CHECK((!open || client.closed_within(3000ms)));
  }
  CHECK(database.calls == 0);
  CHECK(resident_bytes() < before + spare_bytes);
  CHECK(serves_others(server));
}

TEST_CASE("floods of pings, settings and resets end the connection") {
  Database database;
  Proxy server(database.handler());
  std::string ping("\0\0\x8\6\0\0\0\0\0........", 17);
  std::string settings = settings_frame();
  for (const auto& frame : {ping, settings}) {
    auto client = Socket::to(server.port, 4096);  // does not read its answers
    client.send(preface + settings_frame());
    std::string many;
    for (int i = 0; i < 10000; ++i) many += frame;
    bool open = true;
    for (int i = 0; i < 100 && open; ++i) open = client.send(many);
    CHECK_FALSE(open);
  }
  // Rapid reset: HEADERS and RST_STREAM, over and over. The block is ":method POST, :scheme http, :path /,
  // :authority a".
  auto client = Socket::to(server.port);
  client.send(preface + settings_frame());
  bool open = true;
  for (int i = 0; i < 20000 && open; ++i) {
    const auto id = static_cast<uint32_t>(2 * i + 1);
    const std::string number = {static_cast<char>(id >> 24), static_cast<char>(id >> 16),
                                static_cast<char>(id >> 8), static_cast<char>(id)};
    open = client.send(std::string("\0\0\x6\1\4", 5) + number +
                       std::string("\x83\x86\x84\x41\x01"
                                   "a",
                                   6) +
                       std::string("\0\0\4\3\0", 5) + number + std::string("\0\0\0\x8", 4));
  }
  CHECK((!open || client.closed_within(3000ms)));
  CHECK(serves_others(server));
}

TEST_CASE("streams that we are made to reset count as concurrent until their work ends") {
  std::atomic<int> running{0};
  std::atomic<int> most{0};
  std::atomic<bool> let_go{false};
  Proxy server([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    const int now = ++running;
    if (now > most) most = now;  // one worker
    while (!let_go) co_await sleep(exchange, 5ms);
    --running;
  });
  auto client = Socket::to(server.port);
  client.send(preface + settings_frame());
  for (uint32_t i = 0; i < 600; ++i) client.send(provoked_reset(2 * i + 1));
  REQUIRE(eventually([&] { return running >= 100; }));
  std::string came;
  for (int i = 0; i < 600 && came.size() < 600 * 13; ++i) came += client.receive(1000ms);
  CHECK(came.size() >= 600 * 13);  // every one was reset
  CHECK(most <= 256);
  let_go = true;
  CHECK(eventually([&] { return running == 0; }));
  // What has ended makes room again.
  most = 0;
  client.send(provoked_reset(1201));
  CHECK(eventually([&] { return most == 1; }));
}

TEST_CASE("resets that a client provokes end its connection") {
  Database database;
  Proxy server(database.handler());
  auto client = Socket::to(server.port);
  client.send(preface + settings_frame());
  std::string came;
  bool open = true;
  uint32_t sent = 0;
  // The last ones one by one: what a server leaves unread when it closes takes its last words along.
  for (; sent < 2000 && open && !client.closed_within(0ms); ++sent) {
    open = client.send(provoked_reset(2 * sent + 1));
    if (sent % 100 == 99) came += client.receive(1ms);
    if (sent > 950) came += client.receive(3ms);
  }
  CHECK(sent < 1500);
  CHECK(database.calls < 1500);
  // GOAWAY, ENHANCE_YOUR_CALM
  CHECK(came.find(std::string("\0\0\x8\7\0\0\0\0\0", 9)) != std::string::npos);
  CHECK(serves_others(server));
}

TEST_CASE("a client that provokes resets and reads none of them cannot make frames pile up") {
  Database database;
  Proxy server(database.handler());
  auto client = Socket::to(server.port, 4096);
  client.send(preface + settings_frame());
  bool open = true;
  for (uint32_t i = 0; i < 500000 && open; ++i) open = client.send(provoked_reset(2 * i + 1));
  CHECK_FALSE(open);
}

TEST_CASE("floods of frames that hold nothing end the connection, also of a client that reads") {
  Database database;
  Proxy server(database.handler());
  const std::string ping("\0\0\x8\6\0\0\0\0\0........", 17);
  const std::string no_data("\0\0\0\0\0\0\0\0\1", 9);
  const std::string priority("\0\0\5\2\0\0\0\0\3\0\0\0\0\1", 14);
  for (const auto& frame : {ping, settings_frame(), no_data, priority}) {
    auto client = Socket::to(server.port);
    // A request that has not ended: what comes for its stream is looked at.
    client.send(preface + settings_frame() + std::string("\0\0\x6\1\4\0\0\0\1", 9) + "\x83\x86\x84\x41\x01" +
                "a");
    std::string many;
    for (int i = 0; i < 500; ++i) many += frame;
    bool open = true;
    for (int i = 0; i < 60 && open; ++i) {
      open = client.send(many);
      while (!client.receive(1ms).empty()) {
      }
      open = open && !client.closed_within(0ms);
    }
    CHECK((!open || client.closed_within(3000ms)));
  }
  CHECK(serves_others(server));
}

TEST_CASE("an answer that a client does not take is given up: no window, or no reading at all") {
  ListenOptions options;
  options.request_timeout = 200ms;
  options.write_timeout = 300ms;
  Proxy server(
      [](Exchange& exchange) -> boost::asio::awaitable<void> {
        (void)co_await exchange.reply(grpc_response(std::string(64u << 20, 'a')));
      },
      options);
  const std::string request = std::string("\0\0\x6\1\5\0\0\0\1", 9) + "\x83\x86\x84\x41\x01" + "a";
  SECTION("no window") {
    // SETTINGS_INITIAL_WINDOW_SIZE 0
    const std::string no_window("\0\0\6\4\0\0\0\0\0\0\4\0\0\0\0", 15);
    auto client = Socket::to(server.port);
    client.send(preface + no_window + request);
    std::string came;
    const std::string reset("\0\0\4\3\0\0\0\0\1\0\0\0\x8", 13);
    CHECK(eventually([&] {
      came += client.receive(50ms);
      return came.find(reset) != std::string::npos;
    }));
  }
  SECTION("no reading") {
    auto client = Socket::to(server.port, 4096);
    // Windows of 2^31-1, of the stream and of the connection.
    client.send(preface + std::string("\0\0\6\4\0\0\0\0\0\0\4\x7f\xff\xff\xff", 15) +
                std::string("\0\0\4\x8\0\0\0\0\0\x7f\xff\0\0", 13) + request);
    REQUIRE(eventually([&] { return server.server.connections() == 1; }));
    CHECK(eventually([&] { return server.server.connections() == 0; }, 5000ms));
  }
}

TEST_CASE("a client cut at any byte of a call disturbs nobody") {
  Database database;
  Proxy server(database.handler());
  Upstream upstream(at(server.port));
  for (const bool hold : {false, true}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    const std::string call = preface + settings_frame() +
                             std::string(
                                 "\0\0\x6\1\4\0\0\0\1\x83\x86\x84\x41\x01"
                                 "a",
                                 15) +
                             std::string("\0\0\6\0\1\0\0\0\1\0\0\0\0\1x", 15);
    for (size_t cut = 0; cut <= call.size(); ++cut) {
      auto client = Socket::to(proxy.port);
      client.send(std::string_view(call).substr(0, cut));
      if (cut % 2 == 0) {
        client.reset();
      } else {
        client.close();
      }
    }
    GrpcClient client(at(proxy.port), 1);
    CHECK(client.send("/t/Echo", {}, "x", soon()).value().body == "x");
    CHECK(eventually([&] { return proxy.server.connections() <= 1; }));
  }
}

TEST_CASE(
    "what comes for an HTTP/2 stream that its client has ended, or has passed over, ends the connection") {
  Database database;
  Proxy server(database.handler());
  const auto request = [](char id) {
    return std::string("\0\0\x6\1\5\0\0\0", 8) + id + "\x83\x86\x84\x41\x01" + "a";
  };
  const std::string data("\0\0\1\0\0\0\0\0\5x", 10);
  const char stream_closed = 5, protocol_error = 1;
  const std::vector<std::pair<std::string, char>> late = {
      {data, stream_closed}, {request(5), stream_closed}, {request(3), protocol_error}};
  for (const auto& [frame, error] : late) {
    auto client = Socket::to(server.port);
    client.send(preface + settings_frame() + request(5));
    // Nobody serves it: it is reset, and closed.
    std::string came;
    REQUIRE(eventually([&] {
      came += client.receive(100ms);
      return came.find(std::string("\0\0\4\3\0\0\0\0\5", 9)) != std::string::npos;
    }));
    client.send(frame);
    came = client.receive_all();
    const auto goaway = came.find(std::string("\7\0\0\0\0\0", 6));
    REQUIRE(goaway != std::string::npos);
    CHECK(came[goaway + 6 + 7] == error);
  }
}
