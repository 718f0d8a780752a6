#include "net/poller.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>

namespace vmproxy::net {
namespace {
// With fewer events than this nothing new is likely to be there yet.
constexpr int worth_another_look = 3;
}  // namespace

struct Watched::State {
  Poller& poller;
  int fd;
  bool readable = true;
  bool hung_up = false;
  std::optional<Waiter> reader;
  std::optional<Waiter> writer;

  static void resume(std::optional<Waiter>& waiter) {
    if (!waiter) return;
    Waiter ready = std::move(*waiter);
    waiter.reset();
    ready(true);
  }
  // Not at once: the caller may be what the waiter destroys.
  void abort(std::optional<Waiter>& waiter) {
    if (!waiter) return;
    asio::post(poller.io_, [ready = std::move(*waiter)]() mutable { ready(false); });
    waiter.reset();
  }
};

Watched::Watched(Poller& poller, int fd)
    : state_(new State{poller, fd, true, false, std::nullopt, std::nullopt}) {
  poller.states_.insert(state_);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = state_;
  if (::epoll_ctl(poller.set_, EPOLL_CTL_ADD, fd, &event) != 0) close();
}

Watched::~Watched() {
  close();
  auto& poller = state_->poller;
  poller.states_.erase(state_);
  poller.gone_.emplace_back(state_);
  if (!poller.looking_) poller.gone_.clear();
}

int Watched::fd() const {
  return state_->fd;
}
bool Watched::readable() const {
  return state_->readable;
}
bool Watched::hung_up() const {
  return state_->hung_up;
}

void Watched::drained() {
  // What follows a FIN is an end that no event announces again.
  if (!state_->hung_up) state_->readable = false;
}

int Watched::release() {
  cancel();
  const int fd = std::exchange(state_->fd, -1);
  if (fd >= 0) ::epoll_ctl(state_->poller.set_, EPOLL_CTL_DEL, fd, nullptr);
  return fd;
}

void Watched::cancel() {
  state_->abort(state_->reader);
  state_->abort(state_->writer);
}

void Watched::close() {
  cancel();
  if (state_->fd >= 0) ::close(std::exchange(state_->fd, -1));
}

asio::awaitable<bool> Watched::wait_readable() {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(bool)>(
      [](auto handler, State* state) {
        state->reader.emplace(std::move(handler));
        if (state->fd < 0) state->abort(state->reader);
      },
      asio::use_awaitable, state_);
}

asio::awaitable<bool> Watched::wait_writable() {
  return asio::async_initiate<const asio::use_awaitable_t<>, void(bool)>(
      [](auto handler, State* state) {
        state->writer.emplace(std::move(handler));
        if (state->fd < 0) state->abort(state->writer);
      },
      asio::use_awaitable, state_);
}

Poller::Poller(asio::io_context& io) : io_(io), set_(::epoll_create1(EPOLL_CLOEXEC)), watch_(io) {
  if (set_ < 0) throw boost::system::system_error(errno, boost::system::system_category(), "epoll_create1");
  watch_.assign(set_);
  arm();
}

Poller::~Poller() {
  shutdown();
}

void Poller::shutdown() {
  looking_ = true;  // keeps each state until we are done with it
  while (!states_.empty()) {
    auto* state = *states_.begin();
    states_.erase(states_.begin());
    // Destroying a waiter destroys its coroutine and with it, usually, the Watched itself.
    const auto reader = std::exchange(state->reader, std::nullopt);
    const auto writer = std::exchange(state->writer, std::nullopt);
  }
  looking_ = false;
  gone_.clear();
}

void Poller::arm() {
  watch_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const error_code& failed) {
    if (failed) return;
    // Under load more is ready by the time the first events are served: looking again is cheaper than another
    // round of the io_context. Bounded, so that timers and posted work get their turn.
    for (int rounds = 0; rounds < 8 && look() >= worth_another_look; ++rounds) {
    }
    arm();
  });
}

int Poller::look() {
  std::array<epoll_event, 128> events;
  const int count = ::epoll_wait(set_, events.data(), static_cast<int>(events.size()), 0);
  looking_ = true;
  for (int i = 0; i < count; ++i) {
    auto* state = static_cast<Watched::State*>(events[static_cast<size_t>(i)].data.ptr);
    const auto what = events[static_cast<size_t>(i)].events;
    if (state->fd < 0) continue;
    const bool ended = (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (ended) state->hung_up = true;
    if (ended || (what & EPOLLIN) != 0) {
      state->readable = true;
      Watched::State::resume(state->reader);
    }
    if (state->fd >= 0 && (ended || (what & EPOLLOUT) != 0)) Watched::State::resume(state->writer);
  }
  looking_ = false;
  gone_.clear();
  return count;
}

}  // namespace vmproxy::net
