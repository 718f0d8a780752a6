#include "net/http2_exchange.h"

#include <charconv>

#include "net/connection.h"
#include "net/http1_head.h"

namespace vmproxy::net {
namespace {

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

// Fields of one hop do not exist in HTTP/2; Content-Length is ours.
Headers sendable(const Headers& headers) {
  Headers out;
  for (const auto& [name, value] : headers.all()) {
    const auto lower = lower_case(name);
    bool allowed = is_token(lower) && is_field_value(value);
    for (const auto* hop : {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
                            "content-length", "te"}) {
      allowed = allowed && lower != hop;
    }
    if (allowed) out.add(lower, value);
  }
  return out;
}

}  // namespace

std::optional<Duration> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  uint64_t count = 0;
  const auto* end = text.data() + text.size() - 1;
  const auto read = std::from_chars(text.data(), end, count);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  using namespace std::chrono;
  switch (text.back()) {
    case 'H': return std::min<Duration>(hours(std::min<uint64_t>(count, 100000)), hours(24 * 365));
    case 'M': return minutes(count);
    case 'S': return seconds(count);
    case 'm': return milliseconds(count);
    case 'u': return microseconds(count);
    case 'n': return nanoseconds(count);
    default: return std::nullopt;
  }
}

Http2Exchange::Http2Exchange(Connection& connection, std::function<void(Http2Exchange&)> ready,
                             std::function<void(Http2Exchange&)> idle)
    : connection_(connection),
      ready_(std::move(ready)),
      idle_(std::move(idle)),
      timer_(connection.worker.deadlines, [this] { expire(); }),
      changed_(connection.worker.signals) {}

void Http2Exchange::handler_begins() {
  handling_ = true;
}

void Http2Exchange::handler_ended() {
  handling_ = false;
  if (stage_ != Stage::answered) reset(NGHTTP2_INTERNAL_ERROR);
  if (closed_) {
    idle_(*this);
  } else {
    end_early();
  }
}

void Http2Exchange::end_early() {
  if (!handling_ && attached() && !request_ended_ && end_sent()) reset(NGHTTP2_NO_ERROR);
}

asio::any_io_executor Http2Exchange::executor() {
  return connection_.worker.io.get_executor();
}
bool Http2Exchange::client_gone() {
  return closed_ || connection_.stream.peer_closed();
}
Error Http2Exchange::gone() const {
  if (expired_) return {Code::timeout, "the client did not send its request before the deadline."};
  return {Code::connection_lost, "the client reset its request or closed its connection."};
}

void Http2Exchange::arm(Deadline deadline) {
  expired_ = false;
  timer_.set(deadline);
}

// As over HTTP/1.1: what remains after the request's own deadline is to tell the client, and for that it has five seconds. A window that it does not open
// would else keep an answer here for as long as its connection lasts.
void Http2Exchange::expire() {
  if (expired_) return reset(NGHTTP2_CANCEL);
  expired_ = true;
  changed_.notify();
  timer_.set(std::max(deadline_, std::chrono::steady_clock::now()) + std::chrono::seconds(5));
}

void Http2Exchange::on_head(Http2Head head, bool end) {
  bodyless_ = end;
  came_ = std::move(head);
  if (came_.method == "CONNECT") return reset(NGHTTP2_PROTOCOL_ERROR);  // no handler sees it, as in HTTP/1
  head_.method = came_.method;
  head_.target = came_.path;
  head_.headers = came_.headers;
  head_.http2 = true;
  uint64_t length = 0;
  if (const auto text = came_.headers.find("content-length")) {
    if (std::from_chars(text->data(), text->data() + text->size(), length).ec == std::errc())
      head_.content_length = length;
  }
  const auto now = std::chrono::steady_clock::now();
  deadline_ = now + connection_.listener->options.request_timeout;
  if (const auto text = came_.headers.find("grpc-timeout")) {
    if (const auto own = parse_grpc_timeout(*text)) deadline_ = now + *own;
  }
  arm(deadline_);
  ready_(*this);
}

void Http2Exchange::on_data(std::string_view bytes) {
  if (sink_ != nullptr) {
    sink_->send_data(bytes);  // consumed() when they left
  } else if (holding_) {
    consumed(bytes.size());
    if (request_.body.size() + bytes.size() > hold_bytes_max_) {
      too_large_ = true;
      changed_.notify();
    } else if (!too_large_) {
      request_.body.append(bytes);
    }
  } else if (handling_ || stage_ == Stage::waiting) {
    inbox_.append(bytes);
    changed_.notify();
  }
}

void Http2Exchange::on_trailers(Headers trailers) {
  request_trailers_ = std::move(trailers);
}

void Http2Exchange::on_end() {
  request_ended_ = true;
  if (sink_ != nullptr) {
    if (request_trailers_.all().empty()) {
      sink_->send_end();
    } else {
      sink_->send_trailers(request_trailers_);
    }
  }
  changed_.notify();
}

void Http2Exchange::on_sent(size_t bytes) {
  if (sink_ != nullptr) sink_->consumed(bytes);
}

void Http2Exchange::on_end_sent() {
  end_early();
}

void Http2Exchange::on_closed(uint32_t) {
  closed_ = true;
  changed_.notify();
  if (!handling_) idle_(*this);
}

asio::awaitable<Result<void>> Http2Exchange::read_body(uint64_t bytes_max) {
  if (stage_ != Stage::waiting)
    co_return Error(Code::internal, "read_body() after the request was held or answered");
  stage_ = Stage::held;
  const Error too_large(Code::too_large, "the request's body is larger than the limit of " +
                                             std::to_string(bytes_max) +
                                             " bytes. Nothing was sent to the database.");
  request_.method = head_.method;
  request_.target = head_.target;
  request_.headers = head_.headers;
  if (inbox_.size() > bytes_max || head_.content_length.value_or(0) > bytes_max) co_return too_large;
  hold_bytes_max_ = bytes_max;
  holding_ = true;
  consumed(inbox_.size());
  request_.body = std::exchange(inbox_, {});
  while (!request_ended_) {
    if (too_large_) co_return too_large;
    if (closed_ || expired_) co_return gone();
    co_await changed_.wait();
  }
  if (too_large_) co_return too_large;
  co_return Result<void>();
}

asio::awaitable<Result<void>> Http2Exchange::reply(Response response) {
  if (stage_ == Stage::answered || stage_ == Stage::answering || closed_) {
    co_return Error(Code::connection_lost, "this request was answered already, or its client has gone");
  }
  stage_ = Stage::answered;
  Http2Head head;
  head.status = response.status;
  head.headers = sendable(response.headers);
  const bool end = response.body.empty() && response.trailers.all().empty();
  send_response(head, end);
  if (!end) {
    if (head_.method != "HEAD") send_data(response.body);
    if (response.trailers.all().empty()) {
      send_end();
    } else {
      send_trailers(sendable(response.trailers));
    }
  }
  co_return Result<void>();
}

}  // namespace vmproxy::net
