// Http2Exchange: Exchange over one HTTP/2 stream of a client. Owned by its connection until the stream is
// closed and the handler has ended.
#pragma once

#include "net/exchange.h"
#include "net/http2_upstream.h"

namespace vmproxy::net {

class Connection;

class Http2Exchange final : public Exchange, public Http2Stream {
 public:
  // `ready` is told when the head has come; `idle` when the exchange may be destroyed.
  Http2Exchange(Connection& connection, std::function<void(Http2Exchange&)> ready,
                std::function<void(Http2Exchange&)> idle);
  ~Http2Exchange() override { detach(); }

  void handler_begins();
  void handler_ended();
  // The answer left completely but the client still sends: it is told to stop.
  void end_early();

  const RequestHead& head() const override { return head_; }
  asio::any_io_executor executor() override;
  Deadline deadline() const override { return deadline_; }
  bool client_gone() override;
  asio::awaitable<Result<void>> pass(Upstream& upstream, Response* answer) override;
  asio::awaitable<Result<void>> read_body(uint64_t bytes_max) override;
  const Request& request() const override { return request_; }
  asio::awaitable<Result<Response>> forward(Upstream& upstream, Deadline deadline, uint64_t bytes_max,
                                            std::function<bool()> may_send) override;
  asio::awaitable<Result<void>> reply_upstream() override;
  asio::awaitable<Result<void>> reply(Response response) override;

 private:
  class Passed;
  class Held;
  enum class Stage { waiting, held, answering, answered };

  void on_head(Http2Head head, bool end) override;
  void on_data(std::string_view bytes) override;
  void on_trailers(Headers trailers) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_end_sent() override;
  void on_closed(uint32_t error) override;

  Result<void> passed(Passed& up, std::string_view address, Response* answer);
  void arm(Deadline deadline);
  void expire();
  Http2Head upstream_head(Upstream& upstream) const;
  Error gone() const;

  Connection& connection_;
  std::function<void(Http2Exchange&)> ready_;
  std::function<void(Http2Exchange&)> idle_;
  Http2Head came_;
  RequestHead head_;
  Deadline deadline_{};
  DeadlineTimer timer_;
  Signal changed_;
  Stage stage_ = Stage::waiting;
  bool handling_ = false;
  bool closed_ = false;
  bool expired_ = false;
  bool request_ended_ = false;
  bool bodyless_ = false;  // it ended with its head; not the same as an empty body to every server
  Headers request_trailers_;
  std::string
      inbox_;  // bytes of the body that nobody took yet, or that may be sent once more; bound: the stream's window
  bool holding_ = false;  // read_body() collects
  uint64_t hold_bytes_max_ = 0;
  bool too_large_ = false;
  Http2UpstreamStream* sink_ = nullptr;  // pass(): where the body goes and the answer comes from
  Request request_;
  std::optional<Response> held_answer_;
};

// "grpc-timeout: 100m" as a duration; nothing when it is malformed.
std::optional<Duration> parse_grpc_timeout(std::string_view text);

}  // namespace vmproxy::net
