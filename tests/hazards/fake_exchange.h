// FakeExchange: one request to the pipeline without a socket. The test's function plays the source.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "net/exchange.h"
#include "proxy/pipeline.h"
#include "tests/support/move.h"

namespace vmproxy::support {

namespace asio = boost::asio;

class FakeExchange final : public net::Exchange {
 public:
  using Source = std::function<Result<net::Response>(const net::Request&)>;
  FakeExchange(asio::io_context& io, net::Request request, Deadline deadline, Source source)
      : io_(io), request_(std::move(request)), deadline_(deadline), source_(std::move(source)) {
    head_.method = request_.method;
    head_.target = request_.target;
    head_.headers = request_.headers;
    head_.content_length = request_.body.size();
  }

  bool gone = false;  // the client
  std::function<void()> before_first_byte;
  std::function<Result<void>()> on_body;  // what comes of the body; nothing: it is there at once
  std::function<void()> on_reply;         // the answer is on its way to the client
  // The head does not say how long the body is.
  void hide_length() { head_.content_length.reset(); }
  int asked_source = 0;
  std::string sent;                     // to the source by forward(), last
  std::optional<net::Response> answer;  // what the client gets

  const net::RequestHead& head() const override { return head_; }
  asio::any_io_executor executor() override { return io_.get_executor(); }
  Deadline deadline() const override { return deadline_; }
  bool client_gone() override { return gone; }
  asio::awaitable<Result<void>> pass(net::Upstream&, net::Response* head) override {
    auto upstream = ask();
    if (!upstream) co_return upstream.error();
    if (head != nullptr) *head = {upstream->status, {}, {}, upstream->trailers};
    answer = *upstream;
    co_return Result<void>();
  }
  asio::awaitable<Result<void>> read_body(uint64_t) override {
    co_return on_body ? on_body() : Result<void>();
  }
  const net::Request& request() const override { return request_; }
  asio::awaitable<Result<net::Response>> forward(net::Upstream&, Deadline, uint64_t,
                                                 std::function<bool()> may_send) override {
    if (before_first_byte) before_first_byte();
    if (!may_send()) co_return Error(Code::cancelled, "not sent");
    sent = instead_.empty() ? request_.body : instead_;
    auto upstream = ask();
    if (upstream) held_ = *upstream;
    co_return upstream;
  }
  asio::awaitable<Result<void>> reply_upstream() override {
    if (on_reply) on_reply();
    answer = held_;
    co_return Result<void>();
  }
  asio::awaitable<Result<void>> reply(net::Response response) override {
    if (on_reply) on_reply();
    answer = std::move(response);
    co_return Result<void>();
  }

 private:
  Result<net::Response> ask() {
    ++asked_source;
    return source_(request_);
  }

  asio::io_context& io_;
  net::RequestHead head_;
  const net::Request request_;
  const Deadline deadline_;
  const Source source_;
  net::Response held_;
};

}  // namespace vmproxy::support
