// read_body(), forward(), reply_upstream(), reply(): what a captured write needs.
#include <catch2/catch.hpp>

#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

TEST_CASE("a held request goes on byte for byte and so does its answer") {
  std::vector<std::string> seen;
  std::mutex mutex;
  const std::string answer = "HTTP/1.1 200 Fine\r\nX-A:  b \r\nContent-Length: 2\r\n\r\nok";
  FakeUpstream database(FakeUpstream::answering(answer, &seen, &mutex));
  Upstream upstream(database.options());
  auto proxy = Proxy::holding(upstream);
  auto client = Socket::to(proxy.port);
  const std::string large =
      "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + std::string(3000000, 'y');
  const std::string small = "PUT /a HTTP/1.1\r\nHost: a\r\nX-B:c\r\nContent-Length: 5\r\n\r\nhello";
  for (const auto& request : {small, large, small}) {
    client.send(request);
    CHECK(client.receive_bytes(answer.size()) == answer);
  }
  REQUIRE(seen.size() == 3);
  CHECK(seen[0] == small);
  CHECK(seen[1] == large);
  CHECK(seen[2] == small);
}

TEST_CASE("a held chunked request is decoded for the handler and raw for the upstream") {
  std::string got;
  FakeUpstream database([&](Socket& socket, int) {
    got = socket.receive_until("0\r\n\r\n");
    socket.send(ok());
    socket.receive();
  });
  Upstream upstream(database.options());
  std::string body;
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    body = exchange.request().body;
    (void)co_await exchange.forward(upstream, exchange.deadline(), 1000, nullptr);
    (void)co_await exchange.reply_upstream();
  });
  auto client = Socket::to(proxy.port);
  const std::string request =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
  for (const char c : request) client.send({&c, 1});
  CHECK(client.receive() == ok());
  CHECK(body == "hello");
  CHECK(got == request);
}

TEST_CASE(
    "a held request can go on with another body: its length goes along, whatever the client's framing was") {
  std::vector<std::string> seen;
  std::mutex mutex;
  FakeUpstream database(FakeUpstream::answering(ok(), &seen, &mutex));
  Upstream upstream(database.options());
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    exchange.send_instead("another body");
    (void)co_await exchange.forward(upstream, exchange.deadline(), 1000, nullptr);
    CHECK(exchange.request().body == "hello");
    (void)co_await exchange.reply_upstream();
  });
  auto client = Socket::to(proxy.port);
  for (const std::string framing : {"content-length: 5\r\nX-B: c\r\n\r\nhello",
                                    "X-B: c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    client.send("POST / HTTP/1.1\r\nHost: a\r\n" + framing);
    CHECK(client.receive_bytes(ok().size()) == ok());
  }
  REQUIRE(seen.size() == 2);
  for (const auto& request : seen)
    CHECK(request == "POST / HTTP/1.1\r\nHost: a\r\nX-B: c\r\nContent-Length: 12\r\n\r\nanother body");
}

TEST_CASE("H50: a client that has gone before the first byte leaves: nothing is sent") {
  std::atomic<int> seen{0};
  FakeUpstream database([&](Socket& socket, int) {
    if (!read_request(socket).empty()) ++seen;
  });
  Upstream upstream(database.options());
  std::atomic<bool> read{false};
  std::atomic<bool> go{false};
  std::atomic<int> code{-1};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    read = true;
    while (!go) std::this_thread::sleep_for(1ms);
    const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1000,
                                                  [&] { return !exchange.client_gone(); });
    code = answer ? 100 : static_cast<int>(answer.error().code);
  });
  auto client = Socket::to(proxy.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  while (!read) std::this_thread::sleep_for(1ms);
  client.close();
  std::this_thread::sleep_for(20ms);
  go = true;
  while (code < 0) std::this_thread::sleep_for(1ms);
  CHECK(code == static_cast<int>(Code::cancelled));
  CHECK(seen == 0);
}

TEST_CASE("the answer is read to its end although the client has gone") {
  FakeUpstream database([&](Socket& socket, int) {
    read_request(socket);
    std::this_thread::sleep_for(100ms);
    socket.send(ok("done"));
    socket.receive();
  });
  Upstream upstream(database.options());
  std::atomic<bool> applied{false};
  std::atomic<bool> gone{false};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1000, nullptr);
    gone = exchange.client_gone();
    applied = answer && answer->body == "done";
    (void)co_await exchange.reply_upstream();
  });
  auto client = Socket::to(proxy.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  std::this_thread::sleep_for(30ms);
  client.close();
  for (int i = 0; i < 1000 && !applied; ++i) std::this_thread::sleep_for(2ms);
  CHECK(applied);
  CHECK(gone);
}

