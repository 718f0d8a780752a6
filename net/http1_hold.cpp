// read_body(), forward(), reply_upstream(): the request and its answer are held whole, and still go on as
// they came.
#include "net/http1_exchange.h"

#include <algorithm>

#include "base/fault.h"

namespace vmproxy::net {
namespace {

// A length that a client merely claims does not get memory before bytes arrive.
constexpr size_t growth_bytes = 1024 * 1024;
constexpr size_t read_bytes = 64 * 1024;

}  // namespace

asio::awaitable<Result<void>> Http1Exchange::read_body(uint64_t bytes_max) {
  if (stage_ != Stage::waiting)
    co_return Error(Code::internal, "read_body() after the request was held or answered");
  request_.method = head_.method;
  request_.target = head_.target;
  request_.headers = head_.headers;
  if (framer_.kind() == BodyKind::length && framer_.left() > bytes_max) {
    co_return Error(Code::too_large, "the request's body of " + std::to_string(framer_.left()) +
                                         " bytes is larger than the limit of " + std::to_string(bytes_max) +
                                         ". Nothing was sent to the database.");
  }
  stage_ = Stage::held;
  if (framer_.complete()) co_return Result<void>();
  if (framer_.kind() == BodyKind::chunked) co_return co_await read_chunked_body(bytes_max);
  co_return co_await read_length_body();
}

asio::awaitable<Result<void>> Http1Exchange::read_length_body() {
  std::string& body = request_.body;
  const auto here = connection_.buffer.bytes().substr(unconsumed_);
  const auto length = static_cast<size_t>(framer_.left());
  body.reserve(std::min(length, std::max(growth_bytes, here.size())));
  unconsumed_ += framer_.take(here, &body);
  if (framer_.complete()) co_return Result<void>();
  if (auto sent = co_await send_continue(); !sent) co_return sent;
  size_t filled = body.size();
  while (filled < length) {
    if (filled == body.size()) body.resize(std::min(length, std::max(filled * 2, growth_bytes)));
    if (expired_) co_return client_error({});
    const auto [failed, bytes] =
        co_await connection_.stream.read_some({body.data() + filled, body.size() - filled});
    if (failed) {
      broken_ = !expired_;
      co_return client_error(failed);
    }
    filled += bytes;
    framer_.took(bytes);
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Http1Exchange::read_chunked_body(uint64_t bytes_max) {
  Buffer& buffer = connection_.buffer;
  // Reading moves the buffer: the head is kept elsewhere.
  held_head_.assign(parsed_.raw);
  parse_request_head(held_head_, parsed_);
  buffer.consume(unconsumed_);
  unconsumed_ = 0;
  for (;;) {
    const auto here = buffer.bytes();
    const size_t taken = framer_.take(here, &request_.body);
    held_raw_.append(here, 0, taken);
    buffer.consume(taken);
    if (framer_.bad())
      co_return Error(Code::invalid,
                      "the request's chunked body is malformed. Nothing was sent to the database.");
    if (request_.body.size() > bytes_max || held_raw_.size() > bytes_max * 2 + 65536) {
      co_return Error(Code::too_large, "the request's body is larger than the limit of " +
                                           std::to_string(bytes_max) +
                                           " bytes. Nothing was sent to the database.");
    }
    if (framer_.complete()) co_return Result<void>();
    if (auto sent = co_await send_continue(); !sent) co_return sent;
    if (expired_) co_return client_error({});
    const auto [failed, bytes] = co_await connection_.stream.read_some(buffer.space(read_bytes));
    if (failed) {
      broken_ = !expired_;
      co_return client_error(failed);
    }
    buffer.filled(bytes);
  }
}

asio::awaitable<Result<UpstreamConnectionPtr>> Http1Exchange::send_held(
    WorkerPool& pool, Deadline deadline, Reuse reuse, const std::function<bool()>& may_send) {
  const Error too_late(Code::cancelled, "given up before anything was sent to the database.");
  const bool changed = !instead_.empty();
  std::string rewritten;
  if (changed) {
    rewritten = head_for_body(parsed_, instead_.size());
  } else if (!parsed_.as_it_came) {
    rewritten = forwarded_head(parsed_);
  }
  std::string_view body =
      framer_.kind() == BodyKind::chunked ? std::string_view(held_raw_) : std::string_view(request_.body);
  if (changed) body = instead_;
  for (bool asked = false;;) {
    if (std::chrono::steady_clock::now() >= deadline) co_return too_late;
    auto up = pool.take_idle(reuse);
    if (!up) {
      auto made = co_await pool.connect(deadline, ClientProtocol::http1, reuse);
      if (!made) co_return made.error();
      up = std::move(*made);
    }
    const bool reused = up->reused;
    if (expired_ || std::chrono::steady_clock::now() >= deadline || (!asked && may_send && !may_send()) ||
        VMPROXY_FAULT_HIT("source.sending").fails) {
      pool.put_back(std::move(up));
      co_return too_late;
    }
    asked = true;
    active_ = up.get();
    const std::string_view head = rewritten.empty() ? parsed_.raw : std::string_view(rewritten);
    Pieces pieces{head, body};
    if (const auto fault = VMPROXY_FAULT_HIT("source.cut"); fault.cut()) {
      const size_t of_head = std::min(head.size(), fault.bytes_max);
      (void)co_await up->stream.write({head.substr(0, of_head), body.substr(0, fault.bytes_max - of_head)});
      up->stream.close();
      co_return up;
    }
    const size_t bytes = pieces.bytes();
    error_code failed;
    if (!up->stream.write_now(pieces, failed)) failed = co_await up->stream.write_rest(pieces);
    // A pooled connection that was dead already took nothing: the request was not sent, let alone twice.
    if (failed && reused && pieces.bytes() == bytes) {
      active_ = nullptr;
      continue;
    }
    // Any other failure shows when the answer is read: it may have come before the upstream stopped reading.
    co_return up;
  }
}

asio::awaitable<Result<Response>> Http1Exchange::forward(Upstream& upstream, Deadline deadline,
                                                         uint64_t bytes_max, std::function<bool()> may_send) {
  if (stage_ != Stage::held || !framer_.complete())
    co_return Error(Code::internal, "forward() without a request that read_body() read to its end");
  WorkerPool& pool = connection_.worker.pool(upstream);
  upstream_address_ = pool.shared().address;
  upstream_reusable_ = false;
  expired_ = false;
  connection_.timer.set(deadline);
  // A deadline of this call alone is not the request's: somebody else may still answer it.
  const auto back_to_the_requests_own = [&] {
    if (deadline < deadline_) expired_ = false;
    if (!expired_) connection_.timer.set(deadline_);
  };
  for (std::optional<Error> lost;;) {  // how the first attempt ended; there is one more at most
    answer_seen_ = false;
    auto sent = co_await send_held(pool, deadline, lost ? Reuse::none : Reuse::any, may_send);
    if (!sent) {
      active_ = nullptr;
      back_to_the_requests_own();
      co_return lost.value_or(sent.error());
    }
    VMPROXY_FAULT("source.sent");
    auto answer = co_await read_answer(**sent, bytes_max);
    if (VMPROXY_FAULT_HIT("source.answer").drops)
      answer = upstream_error(**sent, asio::error::connection_reset);
    if (!answer && !answer_seen_ && repeatable_ && !lost && !expired_) {
      active_ = nullptr;
      lost = answer.error();
      continue;
    }
    back_to_the_requests_own();
    give_back(pool, std::move(*sent));
    co_return answer;
  }
}

asio::awaitable<Result<Response>> Http1Exchange::read_answer(UpstreamConnection& up, uint64_t bytes_max) {
  if (auto read = co_await read_answer_head(up); !read) co_return read.error();
  Response response;
  response.status = answer_.status;
  response.headers = headers_of(answer_);
  const bool reusable = answer_.keep_alive;
  BodyFramer framer(answer_);
  const auto too_large = [&] {
    return Error(Code::too_large, "the answer of " + std::string(upstream_address_) + " is larger than " +
                                      std::to_string(bytes_max) + " bytes. The request was executed there.");
  };
  if (framer.kind() == BodyKind::length && framer.left() > bytes_max) co_return too_large();
  held_answer_until_close_ = framer.kind() == BodyKind::until_close;
  if (answer_.as_it_came)
    held_answer_.assign(answer_.raw);
  else
    held_answer_ = forwarded_head(answer_);
  held_answer_head_ = held_answer_.size();
  up.buffer.consume(answer_.raw.size());
  answer_.raw = answer_.start_line = {};
  answer_.fields.clear();
  for (;;) {
    const auto here = up.buffer.bytes();
    const size_t taken = framer.take(here, &response.body);
    held_answer_.append(here, 0, taken);
    up.buffer.consume(taken);
    if (framer.bad()) co_return upstream_error(up, asio::error::invalid_argument);
    if (response.body.size() > bytes_max) co_return too_large();
    if (framer.complete()) break;
    if (expired_) co_return upstream_error(up, {});
    const auto [failed, bytes] = co_await up.stream.read_some(up.buffer.space(read_bytes));
    if (failed == asio::error::eof) framer.peer_ended();
    if (failed && !framer.complete()) co_return upstream_error(up, failed);
    if (failed) break;
    up.buffer.filled(bytes);
  }
  upstream_reusable_ = reusable && up.buffer.empty();
  co_return response;
}

asio::awaitable<Result<void>> Http1Exchange::reply_upstream() {
  if (stage_ != Stage::held || held_answer_.empty())
    co_return Error(Code::internal, "reply_upstream() without an answer that forward() held");
  stage_ = Stage::answered;
  if (broken_) co_return Error(Code::connection_lost, "the client closed its connection before its answer.");
  std::string_view head = std::string_view(held_answer_).substr(0, held_answer_head_);
  const auto body = std::string_view(held_answer_).substr(held_answer_head_);
  std::string closing_head;
  if ((closing() && client_keep_alive_) || held_answer_until_close_) {
    client_keep_alive_ = false;
    closing_head = std::string(head.substr(0, head.size() - 2)) + "Connection: close\r\n\r\n";
    head = closing_head;
  }
  co_return co_await write_client(Pieces{head, body});
}

}  // namespace vmproxy::net
