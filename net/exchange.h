// Exchange: one request of a client and its answer, the same for HTTP/1.1 and HTTP/2. The server makes it,
// the handler uses it inside one coroutine on the connection's worker; it dies with the request.
//
// Two ways to answer:
//   pass(): head and body stream to the upstream and back as they came, with back-pressure; nothing is
//   buffered but what may have to be sent once more. read_body() then forward() then reply_upstream(): the request is held whole,
//   goes on byte for byte (HTTP/1.1) or message for message (HTTP/2), and its answer is held until the caller lets it go.
// or reply() with an answer of our own at any time before another answer began.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/error.h"
#include "net/message.h"

namespace vmproxy::net {

class Upstream;

class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const RequestHead& head() const = 0;
  virtual boost::asio::any_io_executor executor() = 0;
  // Deadline of the whole request: the client's own (grpc-timeout) or the listener's.
  virtual Deadline deadline() const = 0;
  // True once the client closed its connection or reset the stream. Cheap; may be asked at any time.
  virtual bool client_gone() = 0;

  // The handler knows that the request changes nothing (a search by POST): when the connection ends before any byte of the
  // answer, pass() and forward() send it once more, on a new one. pass() keeps up to repeat_bytes_max for that, and waits for
  // such a body before it sends (an answer that the upstream would give without it waits, too); what is larger is not sent again,
  // and over HTTP/1.1 goes on a connection that is new or was used just now. Safe methods need not be marked for pass().
  static constexpr size_t repeat_bytes_max = 64 * 1024;
  void set_repeatable() { repeatable_ = true; }

  // After read_body: forward() sends this body (with its length) instead of the client's, where it is not empty. request()
  // stays as it came.
  void send_instead(std::string body) { instead_ = std::move(body); }

  // When the handler took the request up, by the handler's own clock: for what it measures.
  void set_began(TimePoint began) { began_ = began; }
  TimePoint began() const { return began_; }

  // Streams the request to the upstream and its answer back. An error means that nothing was sent to the
  // client yet and the handler should reply(); once bytes went back, a failure closes the client's side as
  // the upstream's was closed. `answer`, when given, gets the answer's status and its trailers (HTTP/2: of an answer
  // that is a head only, the head's fields); nothing else of it is kept.
  virtual boost::asio::awaitable<Result<void>> pass(Upstream& upstream, Response* answer = nullptr) = 0;

  // Reads the whole body into memory. Code::too_large when larger than `bytes_max` (nothing more is read
  // then; the handler replies and the connection closes afterwards), connection_lost when the client went
  // away.
  virtual boost::asio::awaitable<Result<void>> read_body(uint64_t bytes_max) = 0;
  // After read_body: the request as a value. Valid until the exchange dies.
  virtual const Request& request() const = 0;

  // After read_body: sends it to the upstream, reads the answer to its end (at most `bytes_max`), even when
  // the client has gone. `may_send` runs just before the first byte could leave; when it returns false
  // nothing is sent and the error is Code::cancelled. Errors: refused_connection, overloaded (nothing was sent),
  // connection_lost, timeout (maybe executed), too_large (the answer was larger than bytes_max: executed,
  // not readable). Never sends a request twice that is not repeatable. Retires pooled connections that the upstream
  // closed before using them.
  virtual boost::asio::awaitable<Result<Response>> forward(Upstream& upstream, Deadline deadline,
                                                           uint64_t bytes_max,
                                                           std::function<bool()> may_send) = 0;
  // After forward(): the upstream's answer to the client as it came.
  virtual boost::asio::awaitable<Result<void>> reply_upstream() = 0;

  // An answer of our own. Content-Length (or END_STREAM, trailers) is ours to set.
  virtual boost::asio::awaitable<Result<void>> reply(Response response) = 0;

 protected:
  bool repeatable_ = false;
  std::string instead_;

 private:
  TimePoint began_{};
};

// Runs for each request. Must reply, pass or fail; an exception or no answer closes the connection.
using Handler = std::function<boost::asio::awaitable<void>(Exchange&)>;

}  // namespace vmproxy::net
