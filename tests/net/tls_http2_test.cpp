// HTTP/2 under TLS: which protocol both ends agree on (ALPN), whom they believe, what they say before anything is secret.
#include <openssl/ssl.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <future>

#include "certificate.h"
#include "net/grpc_client.h"
#include "net/http_client.h"

using namespace vmproxy;
using namespace vmproxy::net;
using namespace vmproxy::net::test;

namespace {

using Awaitable = boost::asio::awaitable<void>;

const std::string h2 = "\x02h2";
const std::string http1 = "\x08http/1.1";

Deadline soon(std::chrono::milliseconds in = 5000ms) {
  return std::chrono::steady_clock::now() + in;
}

Request get() {
  Request request;
  request.method = "GET";
  request.target = "/";
  return request;
}

// Answers with what it was sent, by the protocol that it was asked in.
struct Database {
  Handler handler() {
    return [this](Exchange& exchange) { return serve(exchange); };
  }
  Awaitable serve(Exchange& exchange) {
    ++calls;
    if (exchange.head().http2) ++http2_calls;
    if (!co_await exchange.read_body(1u << 30)) co_return;
    Response response;
    response.body = exchange.request().body;
    if (exchange.head().http2) {
      response.headers.set("content-type", "application/grpc");
      response.trailers.set("grpc-status", "0");
    }
    (void)co_await exchange.reply(std::move(response));
  }
  std::atomic<int> calls{0};
  std::atomic<int> http2_calls{0};
};

// A TLS client that is not ours; `offered` by ALPN, as it is on the wire.
class Client {
 public:
  Client(uint16_t port, const std::string& offered)
      : socket_(Socket::to(port)), context_(SSL_CTX_new(TLS_client_method())), tls_(SSL_new(context_)) {
    const timeval patience{5, 0};
    ::setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_set_fd(tls_, socket_.fd());
    const auto* protocols = reinterpret_cast<const unsigned char*>(offered.data());
    if (!offered.empty())
      REQUIRE(SSL_set_alpn_protos(tls_, protocols, static_cast<unsigned>(offered.size())) == 0);
    connected_ = SSL_connect(tls_) == 1;
  }
  ~Client() {
    SSL_free(tls_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  std::string chosen() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(tls_, &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  // The first that comes back.
  std::string ask(const std::string& bytes) {
    if (SSL_write(tls_, bytes.data(), static_cast<int>(bytes.size())) <= 0) return {};
    std::string answer(65536, '\0');
    answer.resize(static_cast<size_t>(std::max(0, SSL_read(tls_, answer.data(), 65536))));
    return answer;
  }
  bool speaks_http1() { return ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200"); }
  bool speaks_http2() {
    const auto answer = ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9));
    return answer.size() >= 9 && answer[3] == 4;  // SETTINGS
  }

 private:
  Socket socket_;
  SSL_CTX* context_;
  SSL* tls_;
  bool connected_ = false;
};

// A TLS server that is not ours. Closes each connection after the first that comes through it.
class ForeignServer {
 public:
  struct Seen {
    std::string server_name;  // SNI
    std::string offered;      // by ALPN, as it is on the wire
    std::string bytes;        // after the handshake
  };
  // `chooses`: what it takes of the protocols offered; empty: it knows no ALPN.
  ForeignServer(const Certificate& certificate, std::string chooses)
      : chooses_(std::move(chooses)),
        context_(SSL_CTX_new(TLS_server_method())),
        sockets_([this](Socket& socket, int) { serve(socket); }) {
    std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to what a client that did not believe it has closed
    REQUIRE(SSL_CTX_use_certificate_chain_file(context_, certificate.file().c_str()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey_file(context_, certificate.key().c_str(), SSL_FILETYPE_PEM) == 1);
    SSL_CTX_set_tlsext_servername_callback(context_, keep_name);
    SSL_CTX_set_alpn_select_cb(context_, choose, this);
  }
  uint16_t port() const { return sockets_.port(); }
  // What the next client said.
  Seen next() {
    std::unique_lock hold(mutex_);
    REQUIRE(came_.wait_for(hold, 10s, [this] { return !seen_.empty(); }));
    auto seen = std::move(seen_.front());
    seen_.pop_front();
    return seen;
  }

 private:
  struct FreeContext {
    explicit FreeContext(SSL_CTX* c) : context(c) {}
    ~FreeContext() { SSL_CTX_free(context); }
    FreeContext(const FreeContext&) = delete;
    FreeContext& operator=(const FreeContext&) = delete;
    operator SSL_CTX*() const { return context; }
    SSL_CTX* context;
  };

  static Seen& of(SSL* tls) { return *static_cast<Seen*>(SSL_get_app_data(tls)); }
  static int keep_name(SSL* tls, int*, void*) {
    if (const char* name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name)) of(tls).server_name = name;
    return SSL_TLSEXT_ERR_OK;
  }
  static int choose(SSL* tls, const unsigned char** out, unsigned char* out_length,
                    const unsigned char* offered, unsigned length, void* self) {
    of(tls).offered.assign(reinterpret_cast<const char*>(offered), length);
    const auto& wanted = static_cast<ForeignServer*>(self)->chooses_;
    if (wanted.empty()) return SSL_TLSEXT_ERR_NOACK;
    *out = reinterpret_cast<const unsigned char*>(wanted.data());
    *out_length = static_cast<unsigned char>(wanted.size());
    return SSL_TLSEXT_ERR_OK;
  }
  void serve(Socket& socket) {
    Seen seen;
    SSL* tls = SSL_new(context_);
    SSL_set_app_data(tls, &seen);
    SSL_set_fd(tls, socket.fd());
    if (SSL_accept(tls) == 1) {
      seen.bytes.resize(65536);
      seen.bytes.resize(static_cast<size_t>(std::max(0, SSL_read(tls, seen.bytes.data(), 65536))));
    }
    SSL_free(tls);
    socket.close();
    std::lock_guard hold(mutex_);
    seen_.push_back(std::move(seen));
    came_.notify_all();
  }

  const std::string chooses_;
  const FreeContext context_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Seen> seen_;
  FakeUpstream sockets_;
};

// A proxy that keeps why a request could not be passed on.
struct Telling {
  explicit Telling(Upstream& upstream)
      : proxy([this, &upstream](Exchange& exchange) { return pass(exchange, upstream); }) {}
  Awaitable pass(Exchange& exchange, Upstream& upstream) {
    const auto passed = co_await exchange.pass(upstream);
    if (passed) co_return;
    why.set_value(passed.error());
    co_await reply_error(exchange, passed.error());
  }
  Error refused() {
    auto future = why.get_future();
    REQUIRE(future.wait_for(10s) == std::future_status::ready);
    return future.get();
  }
  std::promise<Error> why;
  Proxy proxy;
};

UpstreamOptions plain(uint16_t port) {
  UpstreamOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  return options;
}

}  // namespace

TEST_CASE("a TLS listener takes HTTP/2 of what is offered, else HTTP/1.1, else nothing") {
  const Certificate certificate;
  Database database;
  const Proxy server(database.handler(), listen_with(certificate));
  const std::string other = "\x06spdy/3";
  for (const auto& offered : {h2, h2 + http1, http1 + h2, other + http1 + h2}) {
    INFO(offered);
    Client client(server.port, offered);
    REQUIRE(client.connected());
    CHECK(client.chosen() == "h2");
    CHECK(client.speaks_http2());
  }
  for (const auto& offered : {http1, other + http1, http1 + other}) {
    INFO(offered);
    Client client(server.port, offered);
    REQUIRE(client.connected());
    CHECK(client.chosen() == "http/1.1");
    CHECK(client.speaks_http1());
  }
  // Who offers neither is not turned away: HTTP/1.1, or HTTP/2 with prior knowledge, as on a plain port.
  for (const auto& offered : {std::string(), other, std::string("\x03h2c")}) {
    INFO(offered);
    Client one(server.port, offered);
    REQUIRE(one.connected());
    CHECK(one.chosen().empty());
    CHECK(one.speaks_http1());
    Client two(server.port, offered);
    REQUIRE(two.connected());
    CHECK(two.speaks_http2());
  }
}

TEST_CASE("gRPC under TLS end to end: client to proxy to database, large messages") {
  const Certificate certificate;
  Database database;
  Proxy server(database.handler(), listen_with(certificate));
  int calls = 0;
  Upstream upstream(reach(server.port, certificate));
  for (const bool hold : {false, true}) {
    auto proxy = hold ? Proxy::holding(upstream, listen_with(certificate))
                      : Proxy::passing(upstream, listen_with(certificate));
    GrpcClient client(reach(proxy.port, certificate), 2);
    for (const size_t bytes : {0, 1, 20000, 3000000}) {
      const std::string message(bytes, 'm');
      const auto answer = client.send("/t/Echo", {}, message, soon(20s));
      REQUIRE(answer.has_value());
      CHECK(answer->status == 0);
      CHECK(answer->body == message);
      ++calls;
    }
  }
  CHECK(database.http2_calls == calls);
  CHECK(database.calls == calls);
}

TEST_CASE("HTTP/1.1 and HTTP/2 share a TLS listener, and each reaches the TLS database in its own protocol") {
  const Certificate certificate;
  Database database;
  Proxy server(database.handler(), listen_with(certificate));
  Upstream upstream(reach(server.port, certificate));
  auto proxy = Proxy::passing(upstream, listen_with(certificate));
  HttpClient one(reach(proxy.port, certificate), 1);
  GrpcClient two(reach(proxy.port, certificate), 1);
  CHECK(one.send(get(), soon()).value().status == 200);
  CHECK(database.calls == 1);
  CHECK(database.http2_calls == 0);
  CHECK(two.send("/t/Echo", {}, "x", soon()).value().body == "x");
  CHECK(database.http2_calls == 1);
}

TEST_CASE("a TLS database sees the configured name, and is offered only the protocol that will be spoken") {
  const Certificate certificate;
  const auto named = [&](uint16_t port, std::string host, std::string name) {
    auto options = reach(port, certificate);
    options.host = std::move(host);
    options.tls.server_name = std::move(name);
    return options;
  };
  const struct {
    std::string host, server_name, seen;
  } names[] = {{"localhost", "", "localhost"},
               {"127.0.0.1", "db.test", "db.test"},
               {"localhost", "db.test", "db.test"},
               {"127.0.0.1", "", ""}};  // an address is no name to say
  for (const auto& [host, server_name, expected] : names) {
    INFO(host << " as '" << server_name << "'");
    ForeignServer grpc(certificate, "h2");
    (void)GrpcClient(named(grpc.port(), host, server_name), 1).send("/t/Echo", {}, "x", soon());
    const auto by_client = grpc.next();
    CHECK(by_client.server_name == expected);
    CHECK(by_client.offered == h2);
    CHECK(by_client.bytes.starts_with("PRI * HTTP/2.0"));

    Upstream upstream(named(grpc.port(), host, server_name));
    auto proxy = Proxy::passing(upstream);
    (void)GrpcClient(plain(proxy.port), 1).send("/t/Echo", {}, "x", soon());
    const auto by_proxy = grpc.next();
    CHECK(by_proxy.server_name == expected);
    CHECK(by_proxy.offered == h2);
    CHECK(by_proxy.bytes.starts_with("PRI * HTTP/2.0"));

    ForeignServer http(certificate, "http/1.1");
    Upstream other(named(http.port(), host, server_name));
    auto second = Proxy::passing(other);
    (void)HttpClient(plain(second.port), 1).send(get(), soon());
    const auto by_http1 = http.next();
    CHECK(by_http1.server_name == expected);
    CHECK(by_http1.offered == http1);
    CHECK(by_http1.bytes.starts_with("GET / HTTP/1.1"));
  }
}

TEST_CASE("over HTTP/2, too, a certificate for another name or of an unknown authority is refused") {
  const Certificate certificate;
  Database database;
  Proxy server(database.handler(), listen_with(certificate));
  const auto right = reach(server.port, certificate);
  auto wrong_name = right;
  wrong_name.tls.server_name = "other.test";
  auto unknown = right;
  unknown.tls.ca_file.clear();
  CHECK(GrpcClient(right, 1).send("/t/Echo", {}, "x", soon()).value().body == "x");
  CHECK(database.calls == 1);

  for (const auto& wrong : {wrong_name, unknown}) {
    const auto refused = GrpcClient(wrong, 1).send("/t/Echo", {}, "x", soon());
    REQUIRE(refused.has_error());
    CHECK(refused.error().code == Code::refused_connection);
    CHECK(refused.error().message.find("Nothing was sent") != std::string::npos);

    Upstream upstream(wrong);
    Telling proxy(upstream);
    const auto answer = GrpcClient(plain(proxy.proxy.port), 1).send("/t/Echo", {}, "x", soon());
    REQUIRE(answer.has_value());
    CHECK(answer->status == 14);  // HTTP 502 without a gRPC status
    const auto why = proxy.refused();
    CHECK(why.code == Code::refused_connection);
    CHECK(why.message.find("TLS with 127.0.0.1") != std::string::npos);
  }
  CHECK(database.calls == 1);

  auto careless = wrong_name;
  careless.tls.insecure = true;
  CHECK(GrpcClient(careless, 1).send("/t/Echo", {}, "x", soon()).value().body == "x");
}

TEST_CASE("a TLS server that does not agree on HTTP/2 is sent no call") {
  const Certificate certificate;
  ForeignServer server(certificate, "");
  const auto refused = GrpcClient(reach(server.port(), certificate), 1).send("/t/Echo", {}, "x", soon());
  REQUIRE(refused.has_error());
  CHECK(refused.error().code == Code::refused_connection);
  CHECK(server.next().bytes.empty());

  Upstream upstream(reach(server.port(), certificate));
  Telling proxy(upstream);
  (void)GrpcClient(plain(proxy.proxy.port), 1).send("/t/Echo", {}, "x", soon());
  const auto why = proxy.refused();
  CHECK(why.code == Code::refused_connection);
  CHECK(why.message.find("does not speak HTTP/2 under TLS") != std::string::npos);
  CHECK(server.next().bytes.empty());
}
