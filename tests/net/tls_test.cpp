// TLS on both sides: verification is on unless the user chose otherwise.
#include <openssl/ssl.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
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

TEST_CASE("a request of which the database took a part is not said to be unsent") {
  const Certificate certificate;
  std::atomic<int> begun{0};
  Proxy database(
      [&](Exchange& exchange) -> boost::asio::awaitable<void> {
        if (exchange.head().method == "GET") co_return co_await say_length(exchange);
        ++begun;  // and reads nothing of its body
        boost::asio::steady_timer timer(exchange.executor(), 1s);
        co_await timer.async_wait(boost::asio::use_awaitable);
      },
      listen_with(certificate));
  Upstream upstream(reach(database.port, certificate));
  Proxy proxy([&](Exchange& exchange) -> boost::asio::awaitable<void> {
    (void)co_await exchange.read_body(1u << 30);
    const auto answer =
        co_await exchange.forward(upstream, std::chrono::steady_clock::now() + 500ms, 1000, nullptr);
    if (!answer) co_return co_await reply_error(exchange, answer.error());
    (void)co_await exchange.reply_upstream();
  });
  auto client = Socket::to(proxy.port);
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");  // leaves a connection for the next one
  CHECK(client.receive().starts_with("HTTP/1.1 200 "));
  constexpr size_t bytes = 32u << 20;
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n" +
              std::string(bytes, 'x'));
  CHECK(client.receive(5000ms).starts_with("HTTP/1.1 504 "));
  CHECK(begun == 1);
}

TEST_CASE("records after an answer are not given to the next request") {
  const Certificate certificate;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  REQUIRE(SSL_CTX_use_certificate_file(context.get(), certificate.file().c_str(), SSL_FILETYPE_PEM) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey_file(context.get(), certificate.key().c_str(), SSL_FILETYPE_PEM) == 1);
  FakeUpstream database([&](Socket& socket, int) {
    const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), socket.fd());
    if (SSL_accept(tls.get()) != 1) return;
    const auto cork = [&socket](int on) { ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_CORK, &on, sizeof on); };
    const auto write = [&tls](const std::string& bytes) {
      SSL_write(tls.get(), bytes.data(), static_cast<int>(bytes.size()));
    };
    char room[4096];
    while (SSL_read(tls.get(), room, sizeof room) > 0) {  // a request is one record
      cork(1);
      write(ok());
      write(ok("poison"));
      cork(0);
    }
  });
  Upstream upstream(reach(database.port(), certificate));
  auto proxy = Proxy::passing(upstream);
  auto client = Socket::to(proxy.port);
  for (int i = 0; i < 3; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client.receive_bytes(ok().size()) == ok());
  }
}
