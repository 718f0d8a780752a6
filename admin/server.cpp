#include "admin/server.h"

#include "admin/auth.h"
#include "admin/json.h"
#include "config/address.h"
#include "net/await.h"

namespace vmproxy::admin {
namespace {

constexpr uint64_t body_bytes_max = 64 * 1024;
constexpr size_t threads_of_all = 4;
constexpr size_t threads_of_migration = 2;  // a promotion, and the rollback that waits for it
constexpr size_t waiting_max = 64;

boost::asio::awaitable<net::Response> answer(Api& api, ThreadPool& pool, net::Exchange& exchange) {
  if (is_open(exchange.head().path()) && exchange.head().method == "GET") {
    net::Request request;
    request.method = exchange.head().method;
    request.target = exchange.head().target;
    co_return api.handle(request);
  }
  // Before the body: nobody without a token makes us hold bytes.
  if (auto refused = api.refuse_early(exchange.head().headers, exchange.head().path()))
    co_return std::move(*refused);
  const auto read = co_await exchange.read_body(body_bytes_max);
  if (!read) {
    if (read.error().code == Code::too_large) {
      const Error refused(Code::invalid, "the body is larger than 64 KiB; no request of this API needs that");
      auto response = problem_response(refused, {}, 413);
      co_return response;
    }
    co_return problem_response(read.error());
  }
  // The request is copied: the pool's thread may outlive the exchange when the connection breaks.
  auto request = std::make_shared<net::Request>(exchange.request());
  co_return co_await net::completion<net::Response>(
      exchange.executor(), [&api, &pool, request](std::function<void(net::Response)> done) {
        const bool accepted = pool.post([&api, request, done] { done(api.handle(*request)); });
        if (!accepted)
          done(problem_response(Error(Code::overloaded, "the admin API is busy; try again in a second")));
      });
}

}  // namespace

AdminServer::AdminServer(Api& api)
    : api_(api),
      pool_(threads_of_all + threads_of_migration * api.migrations().size(), waiting_max),
      server_(1) {}

AdminServer::~AdminServer() {
  stop(Duration::zero());
}

Result<uint16_t> AdminServer::listen(const std::string& host, uint16_t port, bool has_token) {
  if (!has_token && !config::is_loopback(host)) {
    return Error(Code::precondition, "the admin API on " + host +
                                         " could be reached from other machines and needs a token; set "
                                         "admin.token, or listen on 127.0.0.1");
  }
  net::ListenOptions options;
  options.host = host;
  options.port = port;
  options.connections_max = 256;
  // The server keeps this function for as long as it lives.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines)
  auto bound = server_.listen(options, [this](net::Exchange& exchange) -> boost::asio::awaitable<void> {
    net::Response response = co_await answer(api_, pool_, exchange);
    const auto sent = co_await exchange.reply(std::move(response));
    static_cast<void>(sent);  // the client went away; there is nobody to tell
  });
  if (!bound)
    return bound.error().within("the admin API cannot listen on " + host + ":" + std::to_string(port));
  return bound;
}

void AdminServer::start() {
  server_.start();
}

void AdminServer::stop(Duration drain_timeout) {
  server_.stop(drain_timeout);
  pool_.stop();
}

}  // namespace vmproxy::admin
