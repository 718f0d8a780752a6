#include "net/http2_upstream.h"

#include <boost/asio/co_spawn.hpp>

#include "net/worker.h"

namespace vmproxy::net {

void Http2Upstream::start(std::shared_ptr<Http2Upstream> self) {
  auto& io = self->worker().io;
  asio::co_spawn(
      io,
      [](std::shared_ptr<Http2Upstream> session) -> asio::awaitable<void> {
        co_await session->run(session->connection_->buffer);
        session->connection_->stream.close();  // the pool may ask for the session only much later
        session->changed_.notify();
      }(std::move(self)),
      [](std::exception_ptr) {});
}

bool Http2Upstream::usable(Duration idle_max, bool surely) {
  if (!takes_requests()) return false;
  const auto idle = std::chrono::steady_clock::now() - used_;
  if (open_streams() == 0 && idle > idle_max) return false;
  return (!surely && idle < std::chrono::milliseconds(2)) || !connection_->stream.peer_closed();
}

Error http2_upstream_error(const Http2UpstreamStream& stream, std::string_view address, bool expired) {
  const std::string where(address);
  if (stream.refused())
    return {Code::refused_connection,
            where + " refused the request before executing it. It can be sent again."};
  if (expired)
    return {Code::timeout,
            "no answer from " + where + " before the request's deadline. It may still be executed there."};
  return {Code::connection_lost, "the stream to " + where + " broke before the end of the answer: " +
                                     nghttp2_http2_strerror(stream.error) +
                                     ". The request may have been executed there."};
}

asio::awaitable<Result<std::shared_ptr<Http2Upstream>>> WorkerPool::connect_http2(Deadline deadline) {
  deadline = std::min(deadline, std::chrono::steady_clock::now() + shared_->options.connect_timeout);
  auto made = co_await connect(deadline, ClientProtocol::http2);
  if (!made) co_return made.error();
  auto session = std::make_shared<Http2Upstream>(worker_, std::move(*made));
  Http2Upstream::start(session);
  DeadlineTimer timer(worker_.deadlines, [&] { session->close(); });
  timer.set(deadline);
  // Long enough for an acknowledgement that is on its way; one that comes later costs a refusal at most, and what was
  // refused is sent again.
  constexpr auto grace = std::chrono::milliseconds(20);
  bool waited = false, waiting = false;
  DeadlineTimer patience(worker_.deadlines, [&] {
    waited = true;
    session->changed().notify();
  });
  while (session->alive() && !session->settled() && !waited) {
    if (session->announced() && !waiting) {
      waiting = true;
      patience.set(std::chrono::steady_clock::now() + grace);
    }
    co_await session->changed().wait();
  }
  if (!session->alive()) {
    co_return Error(
        Code::refused_connection,
        shared_->address + " does not speak HTTP/2. Nothing was sent. Check that this is its gRPC port.");
  }
  co_return session;
}

asio::awaitable<Result<std::shared_ptr<Http2Upstream>>> WorkerPool::http2(Deadline deadline, bool surely) {
  for (;;) {
    for (size_t i = 0; i < sessions_.size();) {
      if (sessions_[i]->usable(shared_->options.idle_max, surely)) co_return sessions_[i];
      if (sessions_[i]->alive() && sessions_[i]->open_streams() > 0) {
        ++i;  // full, or going away with streams that still end
        continue;
      }
      sessions_[i]->close();
      sessions_.erase(sessions_.begin() + static_cast<ptrdiff_t>(i));
    }
    if (!connecting_) break;
    // One connection at a time is made; who comes meanwhile shares it.
    co_await connected_.async_wait(as_values);
    if (std::chrono::steady_clock::now() >= deadline) {
      co_return Error(Code::refused_connection,
                      "no connection to " + shared_->address + " in time. Nothing was sent.");
    }
  }
  connecting_ = true;
  auto made = co_await connect_http2(deadline);
  connecting_ = false;
  if (made) sessions_.push_back(*made);
  connected_.cancel();
  co_return made;
}

}  // namespace vmproxy::net
