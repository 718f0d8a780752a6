// HttpClient and parse_upstream_url.
#include "net/http_client.h"

#include <catch2/catch.hpp>

#include "support.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

Deadline soon(std::chrono::milliseconds in = 3000ms) {
  return std::chrono::steady_clock::now() + in;
}

Request post(std::string body) {
  Request request;
  request.method = "POST";
  request.target = "/x";
  request.headers.set("Content-Type", "text/plain");
  request.body = std::move(body);
  return request;
}

}  // namespace

TEST_CASE("addresses are read, wrong ones are refused with the form that is right") {
  CHECK(parse_upstream_url("http://h:8000/").value().port == 8000);
  CHECK(parse_upstream_url("h:19530").value().host == "h");
  CHECK(parse_upstream_url("https://db.example").value().tls.enabled);
  CHECK(parse_upstream_url("https://db.example").value().port == 443);
  CHECK(parse_upstream_url("http://[::1]:80").value().host == "::1");
  for (const char* url : {"http://h%0d%0ax-evil:1", "h%20", "http://[v1.x]:80"}) {
    const auto refused = parse_upstream_url(url);
    CAPTURE(url);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message.find("no name and no address") != std::string::npos);
  }
  for (const auto* wrong : {"", "http://", "ftp://h:1", "http://h:99999", "http://h:0", "http://u:p@h:1",
                            "http://h:1/path", "http://h:1?q", "h h"}) {
    INFO(wrong);
    CHECK(parse_upstream_url(wrong).has_error());
  }
}

TEST_CASE("what is wrong with an address is said without showing the password in it") {
  for (const std::string rest : {"h:1", "h:99999", "h:0", "h:1/path", "h:1?q=1", "h:1#f", "", "h h", "["}) {
    for (const std::string scheme : {"http://", "https://", "ftp://", ""}) {
      INFO(scheme + "u:SECRET@" + rest);
      const auto parsed = parse_upstream_url(scheme + "u:SECRET@" + rest);
      REQUIRE(parsed.has_error());
      CHECK(parsed.error().message.find("SECRET") == std::string::npos);
    }
  }
}

TEST_CASE("the client keeps its connection and reads every framing") {
  FakeUpstream database([&](Socket& socket, int) {
    for (int i = 0;; ++i) {
      const auto request = read_request(socket);
      if (request.empty()) return;
      if (i == 0) socket.send(ok("length"));
      if (i == 1)
        socket.send(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
            "chunked\r\n\r\n3\r\nchu\r\n3\r\nnks\r\n0\r\n\r\n");
      if (i == 2) socket.send("HTTP/1.1 204 No Content\r\n\r\n");
      if (i == 3) {
        socket.send("HTTP/1.1 200 OK\r\n\r\nclose");
        return;
      }
    }
  });
  HttpClient client(database.options(), 4);
  CHECK(client.send(post("a"), soon()).value().body == "length");
  CHECK(client.send(post(std::string(300000, 'b')), soon()).value().body == "chunks");
  CHECK(client.send(post("c"), soon()).value().status == 204);
  CHECK(client.send(post("d"), soon()).value().body == "close");
  CHECK(database.accepted() == 1);
}

TEST_CASE("the client says what happened to a request that failed") {
  FakeUpstream database([&](Socket& socket, int number) {
    read_request(socket);
    if (number == 0) return;                                                             // lost
    if (number == 1) socket.closed_within(2000ms);                                       // slow
    if (number == 2) socket.send(ok(std::string(2000, 'x')));                            // huge
    if (number == 3) socket.send("garbage\r\n\r\n");                                     // no HTTP
    if (number == 4) socket.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort");  // cut
  });
  HttpClient client(database.options(), 2);
  CHECK(client.send(post("x"), soon()).error().code == Code::connection_lost);
  CHECK(client.send(post("x"), soon(100ms)).error().code == Code::timeout);
  CHECK(client.send(post("x"), soon(), 1000).error().code == Code::too_large);
  CHECK(client.send(post("x"), soon()).error().code == Code::connection_lost);
  CHECK(client.send(post("x"), soon()).error().code == Code::connection_lost);
  CHECK(database.accepted() == 5);  // nothing was sent twice
  UpstreamOptions nobody;
  nobody.host = "127.0.0.1";
  nobody.port = 1;
  CHECK(HttpClient(nobody, 1).send(post("x"), soon()).error().code == Code::refused_connection);
  auto bad = post("x");
  bad.headers.set("X", "a\r\nb");
  CHECK(client.send(bad, soon()).error().code == Code::invalid);
}

TEST_CASE(
    "calls beyond the connections wait; when none becomes free they were surely not made, and may be made again") {
  FakeUpstream database([&](Socket& socket, int) {
    while (!read_request(socket).empty()) {
      std::this_thread::sleep_for(200ms);
      socket.send(ok());
    }
  });
  HttpClient client(database.options(), 1);
  std::atomic<bool> first_ok{false};
  std::thread first([&] { first_ok = client.send(post("x"), soon()).has_value(); });
  std::this_thread::sleep_for(50ms);
  const auto refused = client.send(post("x"), soon(50ms));
  CHECK(refused.error().surely_not_done());
  CHECK(refused.error().retryable());
  CHECK(client.send(post("x"), soon()).has_value());
  first.join();
  CHECK(first_ok);
}

TEST_CASE("H56: the blocking client survives a server that closes idle connections") {
  std::atomic<int> closed{0};
  FakeUpstream database([&](Socket& socket, int) {
    if (!read_request(socket).empty()) socket.send(ok());
    socket.close();
    ++closed;
  });
  HttpClient client(database.options(), 2);
  for (int i = 0; i < 10; ++i) {
    CHECK(client.send(post("x"), soon()).has_value());
    while (closed <= i) std::this_thread::yield();
  }
}