TEST_CASE("a deadline that passes after the request left is a timeout, and says so to the client") {
  std::atomic<int> seen{0};
  FakeUpstream database([&](Socket& socket, int) {
    if (!read_request(socket).empty()) ++seen;
    socket.closed_within(3000ms);
  });
  Upstream upstream(database.options());
  ListenOptions options;
  options.request_timeout = 150ms;
  for (const bool hold : {true, false}) {
    auto proxy = hold ? Proxy::holding(upstream, options) : Proxy::passing(upstream, options);
    auto client = Socket::to(proxy.port);
    const auto begun = std::chrono::steady_clock::now();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    const auto answer = client.receive_all();
    CHECK(answer.starts_with("HTTP/1.1 504 "));
    CHECK(answer.find("timeout: no answer") != std::string::npos);
    CHECK(std::chrono::steady_clock::now() - begun < 1000ms);
  }
  CHECK(seen == 2);
}

TEST_CASE("a deadline of one forward() alone leaves the request and its connection as they were") {
  FakeUpstream database([&](Socket& socket, int) {
    read_request(socket);
    socket.receive(5000ms);  // never an answer
  });
  Upstream upstream(database.options());
  std::atomic<int> timeouts{0};
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1000);
    const Deadline soon = std::chrono::steady_clock::now() + 50ms;
    const auto answer = co_await exchange.forward(upstream, soon, 1000, [] { return true; });
    if (!answer && answer.error().code == Code::timeout) ++timeouts;
    Response elsewhere;
    elsewhere.body = "from elsewhere";
    (void)co_await exchange.reply(std::move(elsewhere));
  });
  auto client = Socket::to(proxy.port);
  for (int i = 1; i <= 2; ++i) {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    const auto answer = client.receive_until("from elsewhere");
    CHECK(answer.find("from elsewhere") != std::string::npos);
    CHECK(answer.find("close") == std::string::npos);
    CHECK(timeouts == i);
  }
}

