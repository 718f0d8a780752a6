#include "replay.h"

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>

#include "connection.h"

namespace vmproxy::faultproxy {

using namespace net;

namespace {

// How long an answer nobody wants is read.
constexpr auto answer_patience = std::chrono::seconds(5);

}  // namespace

Replay::Replay(asio::any_io_executor executor, std::shared_ptr<LinkState> link, Duplicate duplicate,
               uint64_t connection)
    : link_(std::move(link)),
      duplicate_(duplicate),
      reader_(RequestNotes(link_->log, link_->name, connection, Stage::duplicate)),
      socket_(executor),
      timer_(executor) {}

void Replay::start() {
  asio::co_spawn(socket_.get_executor(), run(shared_from_this()), rethrow);
}

void Replay::add(std::string_view bytes) {
  if (begun_) return;
  const auto room = static_cast<size_t>(duplicate_.bytes) - bytes_.size();
  bytes_.append(bytes.substr(0, room));
}

void Replay::close() {
  closed_ = true;
  error_code ignored;
  socket_.close(ignored);
  timer_.cancel();
}

asio::awaitable<void> Replay::run(std::shared_ptr<Replay> self) {
  self->timer_.expires_after(self->duplicate_.after);
  co_await self->timer_.async_wait(as_values);
  if (self->closed_) co_return;
  self->begun_ = true;
  auto& socket = self->socket_;
  auto [failed] = co_await socket.async_connect(self->link_->upstream, as_values);
  if (failed || self->closed_) co_return;
  ++self->link_->counts.duplicated;
  self->timer_.expires_after(answer_patience);
  self->timer_.async_wait([weak = std::weak_ptr(self)](error_code cancelled) {
    if (const auto replay = weak.lock(); replay && !cancelled) replay->close();
  });
  const auto [broken, sent] = co_await asio::async_write(socket, asio::buffer(self->bytes_), as_values);
  self->reader_.feed(std::string_view(self->bytes_).substr(0, sent));
  std::array<char, 16 * 1024> unwanted;
  for (bool ended = static_cast<bool>(broken); !ended;) {
    const auto [end, bytes] = co_await socket.async_read_some(asio::buffer(unwanted), as_values);
    ended = static_cast<bool>(end);
  }
  self->close();
}

}  // namespace vmproxy::faultproxy
