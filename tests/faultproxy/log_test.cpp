// The log of a link that real clients and servers use: what arrived, and what went on.
#include <zlib.h>

#include "ends.h"
#include "net/grpc_client.h"
#include "net/http_client.h"

using namespace vmproxy;
using namespace vmproxy::faultproxy;
using namespace vmproxy::faultproxy::test;

namespace {

boost::asio::awaitable<void> echo(net::Exchange& exchange) {
  if (!co_await exchange.read_body(1u << 20)) co_return;
  net::Response response;
  response.body = exchange.request().body;
  if (exchange.head().http2) {
    response.headers.set("content-type", "application/grpc");
    response.trailers.set("grpc-status", "0");
  }
  (void)co_await exchange.reply(std::move(response));
}

// An echo behind a link.
struct Echo {
  net::UpstreamOptions options() const {
    net::UpstreamOptions out;
    out.host = "127.0.0.1";
    out.port = port;
    return out;
  }
  std::vector<LoggedRequest> log() {
    return proxy.call([](FaultProxy& p) {
      std::vector<LoggedRequest> out;
      for (auto number = p.log().first(); number < p.log().end(); ++number)
        out.push_back(*p.log().find(number));
      return out;
    });
  }
  size_t count(Stage stage, bool complete) {
    size_t out = 0;
    for (const auto& entry : log()) out += entry.stage == stage && entry.complete == complete;
    return out;
  }
  net::test::Proxy server{echo};
  RunningFaultProxy proxy{1};
  const uint16_t port = proxy.add("a", server.port);
};

Deadline soon() {
  return std::chrono::steady_clock::now() + patience;
}

net::Request post(std::string target, std::string body) {
  net::Request request;
  request.method = "POST";
  request.target = std::move(target);
  request.body = std::move(body);
  return request;
}

uint32_t crc(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

}  // namespace

TEST_CASE("the requests of an HTTP/1.1 client are logged on both sides of the link") {
  Echo echo;
  net::HttpClient client(echo.options(), 1);
  for (const std::string body : {"one", "two"})
    CHECK(client.send(post("/" + body, body), soon()).value().body == body);
  CHECK(echo.count(Stage::arrived, true) == 2);
  CHECK(echo.count(Stage::passed, true) == 2);
  for (const auto& entry : echo.log()) {
    CHECK(entry.protocol == "http1");
    CHECK(entry.connection == 1);
    CHECK(entry.body_crc32 == crc(entry.target.substr(1)));
  }
}

TEST_CASE("the calls of a gRPC client are logged on both sides of the link") {
  Echo echo;
  net::GrpcClient client(echo.options(), 1);
  const std::string framed("\0\0\0\0\5hello", 10);
  for (int i = 0; i < 3; ++i)
    CHECK(client.send("/s/M", {{"x-id", "7"}}, "hello", soon()).value().body == "hello");
  CHECK(echo.count(Stage::arrived, true) == 3);
  CHECK(echo.count(Stage::passed, true) == 3);
  for (const auto& entry : echo.log()) {
    CHECK(entry.protocol == "http2");
    CHECK(entry.method == "POST");
    CHECK(entry.target == "/s/M");
    CHECK(entry.headers.back() == std::pair<std::string, std::string>("x-id", "7"));
    CHECK(entry.body_crc32 == crc(framed));
  }
}

TEST_CASE("a request that was cut on its way arrived and did not pass") {
  Echo echo;
  LinkFaults faults;
  faults.to_upstream.cut_after = 40;
  echo.proxy.set("a", faults);
  net::HttpClient client(echo.options(), 1);
  CHECK(client.send(post("/cut", std::string(1000, 'x')), soon()).error().code == Code::connection_lost);
  CHECK(echo.count(Stage::arrived, true) == 1);
  CHECK(echo.count(Stage::passed, true) == 0);
}

TEST_CASE("a request that a duplicate connect sent again is logged as that") {
  Echo echo;
  LinkFaults faults;
  faults.duplicate = Duplicate{50ms};
  echo.proxy.set("a", faults);
  net::HttpClient client(echo.options(), 1);
  CHECK(client.send(post("/twice", "body"), soon()).value().body == "body");
  REQUIRE(eventually([&] { return echo.count(Stage::duplicate, true) == 1; }));
  CHECK(echo.count(Stage::passed, true) == 1);
  CHECK(echo.log().back().target == "/twice");
  CHECK(echo.log().back().body_crc32 == crc("body"));
}
