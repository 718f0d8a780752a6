#include "net/signal.h"

#include <boost/asio/post.hpp>

namespace vmproxy::net {

void SignalSet::shutdown() {
  while (!waiting_.empty()) {
    auto* signal = *waiting_.begin();
    waiting_.erase(waiting_.begin());
    // Destroying the waiter destroys its coroutine and with it, usually, the signal.
    const auto waiter = std::exchange(signal->waiter_, std::nullopt);
  }
}

Signal::~Signal() {
  set_.waiting_.erase(this);
}

asio::awaitable<void> Signal::wait() {
  if (notified_) {
    notified_ = false;
    co_return;
  }
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
      [this](auto handler) {
        waiter_.emplace(std::move(handler));
        set_.waiting_.insert(this);
      },
      asio::use_awaitable);
}

void Signal::notify() {
  if (!waiter_) {
    notified_ = true;
    return;
  }
  asio::post(set_.io, [waiter = std::move(*waiter_)]() mutable { waiter(); });
  waiter_.reset();
  set_.waiting_.erase(this);
}

}  // namespace vmproxy::net
