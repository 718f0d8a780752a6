#include "net/http1_exchange.h"

#include "base/log.h"

namespace vmproxy::net {
namespace {

std::string_view reason_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Payload Too Large";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Status";
  }
}

// An answer to something that is no request: no handler can give it.
asio::awaitable<void> refuse(Connection& connection, int status, std::string_view why) {
  const std::string body =
      "vmproxy refused this request: " + std::string(why) + ". Nothing was sent to the database.\n";
  const std::string text =
      "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_of(status)) +
      "\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  co_await connection.stream.write(Pieces{text});
  co_await connection.linger();
}

}  // namespace

asio::awaitable<void> run_http1(Connection& connection) {
  const auto& options = connection.listener->options;
  Http1Exchange exchange(connection);
  Buffer& buffer = connection.buffer;
  for (bool first = true;; first = false) {
    size_t scanned = 0;
    bool begun = !buffer.empty();
    connection.on_expired = nullptr;
    connection.timer.set(std::chrono::steady_clock::now() +
                         (begun ? options.head_timeout : options.idle_timeout));
    for (;;) {
      while (scanned == 0 && buffer.bytes().starts_with("\r\n"))
        buffer.consume(2);  // some clients end a body with one
      const auto found = scan_head(buffer.bytes(), scanned);
      if (found == HeadScan::complete) break;
      if (found == HeadScan::bad)
        co_return co_await refuse(connection, 400, "a line that does not end with CRLF");
      if (!buffer.empty() && buffer.bytes().front() != '\r' && !is_token(buffer.bytes().substr(0, 1))) {
        co_return co_await refuse(connection, 400, "this is not HTTP");
      }
      if (buffer.size() > options.head_bytes_max)
        co_return co_await refuse(connection, 431, "its head is too large");
      if (!begun && !buffer.empty()) {
        begun = true;
        connection.timer.set(std::chrono::steady_clock::now() + options.head_timeout);
      }
      connection.busy = begun;
      Stream::ReadResult read;
      const auto room = buffer.space(4096);
      if (!connection.stream.read_now(room, read)) {
        // The usual case without a coroutine of its own.
        if (connection.stream.encrypted()) {
          read = co_await connection.stream.read_some(room);
        } else if (!co_await connection.stream.wait_readable()) {
          read = {asio::error::operation_aborted, 0};
        } else if (!connection.stream.read_now(room, read)) {
          continue;
        }
      }
      const auto [failed, bytes] = read;
      if (failed) co_return;
      buffer.filled(bytes);
    }
    connection.busy = true;
    if (scanned > options.head_bytes_max) co_return co_await refuse(connection, 431, "its head is too large");
    if (first && !claims_http(buffer.bytes().substr(0, scanned))) co_return;  // RFC 9113, 3.4: closed
    if (!exchange.begin(scanned)) co_return co_await refuse(connection, 400, exchange.problem());
    connection.on_expired = [&exchange] { exchange.expire(); };
    co_await connection.listener->handler(exchange);
    if (!exchange.finish()) {
      if (exchange.answered()) co_await connection.linger();
      co_return;
    }
  }
}

Http1Exchange::Http1Exchange(Connection& connection) : connection_(connection) {}

bool Http1Exchange::begin(size_t head_bytes) {
  if (!parse_request_head(connection_.buffer.bytes().substr(0, head_bytes), parsed_)) return false;
  fill_request_head(parsed_, head_);
  framer_ = BodyFramer(parsed_);
  stage_ = Stage::waiting;
  unconsumed_ = head_bytes;
  client_keep_alive_ = parsed_.keep_alive && parsed_.minor_version == 1;
  continue_owed_ = parsed_.expect_continue && parsed_.minor_version == 1;
  expired_ = false;
  repeatable_ = false;
  instead_.clear();
  deadline_ = std::chrono::steady_clock::now() + connection_.listener->options.request_timeout;
  connection_.timer.set(deadline_);
  return true;
}

bool Http1Exchange::finish() {
  connection_.buffer.consume(unconsumed_);
  unconsumed_ = 0;
  // What is as small as usual is kept for the next request.
  const auto empty = [](std::string& text) {
    if (text.capacity() > Buffer::usual_bytes) std::string().swap(text);
    text.clear();
  };
  request_.method.clear();
  request_.target.clear();
  empty(request_.body);
  empty(held_head_);
  empty(held_raw_);
  empty(held_answer_);
  if (cut_) connection_.stream.reset();
  if (broken_ || stage_ != Stage::answered) return false;
  connection_.buffer.shrink();
  // Who was promised the connection may have sent the next request already, also while the server drains: it is answered
  // with "Connection: close", and Server::stop() closes the connection when no request comes.
  return framer_.complete() && client_keep_alive_ && !expired_;
}

void Http1Exchange::expire() {
  if (expired_) {
    connection_.stream.close();
    if (active_ != nullptr) active_->stream.close();
    return;
  }
  expired_ = true;
  connection_.stream.cancel();
  if (active_ != nullptr) active_->stream.cancel();
  // What remains is to say so to the client.
  connection_.timer.set(std::chrono::steady_clock::now() + std::chrono::seconds(5));
}

