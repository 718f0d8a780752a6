// The upstream half of Http2Exchange: pass() joins two streams so that bytes go on as their peers take them;
// forward() sends the held request and collects the answer.
#include "base/fault.h"
#include "net/connection.h"
#include "net/http2_exchange.h"

namespace vmproxy::net {

// Answers go to the client as they come. The client's window, and its buffer at most, is what may be under
// way.
class Http2Exchange::Passed final : public Http2UpstreamStream {
 public:
  explicit Passed(Http2Exchange& client) : Http2UpstreamStream(client.changed_), client_(client) {}
  ~Passed() override {
    if (client_.sink_ == this) client_.sink_ = nullptr;
  }
  Headers trailers;

 private:
  void on_head(Http2Head head, bool end) override {
    head_seen = true;
    status = head.status;
    if (end) trailers = head.headers;
    std::string().swap(client_.inbox_);  // nothing is sent once more now
    client_.stage_ = Stage::answered;
    client_.send_response(head, end);
  }
  void on_data(std::string_view bytes) override { client_.send_data(bytes); }
  void on_trailers(Headers came) override {
    trailers = std::move(came);
    has_trailers_ = true;
  }
  void on_end() override {
    if (has_trailers_) {
      client_.send_trailers(trailers);
    } else {
      client_.send_end();
    }
    Http2UpstreamStream::on_end();
  }
  // The window of a request that has ended is nobody's.
  void on_sent(size_t bytes) override {
    if (!client_.request_ended_) client_.consumed(bytes);
  }

  Http2Exchange& client_;
  bool has_trailers_ = false;
};

class Http2Exchange::Held final : public Http2UpstreamStream {
 public:
  Held(Signal& changed, uint64_t bytes_max) : Http2UpstreamStream(changed), bytes_max_(bytes_max) {}
  Response response;
  bool too_large = false;

