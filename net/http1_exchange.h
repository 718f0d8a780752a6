// Http1Exchange: Exchange over HTTP/1.1. One object per connection serves its requests one after the other.
#pragma once

#include <string>

#include "net/body_framer.h"
#include "net/connection.h"

namespace vmproxy::net {

class Http1Exchange final : public Exchange {
 public:
  explicit Http1Exchange(Connection& connection);

  // The connection's buffer begins with a complete head. False: refused; `problem()` says why.
  bool begin(size_t head_bytes);
  const char* problem() const { return parsed_.problem; }
  // After the handler. True when the connection can take another request.
  bool finish();
  bool answered() const { return stage_ == Stage::answered; }
  void expire();

  const RequestHead& head() const override { return head_; }
  asio::any_io_executor executor() override { return connection_.worker.io.get_executor(); }
  Deadline deadline() const override { return deadline_; }
  bool client_gone() override { return broken_ || connection_.stream.peer_closed(); }
  asio::awaitable<Result<void>> pass(Upstream& upstream, Response* answer) override;
  asio::awaitable<Result<void>> read_body(uint64_t bytes_max) override;
  const Request& request() const override { return request_; }
  asio::awaitable<Result<Response>> forward(Upstream& upstream, Deadline deadline, uint64_t bytes_max,
                                            std::function<bool()> may_send) override;
  asio::awaitable<Result<void>> reply_upstream() override;
  asio::awaitable<Result<void>> reply(Response response) override;

 private:
  enum class Stage { waiting, held, answered };
  struct Pump;

  // http1_pass.cpp
  asio::awaitable<Result<void>> relay(UpstreamConnection& up, Response* answer);
  asio::awaitable<Result<void>> relay_body(UpstreamConnection& up, BodyFramer& framer);
  asio::awaitable<void> pump_request(Pump& pump);
  asio::awaitable<Result<size_t>> wait_for_body(size_t head_bytes, size_t body_bytes);
  // http1_hold.cpp
  asio::awaitable<Result<void>> read_length_body();
  asio::awaitable<Result<void>> read_chunked_body(uint64_t bytes_max);
  asio::awaitable<Result<Response>> read_answer(UpstreamConnection& up, uint64_t bytes_max);
  asio::awaitable<Result<UpstreamConnectionPtr>> send_held(WorkerPool& pool, Deadline deadline, Reuse reuse,
                                                           const std::function<bool()>& may_send);

  // Looks for the next head in up.buffer. false: there is not all of it yet. An error: there never will be.
  Result<bool> take_answer_head(UpstreamConnection& up, size_t& scanned);
  // Reads the next head that is no 100; `answer_` holds it, its bytes stay in up.buffer.
  asio::awaitable<Result<void>> read_answer_head(UpstreamConnection& up);
  asio::awaitable<Result<void>> send_continue();
  asio::awaitable<Result<void>> write_client(Pieces pieces);
  bool request_ended();  // takes what is left of the request from the buffer when all of it is there
  bool closing() const { return !client_keep_alive_ || connection_.draining || expired_; }
  Error upstream_error(const UpstreamConnection& up, const error_code& failed) const;
  Error client_error(const error_code& failed) const;
  void give_back(WorkerPool& pool, UpstreamConnectionPtr up);

  Connection& connection_;
  Http1Head parsed_;  // views into the connection's buffer, or into held_head_
  RequestHead head_;
  Deadline deadline_{};
  Stage stage_ = Stage::waiting;
  BodyFramer framer_;      // of the request
  size_t unconsumed_ = 0;  // bytes of this request still at the front of the connection's buffer
  bool client_keep_alive_ = true;
  bool continue_owed_ = false;
  bool expired_ = false;
  bool broken_ = false;  // the client's side cannot be used any more
  bool cut_ = false;     // ... and was cut in the middle of an answer

  UpstreamConnection* active_ = nullptr;
  std::string_view upstream_address_;
  Http1Head answer_;          // views into the upstream connection's buffer
  bool answer_seen_ = false;  // at least one byte of it
  bool upstream_reusable_ = false;

  Request request_;
  std::string held_head_;    // copy of the head when the buffer was needed for the body
  std::string held_raw_;     // a chunked body as it came
  std::string held_answer_;  // the answer as it came
  size_t held_answer_head_ = 0;
  bool held_answer_until_close_ = false;
};

}  // namespace vmproxy::net
