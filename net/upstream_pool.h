// Connections to one database: UpstreamPool is what all workers share, WorkerPool one worker's own
// connections.
#pragma once

#include <deque>
#include <mutex>
#include <string_view>
#include <vector>

#include "net/buffer.h"
#include "net/deadline_queue.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/upstream.h"
#include "net/upstream_places.h"

namespace vmproxy::net {

class UpstreamPool {
 public:
  explicit UpstreamPool(const UpstreamOptions& options);
  // Made once; an error when the CA cannot be read.
  Result<TlsContext> tls(ClientProtocol protocol);

  const UpstreamOptions options;
  const uint64_t id;          // never used twice
  const std::string address;  // host:port, for messages

 private:
  std::mutex mutex_;
  TlsContext tls_[2];
};

class Http2Upstream;
class Worker;

struct UpstreamConnection {
  UpstreamConnection(Worker& worker, int fd) : stream(worker, fd) {}
  UpstreamPlaces::Place place;  // free again when the stream is closed
  Stream stream;
  Buffer buffer;
  bool reused = false;     // it has served a request: the server may have closed it since
  TimePoint idle_since{};  // while idle
  TimePoint usable_until = TimePoint::max();
  Duration keep_alive_timeout{};  // as the server announced it; 0: it did not
};
using UpstreamConnectionPtr = std::unique_ptr<UpstreamConnection>;

// Which connections that have served may serve again. `recent`: those that did within recently, which no server ends that soon.
enum class Reuse : uint8_t { any, recent, none };
constexpr Duration recently = std::chrono::milliseconds(100);

// One worker only. Outlived by its io_context, not by the Upstream: an idle connection just grows too old.
class WorkerPool {
 public:
  WorkerPool(Worker& worker, std::shared_ptr<UpstreamPool> shared);

  // The connection used last, when it is young enough and the server has not closed it; otherwise null. Null also when others
  // wait for a place: connect() waits behind them.
  UpstreamConnectionPtr take_idle(Reuse reuse = Reuse::any);
  // A fresh connection, TLS included. When the worker has as many as it may have: the first that becomes free, for HTTP/1.1
  // and Reuse::any perhaps one that was used (`reused`). Nothing was sent with Code::refused_connection, and with
  // Code::overloaded: no place for it in half of the time.
  asio::awaitable<Result<UpstreamConnectionPtr>> connect(Deadline deadline,
                                                         ClientProtocol protocol = ClientProtocol::http1,
                                                         Reuse reuse = Reuse::any);
  // Ready for its next request: the answer was read to its end and nothing is left over.
  void put_back(UpstreamConnectionPtr connection);

  // Closes one that nobody uses, so that another database can have its place. False: there is none.
  bool close_idle();

  // A live HTTP/2 connection with room for one more stream; shared by all requests of this worker. `surely`: also one that was
  // used just now is looked at for its end.
  asio::awaitable<Result<std::shared_ptr<Http2Upstream>>> http2(Deadline deadline, bool surely = false);

  const UpstreamPool& shared() const { return *shared_; }
  Worker& worker() { return worker_; }

 private:
  UpstreamConnectionPtr youngest_idle(Reuse reuse);
  // Null: there is a place for a fresh one now.
  asio::awaitable<Result<UpstreamConnectionPtr>> wait_for_place(Deadline deadline, bool reuse);
  asio::awaitable<Result<std::vector<tcp::endpoint>>> resolve();
  asio::awaitable<Result<std::shared_ptr<Http2Upstream>>> connect_http2(Deadline deadline);
  void sweep();

  Worker& worker_;
  std::shared_ptr<UpstreamPool> shared_;
  std::deque<UpstreamConnectionPtr> idle_;  // bound: idle_connections_max; the one used last is at the back
  std::vector<tcp::endpoint> endpoints_;    // names are looked up again after 10 s or a failure
  TimePoint endpoints_until_{};
  DeadlineTimer sweep_timer_;
  std::vector<std::shared_ptr<Http2Upstream>> sessions_;
  bool connecting_ = false;
  asio::steady_timer connected_;  // never expires: cancelled when `connecting_` ends
};

}  // namespace vmproxy::net
