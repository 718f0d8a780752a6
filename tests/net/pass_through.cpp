// The smallest proxy that net/ makes: every request passes through. For measurements by hand and for
// independent peers (wrk, h2load, grpcio).   pass_through LISTEN_PORT UPSTREAM_URL [WORKERS] [--hold] [--cert
// FILE --key FILE]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "net/exchange.h"
#include "net/server.h"
#include "net/upstream.h"

using namespace vmproxy;
using namespace vmproxy::net;

namespace {

boost::asio::awaitable<void> refuse(Exchange& exchange, const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  Response response;
  response.status = error.code == Code::timeout ? 504 : 502;
  if (exchange.head().http2) {  // as gRPC says it
    response.status = 200;
    response.headers.set("content-type", "application/grpc");
    response.headers.set("grpc-status", error.code == Code::timeout ? "4" : "14");
    response.headers.set("grpc-message", percent_encode(error.message));
  } else {
    response.headers.set("content-type", "text/plain");
    response.body = error.message + "\n";
  }
  (void)co_await exchange.reply(std::move(response));
}

boost::asio::awaitable<void> answer_all(Exchange& exchange) {
  if (!co_await exchange.read_body(1u << 30)) co_return;
  Response response;
  response.headers.set("content-type", exchange.head().http2 ? "application/grpc" : "application/json");
  response.body = exchange.head().http2 ? std::string("\0\0\0\0\2ok", 7) : std::string("{\"ok\":true}\n");
  if (exchange.head().http2) response.trailers.set("grpc-status", "0");
  (void)co_await exchange.reply(std::move(response));
}

boost::asio::awaitable<void> pass(Exchange& exchange, Upstream& upstream, bool hold) {
  if (!hold) {
    if (auto passed = co_await exchange.pass(upstream); !passed) co_await refuse(exchange, passed.error());
    co_return;
  }
  if (auto read = co_await exchange.read_body(1u << 30); !read)
    co_return co_await refuse(exchange, read.error());
  const auto answer = co_await exchange.forward(upstream, exchange.deadline(), 1u << 30, [] { return true; });
  if (!answer) co_return co_await refuse(exchange, answer.error());
  (void)co_await exchange.reply_upstream();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "usage: %s LISTEN_PORT UPSTREAM_URL|answer [WORKERS] [--hold] [--cert FILE --key FILE]\n",
                 argv[0]);
    return 2;
  }
  bool hold = false;
  size_t workers = 1;
  ListenOptions listen;
  listen.host = "127.0.0.1";
  listen.port = static_cast<uint16_t>(std::atoi(argv[1]));
  for (int i = 3; i < argc; ++i) {
    if (std::strcmp(argv[i], "--hold") == 0) {
      hold = true;
    } else if (std::strcmp(argv[i], "--cert") == 0 && i + 1 < argc) {
      listen.tls.certificate_file = argv[++i];
    } else if (std::strcmp(argv[i], "--key") == 0 && i + 1 < argc) {
      listen.tls.key_file = argv[++i];
    } else {
      workers = static_cast<size_t>(std::atoi(argv[i]));
    }
  }
  const bool answers = std::strcmp(argv[2], "answer") == 0;
  auto options = parse_upstream_url(answers ? "127.0.0.1:1" : argv[2]);
  if (!options) {
    std::fprintf(stderr, "%s\n", options.error().message.c_str());
    return 2;
  }
  if (std::getenv("CA_FILE") != nullptr) options->tls.ca_file = std::getenv("CA_FILE");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Upstream upstream(*options);
  Server server(workers);
  auto bound = server.listen(listen, [&](Exchange& exchange) {
    return answers ? answer_all(exchange) : pass(exchange, upstream, hold);
  });
  if (!bound) {
    std::fprintf(stderr, "%s\n", bound.error().message.c_str());
    return 1;
  }
  server.start();
  std::printf("listening on %u\n", *bound);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&set, &signal);
  server.stop(std::chrono::seconds(5));
}