TEST_CASE("a body that does not arrive in time is a timeout") {
  FakeUpstream database(FakeUpstream::answering(ok()));
  Upstream upstream(database.options());
  ListenOptions options;
  options.request_timeout = 100ms;
  for (const bool hold : {true, false}) {
    auto proxy = hold ? Proxy::holding(upstream, options) : Proxy::passing(upstream, options);
    auto client = Socket::to(proxy.port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    CHECK(client.receive_all().starts_with("HTTP/1.1 504 "));
  }
}

TEST_CASE("a body over the limit is refused, answered and the connection closes") {
  FakeUpstream database(FakeUpstream::answering(ok()));
  Upstream upstream(database.options());
  Proxy proxy([&](Exchange& exchange) { return hold_or_error(exchange, upstream, 1000); });
  auto client = Socket::to(proxy.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\nx");
  CHECK(client.receive_all().starts_with("HTTP/1.1 413 "));
  auto other = Socket::to(proxy.port);
  other.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
             std::string(1001, 'x') + "\r\n");
  CHECK(other.receive_all().starts_with("HTTP/1.1 413 "));
  CHECK(database.accepted() == 0);
}

TEST_CASE("an answer over the limit is an error of its own") {
  FakeUpstream database(FakeUpstream::answering(ok(std::string(5000, 'z'))));
  Upstream upstream(database.options());
  Proxy proxy([&](Exchange& exchange) { return hold_or_error(exchange, upstream, 1000); });
  auto client = Socket::to(proxy.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  CHECK(client.receive().find("too_large: ") != std::string::npos);
}

TEST_CASE("100-continue is given when the body is wanted") {
  FakeUpstream database(FakeUpstream::answering(ok()));
  Upstream upstream(database.options());
  for (const bool hold : {true, false}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    auto client = Socket::to(proxy.port);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(client.receive() == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    CHECK(client.receive() == ok());
  }
}

TEST_CASE("an upstream that refuses connections: nothing was sent") {
  UpstreamOptions options;
  options.host = "127.0.0.1";
  options.port = 1;
  Upstream upstream(options);
  for (const bool hold : {true, false}) {
    auto proxy = hold ? Proxy::holding(upstream) : Proxy::passing(upstream);
    auto client = Socket::to(proxy.port);
    for (int i = 0; i < 2; ++i) {  // the body of the refused request must not be read as the next one
      client.send(
          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: "
          "a\r\n\r\n");
      const auto answer = client.receive();
      CHECK(answer.find("refused_connection: ") != std::string::npos);
    }
    CHECK(client.receive(50ms).empty());
  }
}

TEST_CASE("H56: a held write over a stale connection succeeds on a fresh one, sent once") {
  std::atomic<int> seen{0}, closed{0};
  FakeUpstream database([&](Socket& socket, int) {
    if (read_request(socket).empty()) return;
    ++seen;
    socket.send(ok());
    socket.close();
    ++closed;
    closed.notify_one();
  });
  Upstream upstream(database.options());
  auto proxy = Proxy::holding(upstream);
  auto client = Socket::to(proxy.port);
  for (int i = 0; i < 20; ++i) {
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    REQUIRE(client.receive() == ok());
    closed.wait(i);  // until it is more
  }
  CHECK(seen == 20);
}

TEST_CASE("a held write whose pooled connection dies before the answer is not sent again") {
  // Reads the second request of a connection, then dies: it may have been executed.
  std::atomic<int> seen{0};
  FakeUpstream database([&](Socket& socket, int) {
    for (int i = 0; i < 2; ++i) {
      if (read_request(socket).empty()) return;
      ++seen;
      if (i == 0) socket.send(ok());
    }
  });
  Upstream upstream(database.options());
  auto proxy = Proxy::holding(upstream);
  auto client = Socket::to(proxy.port);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  client.send(post);
  REQUIRE(client.receive() == ok());
  client.send(post);
  CHECK(client.receive().find("connection_lost: ") != std::string::npos);
  CHECK(seen == 2);
}

TEST_CASE("a held read whose connection dies before the answer is sent once more, and no more") {
  std::atomic<int> seen{0};
  std::atomic<bool> never{false};
  FakeUpstream database([&](Socket& socket, int) {
    for (int i = 0; i < 2; ++i) {
      if (read_request(socket).empty()) return;
      ++seen;
      if (i == 0 && !never) socket.send(ok());
      if (never) return;
    }
  });
  Upstream upstream(database.options());
  Proxy proxy([&](Exchange& exchange) {
    exchange.set_repeatable();
    return hold_or_error(exchange, upstream);
  });
  auto client = Socket::to(proxy.port);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  for (const int expected : {1, 3, 5}) {
    client.send(post);
    CHECK(client.receive() == ok());
    CHECK(seen == expected);
  }
  never = true;
  client.send(post);
  CHECK(client.receive().find("connection_lost: ") != std::string::npos);
  CHECK(seen == 7);
}

TEST_CASE("a deadline that passes while a read waits for its second connection is the client's answer") {
  Listener database(0);  // serves one connection, and leaves all others in the system's queue, which is full
  Upstream upstream(database.options());
  ListenOptions listening;
  listening.request_timeout = 300ms;
  const bool hold = GENERATE(false, true);
  Proxy proxy(
      [&](Exchange& exchange) {
        exchange.set_repeatable();
        return hold ? hold_or_error(exchange, upstream) : pass_or_error(exchange, upstream);
      },
      listening);
  auto client = Socket::to(proxy.port);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
  client.send(post);
  Socket served = database.accept();
  REQUIRE_FALSE(read_request(served).empty());
  served.send(ok());
  REQUIRE(client.receive() == ok());
  auto fills_the_queue = Socket::to(database.port());
  client.send(post);
  REQUIRE_FALSE(read_request(served).empty());
  served.close();
  CHECK(
      client.receive().starts_with("HTTP/1.1 502 "));  // no answer in time; nothing was sent the second time
}

TEST_CASE("an answer of our own to HEAD says how long the body would be, and has none") {
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    Response response;
    response.body = "no";
    (void)co_await exchange.reply(std::move(response));
  });
  auto client = Socket::to(proxy.port);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.receive_bytes(head.size()) == head);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.receive_bytes(head.size() + 2) == head + "no");
}

TEST_CASE("an answer of our own cannot be split by what a peer chose") {
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    Response response;
    response.status = 404;
    response.headers.add("X-Name", "a\r\nX-Evil: 1");
    response.headers.add("X-Good", "1");
    response.body = "no";
    (void)co_await exchange.reply(std::move(response));
  });
  auto client = Socket::to(proxy.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.receive() == "HTTP/1.1 404 Not Found\r\nX-Good: 1\r\nContent-Length: 2\r\n\r\nno");
}