 private:
  void on_head(Http2Head head, bool) override {
    head_seen = true;
    response.status = head.status;
    response.headers = std::move(head.headers);
  }
  void on_data(std::string_view bytes) override {
    consumed(bytes.size());
    if (response.body.size() + bytes.size() > bytes_max_) {
      too_large = true;
      changed_.notify();
    } else if (!too_large) {
      response.body.append(bytes);
    }
  }
  void on_trailers(Headers trailers) override { response.trailers = std::move(trailers); }
  const uint64_t bytes_max_;
};

Http2Head Http2Exchange::upstream_head(Upstream& upstream) const {
  auto head = came_;
  if (!instead_.empty()) head.headers.remove("content-length");  // HTTP/2 needs none
  head.scheme = upstream.options().tls.enabled ? "https" : "http";
  return head;
}

asio::awaitable<Result<void>> Http2Exchange::pass(Upstream& upstream, Response* answer) {
  if (stage_ != Stage::waiting)
    co_return Error(Code::internal, "pass() after the request was held or answered");
  WorkerPool& pool = connection_.worker.pool(upstream);
  const bool read =
      (repeatable_ || safe_method(head_.method)) && head_.content_length.value_or(0) <= repeat_bytes_max;
  while (read && !request_ended_ && inbox_.size() <= repeat_bytes_max && !closed_ && !expired_)
    co_await changed_.wait();
  if (read && !request_ended_ && (closed_ || expired_)) co_return gone();
  const bool repeatable = read && request_ended_ && inbox_.size() <= repeat_bytes_max;
  for (std::optional<Error> lost;;) {  // how the first attempt ended; there is one more at most
    auto session = co_await pool.http2(deadline_, lost.has_value());
    if (!session) co_return lost.value_or(session.error());
    if (closed_)
      co_return Error(Code::cancelled, "the client gave up before anything was sent to the database.");
    if (expired_)
      co_return Error(Code::cancelled,
                      "the request's deadline passed before anything was sent to the database.");
    Passed up(*this);
    const bool bare = bodyless_;
    if (!(*session)->request(up, upstream_head(upstream), bare)) {
      co_return lost.value_or(
          Error(Code::refused_connection,
                pool.shared().address + " takes no more requests on its connection. Nothing was sent."));
    }
    sink_ = &up;
    if (!bare) {
      up.send_data(inbox_);
      if (!repeatable || lost) std::string().swap(inbox_);
      if (request_ended_) on_end();
    }
    while (!up.finished() && !closed_ && !expired_) co_await changed_.wait();
    // A finished answer may still wait in the client's buffer, and the rest of the request does not matter any
    // more.
    sink_ = nullptr;
    if (repeatable && !lost && (up.lost() || up.refused()) && !closed_ && !expired_) {
      lost = http2_upstream_error(up, pool.shared().address, false);
      continue;
    }
    co_return passed(up, pool.shared().address, answer);
  }
}

Result<void> Http2Exchange::passed(Passed& up, std::string_view address, Response* answer) {
  if (answer != nullptr) {
    answer->status = up.status;
    answer->trailers = std::move(up.trailers);
  }
  if (up.ended) return {};
  const bool answered = up.head_seen;
  const auto error = up.closed ? up.error : static_cast<uint32_t>(NGHTTP2_CANCEL);
  const auto failure = http2_upstream_error(up, address, expired_);
  up.abandon();
  if (closed_) return {};  // nobody is there to be told; the upstream's stream is reset
  if (up.refused()) {
    // Surely not executed: the client is told so in HTTP/2's own way and may send it again, as it would have
    // directly.
    stage_ = Stage::answered;
    reset(NGHTTP2_REFUSED_STREAM);
    return {};
  }
  if (!answered) return failure;
  reset(error == NGHTTP2_NO_ERROR || error == NGHTTP2_CONNECT_ERROR
            ? static_cast<uint32_t>(NGHTTP2_INTERNAL_ERROR)
            : error);
  return {};
}

asio::awaitable<Result<Response>> Http2Exchange::forward(Upstream& upstream, Deadline deadline,
                                                         uint64_t bytes_max, std::function<bool()> may_send) {
  if (stage_ != Stage::held || !request_ended_ || too_large_) {
    co_return Error(Code::internal, "forward() without a request that read_body() read to its end");
  }
  WorkerPool& pool = connection_.worker.pool(upstream);
  arm(deadline);
  for (bool asked = false, again = false;; again = true) {
    const Error too_late(Code::cancelled, "given up before anything was sent to the database.");
    if (std::chrono::steady_clock::now() >= deadline) co_return too_late;
    auto session = co_await pool.http2(deadline, again);
    if (!session) co_return session.error();
    if (expired_ || std::chrono::steady_clock::now() >= deadline || (!asked && may_send && !may_send()) ||
        VMPROXY_FAULT_HIT("source.sending").fails) {
      co_return too_late;
    }
    asked = true;
    Held up(changed_, bytes_max);
    const std::string& body = instead_.empty() ? request_.body : instead_;
    const bool bare = bodyless_ && body.empty();
    if (!(*session)->request(up, upstream_head(upstream), bare)) {
      co_return Error(Code::refused_connection,
                      pool.shared().address + " takes no more requests on its connection. Nothing was sent.");
    }
    if (!bare) {
      up.send_data(body);
      up.send_end();
    }
    VMPROXY_FAULT("source.sent");
    while (!up.finished() && !up.too_large && !expired_) co_await changed_.wait();
    // A connection that was ending refuses by number what it did not and will not execute: not a second
    // execution.
    if ((up.refused() || (repeatable_ && up.lost())) && !again && !expired_) continue;
    if (up.too_large) {
      co_return Error(Code::too_large, "the answer of " + pool.shared().address + " is larger than " +
                                           std::to_string(bytes_max) +
                                           " bytes. The request was executed there.");
    }
    if (!up.ended) co_return http2_upstream_error(up, pool.shared().address, expired_);
    if (VMPROXY_FAULT_HIT("source.answer").drops)
      co_return Error(Code::connection_lost, pool.shared().address + " was lost before its answer.");
    held_answer_ = std::move(up.response);
    break;
  }
  if (!expired_) timer_.set(deadline_);
  co_return *held_answer_;
}

asio::awaitable<Result<void>> Http2Exchange::reply_upstream() {
  if (stage_ != Stage::held || !held_answer_)
    co_return Error(Code::internal, "reply_upstream() without an answer that forward() held");
  stage_ = Stage::answered;
  if (closed_) co_return Error(Code::connection_lost, "the client reset its request before its answer.");
  Http2Head head;
  head.status = held_answer_->status;
  head.headers = held_answer_->headers;
  const bool bare = held_answer_->body.empty() && held_answer_->trailers.all().empty();
  send_response(head, bare);
  if (!bare) {
    send_data(held_answer_->body);
    if (held_answer_->trailers.all().empty()) {
      send_end();
    } else {
      send_trailers(held_answer_->trailers);
    }
  }
  held_answer_.reset();
  co_return Result<void>();
}

}  // namespace vmproxy::net
