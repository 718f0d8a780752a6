// The server side of one HTTP/2 connection: each stream becomes an Http2Exchange with its handler.
#include <boost/asio/co_spawn.hpp>
#include <unordered_map>

#include "base/log.h"
#include "net/connection.h"
#include "net/http2_exchange.h"

namespace vmproxy::net {
namespace {

class Http2ServerSession final : public Http2Session {
 public:
  explicit Http2ServerSession(Connection& connection)
      : Http2Session(connection.worker, connection.stream, Side::server,
                     connection.listener->options.head_bytes_max, connection.listener->options.write_timeout),
        connection_(connection),
        emptied_(connection.worker.signals) {}

  // First the notice that this connection ends, at the next call the end for streams that come later.
  void drain_step() {
    if (drain_steps_ < 2) drain(drain_steps_++ > 0);
    // Who is not busy is closed. The end of an answer may still be on its way to a client that reads slowly.
    connection_.busy = !exchanges_.empty() || writing();
  }
  void update_busy() {
    connection_.busy = !exchanges_.empty();
    if (exchanges_.empty()) {
      connection_.timer.set(std::chrono::steady_clock::now() + connection_.listener->options.idle_timeout);
      emptied_.notify();
    } else {
      connection_.timer.clear();  // each exchange has its own deadline
    }
  }
  asio::awaitable<void> wait_until_empty() {
    sweep();
    while (!exchanges_.empty()) co_await emptied_.wait();
  }

 private:
  Http2Stream* on_stream_begun() override {
    // A stream that was reset counts until its handler has ended: else resets would buy any amount of work at the database.
    // So does one that was answered, for a moment, while its client, who keeps to streams_max, begins the next one already.
    if (exchanges_.size() - idle_.size() >= 2 * streams_max) return nullptr;
    auto exchange = std::make_unique<Http2Exchange>(
        connection_, [this](Http2Exchange& ready) { ready_.push_back(&ready); },
        [this](Http2Exchange& idle) {
          idle_.push_back(&idle);
          sweep_soon();
        });
    auto* stream = exchange.get();
    exchanges_.emplace(stream, std::move(exchange));
    update_busy();
    return stream;
  }

  void on_processed() override {
    sweep();
    for (auto* exchange : std::exchange(ready_, {})) start(*exchange);
  }

  void start(Http2Exchange& exchange) {
    exchange.handler_begins();
    const auto self = std::static_pointer_cast<Http2ServerSession>(shared_from_this());
    asio::co_spawn(worker().io, run_handler(connection_.listener, exchange),
                   [self, &exchange](std::exception_ptr thrown) {
                     if (thrown) {
                       try {
                         std::rethrow_exception(thrown);
                       } catch (const std::exception& e) {
                         log::error("a request ended by an exception, which is a bug of vmproxy",
                                    {{"what", e.what()}});
                       }
                     }
                     exchange.handler_ended();
                   });
  }

  static asio::awaitable<void> run_handler(std::shared_ptr<const Listener> listener,
                                           Http2Exchange& exchange) {
    co_await listener->handler(exchange);
  }

  // Exchanges are not destroyed inside their own callbacks.
  void sweep_soon() {
    if (sweeping_) return;
    sweeping_ = true;
    asio::post(worker().io, [self = std::static_pointer_cast<Http2ServerSession>(shared_from_this())] {
      self->sweeping_ = false;
      self->sweep();
    });
  }
  void sweep() {
    if (idle_.empty()) return;
    for (auto* exchange : std::exchange(idle_, {})) {
      std::erase(ready_, exchange);
      exchanges_.erase(exchange);
    }
    update_busy();
  }

  Connection& connection_;
  std::unordered_map<Http2Exchange*, std::unique_ptr<Http2Exchange>> exchanges_;
  std::vector<Http2Exchange*> ready_;
  std::vector<Http2Exchange*> idle_;
  Signal emptied_;
  bool sweeping_ = false;
  int drain_steps_ = 0;
};

}  // namespace

asio::awaitable<void> run_http2(Connection& connection) {
  const auto session = std::make_shared<Http2ServerSession>(connection);
  connection.on_expired = [&session] {
    session->drain(true);
  };  // idle: GOAWAY, then the session has nothing left to do
  connection.on_drain = [&session] { session->drain_step(); };
  session->update_busy();
  if (connection.draining) session->drain_step();
  co_await session->run(connection.buffer);
  connection.on_expired = nullptr;
  connection.on_drain = nullptr;
  connection.timer.clear();
  connection.busy = true;
  // Handlers may still read an answer to its end for the journal: what they use stays.
  co_await session->wait_until_empty();
}

}  // namespace vmproxy::net
