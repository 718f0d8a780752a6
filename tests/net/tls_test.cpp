// TLS on both sides: verification is on unless the user chose otherwise.
#include <catch2/catch.hpp>

#include "certificate.h"
#include "net/http_client.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

boost::asio::awaitable<void> say_length(Exchange& exchange) {
  Response response;
  if (co_await exchange.read_body(1u << 24)) response.body = std::to_string(exchange.request().body.size());
  (void)co_await exchange.reply(std::move(response));
}

Result<Response> send(const UpstreamOptions& options, size_t bytes = 100000) {
  Request request;
  request.method = "POST";
  request.target = "/";
  request.body.assign(bytes, 'x');
  HttpClient client(options, 1);
  (void)client.send(request, std::chrono::steady_clock::now() + 3s);
  return client.send(request, std::chrono::steady_clock::now() + 3s);
}

}  // namespace

TEST_CASE("TLS end to end: client to proxy to database, large bodies") {
  const Certificate certificate;
  Proxy database(say_length, listen_with(certificate));
  for (const size_t bytes : {0, 1, 20000, 3000000}) {
    Upstream upstream(reach(database.port, certificate));
    auto passing = Proxy::passing(upstream, listen_with(certificate));
    CHECK(send(reach(passing.port, certificate), bytes).value().body == std::to_string(bytes));
    auto holding = Proxy::holding(upstream, listen_with(certificate));
    CHECK(send(reach(holding.port, certificate), bytes).value().body == std::to_string(bytes));
  }
}

TEST_CASE("a certificate of an unknown authority or for another name is refused unless chosen otherwise") {
  const Certificate certificate;
  Proxy server(say_length, listen_with(certificate));
  auto options = reach(server.port, certificate);
  CHECK(send(options).has_value());
  options.tls.server_name = "db.test";
  CHECK(send(options).has_value());
  options.tls.server_name = "other.test";
  CHECK(send(options).error().code == Code::refused_connection);
  options.tls.server_name.clear();
  options.tls.ca_file.clear();
  const auto unknown = send(options);
  CHECK(unknown.error().code == Code::refused_connection);
  CHECK(unknown.error().message.find("self-signed certificate") != std::string::npos);
  options.tls.insecure = true;
  CHECK(send(options).has_value());

  // The same for the proxy's own upstream connections.
  auto wrong = reach(server.port, certificate);
  wrong.tls.server_name = "other.test";
  Upstream upstream(wrong);
  auto proxy = Proxy::passing(upstream);
  auto client = Socket::to(proxy.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.receive().find("refused_connection: TLS with 127.0.0.1") != std::string::npos);
}

TEST_CASE("certificate files that cannot be used are named") {
  Server server(1);
  ListenOptions options;
  options.host = "127.0.0.1";
  options.tls.certificate_file = "/nonexistent/cert.pem";
  options.tls.key_file = "/nonexistent/key.pem";
  const auto refused = server.listen(options, say_length);
  REQUIRE(refused.has_error());
  CHECK(refused.error().message.find("'/nonexistent/cert.pem'") != std::string::npos);
}

TEST_CASE("a client that speaks plain HTTP to a TLS port is closed") {
  const Certificate certificate;
  Proxy server(say_length, listen_with(certificate));
  auto client = Socket::to(server.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(client.closed_within(2000ms));
}