Error Http1Exchange::upstream_error(const UpstreamConnection&, const error_code& failed) const {
  const std::string address(upstream_address_);
  if (expired_) {
    return {Code::timeout,
            "no answer from " + address + " before the request's deadline. It may still be executed there."};
  }
  return {Code::connection_lost, "the connection to " + address + " broke before the answer: " +
                                     failed.message() + ". The request may have been executed there."};
}

Error Http1Exchange::client_error(const error_code& failed) const {
  if (expired_) return {Code::timeout, "the client did not send its request before the deadline."};
  return {Code::connection_lost, "the client closed its connection: " + failed.message() + "."};
}

asio::awaitable<Result<void>> Http1Exchange::write_client(Pieces pieces) {
  error_code failed;
  if (!connection_.stream.write_now(pieces, failed)) failed = co_await connection_.stream.write_rest(pieces);
  if (failed) {
    broken_ = true;
    co_return client_error(failed);
  }
  co_return Result<void>();
}

asio::awaitable<Result<void>> Http1Exchange::send_continue() {
  if (!continue_owed_) co_return Result<void>();
  continue_owed_ = false;
  co_return co_await write_client(Pieces{"HTTP/1.1 100 Continue\r\n\r\n"});
}

bool Http1Exchange::request_ended() {
  if (!framer_.complete() && !framer_.bad() && !continue_owed_) {
    unconsumed_ += framer_.take(connection_.buffer.bytes().substr(unconsumed_));
  }
  return framer_.complete();
}

asio::awaitable<Result<void>> Http1Exchange::reply(Response response) {
  if (stage_ == Stage::answered || broken_)
    co_return Error(Code::connection_lost, "this request was answered already, or its client has gone");
  stage_ = Stage::answered;
  const bool keep = request_ended() && !closing();
  if (!keep) client_keep_alive_ = false;
  std::string head;
  head.reserve(256);
  head += "HTTP/1.1 ";
  head += std::to_string(response.status);
  head += ' ';
  head += reason_of(response.status);
  head += "\r\n";
  for (const auto& [name, value] : response.headers.all()) {
    if (equal_ignoring_case(name, "content-length") || equal_ignoring_case(name, "transfer-encoding") ||
        equal_ignoring_case(name, "connection"))
      continue;
    // An answer may carry text that a peer chose: it must not become a line of its own.
    if (!is_token(name) || !is_field_value(value)) continue;
    head += name;
    head += ": ";
    head += value;
    head += "\r\n";
  }
  if (response.status >= 200 && response.status != 204 && response.status != 304) {
    head += "Content-Length: ";
    head += std::to_string(response.body.size());
    head += "\r\n";
  }
  if (!keep) head += "Connection: close\r\n";
  head += "\r\n";
  const bool with_body = head_.method != "HEAD" && response.status != 204 && response.status != 304;
  co_return co_await write_client(
      Pieces{head, with_body ? std::string_view(response.body) : std::string_view()});
}

void Http1Exchange::give_back(WorkerPool& pool, UpstreamConnectionPtr up) {
  active_ = nullptr;
  if (!upstream_reusable_) return;
  up->keep_alive_timeout = answer_.keep_alive_timeout;
  pool.put_back(std::move(up));
}

Result<bool> Http1Exchange::take_answer_head(UpstreamConnection& up, size_t& scanned) {
  const auto garbage = [&](const char* why) {
    return Error(Code::connection_lost, std::string(upstream_address_) +
                                            " answered with something that is not HTTP/1.1 (" + why +
                                            "). The request may have been executed there.");
  };
  switch (scan_head(up.buffer.bytes(), scanned)) {
    case HeadScan::bad: return garbage("a line that does not end with CRLF");
    case HeadScan::need_more:
      if (up.buffer.size() > 256 * 1024) return garbage("its head is larger than 256 KiB");
      return false;
    case HeadScan::complete: break;
  }
  if (!parse_response_head(up.buffer.bytes().substr(0, scanned), head_.method, answer_))
    return garbage(answer_.problem);
  if (answer_.status == 101) return garbage("it switched protocols, which nobody asked for");
  return true;
}

asio::awaitable<Result<void>> Http1Exchange::read_answer_head(UpstreamConnection& up) {
  size_t scanned = 0;
  for (;;) {
    const auto taken = take_answer_head(up, scanned);
    if (!taken) co_return taken.error();
    if (*taken) {
      if (answer_.status >= 200) co_return Result<void>();
      if (answer_.status != 100 && stage_ == Stage::waiting && parsed_.minor_version == 1) {
        if (auto sent = co_await write_client(Pieces{answer_.raw}); !sent) co_return sent;
      }
      up.buffer.consume(scanned);
      scanned = 0;
      continue;
    }
    if (expired_) co_return upstream_error(up, {});
    Stream::ReadResult read;
    const auto room = up.buffer.space(4096);
    if (!up.stream.read_now(room, read)) {
      if (up.stream.encrypted()) {
        read = co_await up.stream.read_some(room);
      } else if (!co_await up.stream.wait_readable()) {
        read = {asio::error::operation_aborted, 0};
      } else if (!up.stream.read_now(room, read)) {
        continue;
      }
    }
    const auto [failed, bytes] = read;
    if (failed) co_return upstream_error(up, failed);
    answer_seen_ = true;
    up.buffer.filled(bytes);
  }
}

}  // namespace vmproxy::net
