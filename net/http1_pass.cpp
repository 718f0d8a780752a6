// pass(): the request's bytes go to the upstream and the answer's come back as they are. What fits one buffer
// is one write each way; a longer body is pumped beside the answer, so that an early answer is not held up by
// it.
#include <boost/asio/co_spawn.hpp>

#include "net/http1_exchange.h"

namespace vmproxy::net {
namespace {

constexpr size_t stream_bytes = 64 * 1024;

}  // namespace

// The rest of a request's body on its way up. Ends before pass() does.
struct Http1Exchange::Pump {
  explicit Pump(UpstreamConnection& u, asio::any_io_executor executor)
      : up(u), ended(executor, TimePoint::max()) {}
  UpstreamConnection& up;
  asio::steady_timer ended;
  bool running = true;
  bool stop = false;
  bool cut = false;                   // the upstream did not take all that was read for it
  std::optional<Error> client_error;  // the request could not be read: the upstream was cut off
};

asio::awaitable<Result<void>> Http1Exchange::pass(Upstream& upstream, Response* answer) {
  if (stage_ != Stage::waiting)
    co_return Error(Code::internal, "pass() after the request was held or answered");
  WorkerPool& pool = connection_.worker.pool(upstream);
  upstream_address_ = pool.shared().address;
  const size_t head_bytes = unconsumed_;
  size_t body_bytes = framer_.take(connection_.buffer.bytes().substr(head_bytes));
  unconsumed_ += body_bytes;
  std::string rewritten;  // before more is read, which moves the head
  if (!parsed_.as_it_came) rewritten = forwarded_head(parsed_);
  const bool read = repeatable_ || safe_method(head_.method);
  if (read && !framer_.complete()) {
    auto waited = co_await wait_for_body(head_bytes, body_bytes);
    if (!waited) co_return waited.error();
    body_bytes = *waited;
  }
  if (framer_.bad())
    co_return Error(Code::invalid,
                    "the request's chunked body is malformed. Nothing was sent to the database.");
  const bool repeatable = read && framer_.complete();
  Reuse reuse = read && !repeatable ? Reuse::recent : Reuse::any;

  std::optional<Error> lost;  // how the first attempt ended; there is one more at most
  const auto too_late = [&] {
    return lost.value_or(
        Error(Code::cancelled, "the request's deadline passed before anything was sent to the database."));
  };
  for (;;) {
    if (expired_) co_return too_late();
    auto up = pool.take_idle(reuse);
    if (!up) {
      auto made = co_await pool.connect(deadline_, ClientProtocol::http1, reuse);
      if (!made) co_return lost.value_or(made.error());
      up = std::move(*made);
    }
    if (expired_) {
      pool.put_back(std::move(up));
      co_return too_late();
    }
    const bool reused = up->reused;
    active_ = up.get();
    answer_seen_ = false;
    upstream_reusable_ = false;
    const std::string_view came = connection_.buffer.bytes();
    Pieces pieces;
    if (rewritten.empty()) {
      pieces.add(came.substr(0, head_bytes + body_bytes));
    } else {
      pieces.add(rewritten);
      pieces.add(came.substr(head_bytes, body_bytes));
    }
    const size_t bytes = pieces.bytes();
    error_code failed;
    if (!up->stream.write_now(pieces, failed)) failed = co_await up->stream.write_rest(pieces);
    if (failed && reused && pieces.bytes() == bytes) {  // it was dead: not one byte left this machine
      active_ = nullptr;
      continue;
    }

    Result<void> relayed;
    bool cut = static_cast<bool>(failed);
    if (framer_.complete()) {
      // An upstream that stopped reading may still have answered.
      relayed = co_await relay(*up, answer);
    } else {
      connection_.buffer.consume(head_bytes + body_bytes);
      unconsumed_ = 0;
      Pump pump(*up, executor());
      asio::co_spawn(executor(), pump_request(pump), [&pump](std::exception_ptr) {
        pump.running = false;
        pump.ended.cancel();
      });
      relayed = co_await relay(*up, answer);
      if (pump.running) {
        pump.stop = true;
        connection_.stream.cancel();
        up->stream.cancel();
        while (pump.running) co_await pump.ended.async_wait(as_values);
      }
      if (!relayed && pump.client_error) relayed = *pump.client_error;
      if (!framer_.complete()) upstream_reusable_ = client_keep_alive_ = false;
      cut = cut || pump.cut;
    }
    // It still waits for the rest of this request, and would take the next one for that.
    if (cut) upstream_reusable_ = false;
    if (!relayed && !answer_seen_ && repeatable && !lost && !expired_ && !broken_) {
      active_ = nullptr;
      lost = relayed.error();
      reuse = Reuse::none;
      continue;
    }
    give_back(pool, std::move(up));
    co_return relayed;
  }
}

// The rest of a body that is small enough to be sent once more, into the connection's buffer: how much of it is there then. The
// head's views are void after that.
asio::awaitable<Result<size_t>> Http1Exchange::wait_for_body(size_t head_bytes, size_t body_bytes) {
  if (framer_.kind() == BodyKind::length && body_bytes + framer_.left() > repeat_bytes_max)
    co_return body_bytes;
  if (auto sent = co_await send_continue(); !sent) co_return sent.error();
  Buffer& buffer = connection_.buffer;
  while (!framer_.complete() && !framer_.bad() && body_bytes < repeat_bytes_max) {
    if (expired_) co_return client_error({});
    // As much as it says, not the double of what came.
    const size_t left = framer_.kind() == BodyKind::length ? static_cast<size_t>(framer_.left()) : 4096;
    const auto [failed, bytes] = co_await connection_.stream.read_some(buffer.space(left));
    if (failed) {
      broken_ = !expired_;
      co_return client_error(failed);
    }
    buffer.filled(bytes);
    body_bytes += framer_.take(buffer.bytes().substr(head_bytes + body_bytes));
    unconsumed_ = head_bytes + body_bytes;
  }
  co_return body_bytes;
}

asio::awaitable<void> Http1Exchange::pump_request(Pump& pump) {
  if (auto sent = co_await send_continue(); !sent) pump.client_error = sent.error();
  Buffer& buffer = connection_.buffer;
  while (!framer_.complete() && !pump.client_error && !pump.stop) {
    if (buffer.empty()) {
      const auto [failed, bytes] = co_await connection_.stream.read_some(buffer.space(stream_bytes));
      if (pump.stop) co_return;
      if (failed) {
        broken_ = !expired_;
        pump.client_error = client_error(failed);
        break;
      }
      buffer.filled(bytes);
    }
    const size_t taken = framer_.take(buffer.bytes());
    if (framer_.bad()) {
      pump.client_error = Error(
          Code::invalid, "the request's chunked body is malformed. The database did not get all of it.");
      break;
    }
    const auto failed = co_await pump.up.stream.write(Pieces{buffer.bytes().substr(0, taken)});
    buffer.consume(taken);
    if (failed) {  // the upstream reads no more; its answer may be there
      pump.cut = true;
      co_return;
    }
  }
  // A cut request must not look complete to the upstream.
  if (pump.client_error) pump.up.stream.reset();
}

asio::awaitable<Result<void>> Http1Exchange::relay(UpstreamConnection& up, Response* answer) {
  // The usual case, a head that comes whole, without a coroutine of its own.
  bool there = false;
  if (!up.stream.encrypted()) {
    Stream::ReadResult read;
    const auto room = up.buffer.space(4096);
    bool got = up.stream.read_now(room, read);
    if (!got) {
      if (expired_) co_return upstream_error(up, {});
      if (!co_await up.stream.wait_readable()) co_return upstream_error(up, asio::error::operation_aborted);
      got = up.stream.read_now(room, read);
    }
    if (got) {
      const auto [failed, bytes] = read;
      if (failed) co_return upstream_error(up, failed);
      answer_seen_ = true;
      up.buffer.filled(bytes);
      size_t scanned = 0;
      const auto taken = take_answer_head(up, scanned);
      if (!taken) co_return taken.error();
      there = *taken && answer_.status >= 200;
    }
  }
  if (!there) {
    if (auto read = co_await read_answer_head(up); !read) co_return read;
  }
  if (answer != nullptr) answer->status = answer_.status;
  stage_ = Stage::answered;
  BodyFramer framer(answer_);
  const size_t head_bytes = answer_.raw.size();
  const size_t body_bytes = framer.take(up.buffer.bytes().substr(head_bytes));
  std::string rewritten;
  // The client learns that this connection ends when we know it now.
  const bool close = closing() || framer.kind() == BodyKind::until_close || !framer_.complete();
  if (close && client_keep_alive_) {
    rewritten = forwarded_head(answer_, "Connection: close\r\n");
    client_keep_alive_ = false;
  } else if (!answer_.as_it_came) {
    rewritten = forwarded_head(answer_);
  }
  Pieces pieces;
  if (rewritten.empty()) {
    pieces.add(up.buffer.bytes().substr(0, head_bytes + body_bytes));
  } else {
    pieces.add(rewritten);
    pieces.add(up.buffer.bytes().substr(head_bytes, body_bytes));
  }
  error_code failed;
  if (!connection_.stream.write_now(pieces, failed)) failed = co_await connection_.stream.write_rest(pieces);
  up.buffer.consume(head_bytes + body_bytes);
  if (failed) {
    broken_ = true;
    co_return Result<void>();
  }
  if (!framer.complete()) {
    if (auto relayed = co_await relay_body(up, framer); !relayed) {
      broken_ = cut_ = true;  // the client sees the cut that we saw
      co_return Result<void>();
    }
  }
  upstream_reusable_ = answer_.keep_alive && !broken_ && framer.complete() && up.buffer.empty();
  co_return Result<void>();
}

asio::awaitable<Result<void>> Http1Exchange::relay_body(UpstreamConnection& up, BodyFramer& framer) {
  answer_.raw = answer_.start_line = {};  // the buffer is used again
  answer_.fields.clear();
  while (!framer.complete()) {
    if (expired_) co_return upstream_error(up, {});
    const auto [failed, bytes] = co_await up.stream.read_some(up.buffer.space(stream_bytes));
    if (failed == asio::error::eof) framer.peer_ended();
    if (failed && !framer.complete()) co_return upstream_error(up, failed);
    if (failed) break;
    up.buffer.filled(bytes);
    const size_t taken = framer.take(up.buffer.bytes());
    if (framer.bad()) co_return upstream_error(up, asio::error::invalid_argument);
    if (auto sent = co_await write_client(Pieces{up.buffer.bytes().substr(0, taken)}); !sent) co_return sent;
    up.buffer.consume(taken);
  }
  co_return Result<void>();
}

}  // namespace vmproxy::net
