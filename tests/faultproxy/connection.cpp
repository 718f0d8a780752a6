#include "connection.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>

namespace vmproxy::faultproxy {

using namespace net;

namespace {

constexpr size_t read_bytes_max = 64 * 1024;
constexpr int narrow_window_bytes = 32 * 1024;
// After an orderly cut, how long a side may still send what nobody reads before it gets a RST; after a reset of the other side,
// how long it may wait.
constexpr auto last_words = std::chrono::seconds(1);

TimePoint now() {
  return std::chrono::steady_clock::now();
}

// Until `until`, or until somebody cancels the timer: the caller looks again at what it waits for.
asio::awaitable<void> wait(asio::steady_timer& timer, TimePoint until) {
  timer.expires_at(until);
  co_await timer.async_wait(as_values);
}

void end_sending(tcp::socket& socket) {
  error_code ignored;
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

// Bytes that the kernel holds back because the receiver's window is full: a RST would take them away.
bool all_sent(tcp::socket& socket) {
  int unsent = 0;
  return ::ioctl(socket.native_handle(), SIOCOUTQNSD, &unsent) != 0 || unsent == 0;
}

}  // namespace

Connection::Flow::Flow(tcp::socket& f, tcp::socket& t, Direction d, LinkState& link, uint64_t number)
    : from(f),
      to(t),
      direction(d),
      faults(link.faults.of(d)),
      shaper(seed_of(link.seed, link.name, number * 2 + (d == Direction::to_client ? 1 : 0))),
      reader(f.get_executor()),
      writer(f.get_executor()) {}

Connection::Connection(tcp::socket client, std::shared_ptr<LinkState> link, uint64_t number)
    : link_(std::move(link)),
      client_(std::move(client)),
      upstream_(client_.get_executor()),
      to_upstream_(client_, upstream_, Direction::to_upstream, *link_, number),
      to_client_(upstream_, client_, Direction::to_client, *link_, number),
      arrived_(RequestNotes(link_->log, link_->name, number, Stage::arrived)),
      passed_(RequestNotes(link_->log, link_->name, number, Stage::passed)),
      duplicate_(link_->faults.duplicate),
      number_(number),
      waiting_(client_.get_executor()) {}

void Connection::start() {
  ++link_->counts.open;
  asio::co_spawn(client_.get_executor(), run(shared_from_this()), rethrow);
}

asio::awaitable<void> Connection::run(std::shared_ptr<Connection> self) {
  // Over a dead link nobody reaches the upstream, whichever direction is dead.
  while (self->open_ && (self->to_upstream_.faults.blackhole || self->to_client_.faults.blackhole))
    co_await wait(self->waiting_, TimePoint::max());
  if (!self->open_) co_return;
  auto& upstream = self->upstream_;
  const auto [failed] = co_await upstream.async_connect(self->link_->upstream, as_values);
  if (!self->open_) co_return;
  if (failed) {
    ++self->link_->counts.connect_failed;
    self->reset();
    co_return;
  }
  error_code ignored;
  upstream.set_option(tcp::no_delay(true), ignored);
  self->client_.set_option(tcp::no_delay(true), ignored);
  self->narrow_windows();
  const auto executor = upstream.get_executor();
  for (Flow* flow : {&self->to_upstream_, &self->to_client_}) {
    asio::co_spawn(executor, read(self, *flow), rethrow);
    asio::co_spawn(executor, write(self, *flow), rethrow);
  }
}

asio::awaitable<void> Connection::read(std::shared_ptr<Connection> self, Flow& flow) {
  std::string room(read_bytes_max, '\0');
  while (self->open_) {
    const Faults& faults = flow.faults;
    if (!flow.finished && flow.queued >= queue_bytes_max) {
      co_await wait(flow.reader, TimePoint::max());
      continue;
    }
    if (!flow.finished && now() < flow.read_at + faults.read_pause) {
      co_await wait(flow.reader, flow.read_at + faults.read_pause);
      continue;
    }
    const size_t most =
        faults.read_bytes == 0 || flow.finished ? room.size() : std::min(room.size(), faults.read_bytes);
    const auto [failed, bytes] =
        co_await flow.from.async_read_some(asio::buffer(room.data(), most), as_values);
    if (!self->open_) co_return;
    if (self->half_reset_) {
      if (flow.from.is_open()) self->abort();
      co_return;
    }
    if (failed) co_return self->source_ended(flow, failed);
    flow.read_at = now();
    if (!flow.finished) self->arrived(flow, {room.data(), bytes});
  }
}

void Connection::arrived(Flow& flow, std::string_view bytes) {
  link_->counts.of(flow.direction).arrived_bytes += bytes.size();
  if (&flow == &to_upstream_) arrived_.feed(bytes);
  Piece piece;
  piece.bytes = bytes;
  piece.due = flow.shaper.due(flow.faults, now());
  flow.queue.push_back(std::move(piece));
  flow.queued += bytes.size();
  flow.writer.cancel();
}

void Connection::source_ended(Flow& flow, error_code why) {
  flow.source_ended = true;
  const End how = why == asio::error::eof ? End::fin : End::reset;
  if (flow.finished) {
    if (how == End::reset) return reset();
    return close_if_over();
  }
  Piece last;
  last.end = how;
  last.due = flow.shaper.due(flow.faults, now());
  flow.queue.push_back(std::move(last));
  flow.writer.cancel();
}

asio::awaitable<void> Connection::write(std::shared_ptr<Connection> self, Flow& flow) {
  while (self->open_ && !flow.finished) {
    if (flow.queue.empty() || flow.faults.blackhole) {
      co_await wait(flow.writer, TimePoint::max());
      continue;
    }
    Piece& piece = flow.queue.front();  // stays where it is while others are added
    if (piece.due > now()) {
      co_await wait(flow.writer, piece.due);
      continue;
    }
    if (piece.end) {
      self->end(flow, *piece.end);
      break;
    }
    if (flow.shaper.cut_reached(flow.faults)) {
      co_await self->cut(flow);
      break;
    }
    const size_t most = flow.shaper.allowance(flow.faults, piece.bytes.size() - piece.begin, now());
    if (most == 0) {
      co_await wait(flow.writer, flow.shaper.free_at());
      continue;
    }
    const std::string_view next(piece.bytes.data() + piece.begin, most);
    const auto [failed, bytes] = co_await flow.to.async_write_some(asio::buffer(next), as_values);
    if (!self->open_) break;
    self->passed(flow, next.substr(0, bytes));
    if (flow.finished) break;
    if (failed) {
      self->target_gone(flow);
      break;
    }
    piece.begin += bytes;
    flow.queued -= bytes;
    if (piece.begin == piece.bytes.size()) flow.queue.pop_front();
    flow.reader.cancel();
    if (flow.shaper.cut_reached(flow.faults)) {
      co_await self->cut(flow);
      break;
    }
  }
  flow.queue.clear();
  flow.queued = 0;
  flow.reader.cancel();
}

void Connection::passed(Flow& flow, std::string_view bytes) {
  flow.shaper.wrote(flow.faults, bytes.size(), now());
  link_->counts.of(flow.direction).passed_bytes += bytes.size();
  if (&flow != &to_upstream_) return;
  passed_.feed(bytes);
  if (!duplicate_ || bytes.empty()) return;
  const bool first = !replay_;
  if (first) replay_ = std::make_shared<Replay>(client_.get_executor(), link_, *duplicate_, number_);
  replay_->add(bytes);
  if (!first) return;
  replay_->start();
  std::erase_if(link_->replays, [](const auto& weak) { return weak.expired(); });
  link_->replays.push_back(replay_);
}

asio::awaitable<void> Connection::cut(Flow& flow) {
  ++link_->counts.cut;
  switch (flow.faults.cut) {
    case Cut::fin: end_in_order(); break;
    case Cut::half_close: finish(flow); break;
    case Cut::reset:
      for (int i = 0; i < 2000 && open_ && !all_sent(flow.to); ++i)
        co_await wait(flow.writer, now() + std::chrono::milliseconds(1));
      reset();
      break;
  }
}

void Connection::end(Flow& flow, End how) {
  if (how == End::reset || broken_) return reset();
  finish(flow);
}

// A side that takes nothing more may still have said something: its own end, which the other direction reads, comes
// after that. But an error is told only once, so that end may look orderly there.
void Connection::target_gone(Flow& flow) {
  broken_ = true;
  flow.finished = true;
  if (other(flow).finished) reset();
}

void Connection::finish(Flow& flow) {
  flow.finished = true;
  end_sending(flow.to);
  flow.writer.cancel();
  flow.reader.cancel();
  close_if_over();
}

void Connection::end_in_order() {
  finish(to_upstream_);
  finish(to_client_);
  if (!open_) return;
  waiting_.expires_after(last_words);
  waiting_.async_wait([weak = weak_from_this()](error_code cancelled) {
    if (const auto self = weak.lock(); self && !cancelled) self->close();
  });
}

void Connection::close_if_over() {
  if (to_upstream_.finished && to_client_.finished && to_upstream_.source_ended && to_client_.source_ended)
    close();
}

void Connection::faults_changed() {
  narrow_windows();
  if (!to_upstream_.finished || !to_client_.finished) waiting_.cancel();
  for (Flow* flow : {&to_upstream_, &to_client_}) {
    flow->reader.cancel();
    flow->writer.cancel();
  }
}

void Connection::narrow_windows() {
  for (Flow* flow : {&to_upstream_, &to_client_}) {
    if (flow->faults.read_bytes == 0) continue;
    error_code ignored;
    flow->from.set_option(tcp::socket::receive_buffer_size(narrow_window_bytes), ignored);
  }
}

void Connection::half_close(Direction direction) {
  if (!open_ || !upstream_.is_open()) return;
  finish(direction == Direction::to_upstream ? to_upstream_ : to_client_);
}

void Connection::reset() {
  if (!open_) return;
  ++link_->counts.reset;
  abort();
}

void Connection::reset(Direction direction) {
  if (!open_ || !upstream_.is_open() || half_reset_) return;
  ++link_->counts.reset;
  half_reset_ = true;
  tcp::socket& gone = direction == Direction::to_upstream ? upstream_ : client_;
  error_code ignored;
  gone.set_option(asio::socket_base::linger(true, 0), ignored);
  gone.close(ignored);
  for (Flow* flow : {&to_upstream_, &to_client_}) {
    flow->finished = true;
    flow->reader.cancel();
    flow->writer.cancel();
  }
  waiting_.expires_after(last_words);
  waiting_.async_wait([weak = weak_from_this()](error_code cancelled) {
    if (const auto self = weak.lock(); self && !cancelled) self->abort();
  });
}

void Connection::abort() {
  for (tcp::socket* socket : {&client_, &upstream_}) {
    error_code ignored;
    if (socket->is_open()) socket->set_option(asio::socket_base::linger(true, 0), ignored);
  }
  close();
}

void Connection::close() {
  if (!open_) return;
  open_ = false;
  --link_->counts.open;
  error_code ignored;
  client_.close(ignored);
  upstream_.close(ignored);
  waiting_.cancel();
  for (Flow* flow : {&to_upstream_, &to_client_}) {
    flow->reader.cancel();
    flow->writer.cancel();
  }
}

}  // namespace vmproxy::faultproxy
