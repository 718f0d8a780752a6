// Signal: wakes the one coroutine that waits for something to change. Used on its worker only.
#pragma once

#include <optional>
#include <unordered_set>

#include "net/asio.h"

namespace vmproxy::net {

class Signal;

// The signals of one worker that somebody waits for; destroys those coroutines when the worker ends.
class SignalSet {
 public:
  explicit SignalSet(asio::io_context& context) : io(context) {}
  void shutdown();
  asio::io_context& io;

 private:
  friend class Signal;
  std::unordered_set<Signal*> waiting_;
};

class Signal {
 public:
  explicit Signal(SignalSet& set) : set_(set) {}
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Until notify(). The waiter looks again at what it waits for: there are needless wake-ups.
  asio::awaitable<void> wait();
  // Safe anywhere, also in callbacks: the coroutine runs later. Without a waiter it is remembered.
  void notify();

 private:
  friend class SignalSet;
  using Waiter = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;
  SignalSet& set_;
  std::optional<Waiter> waiter_;
  bool notified_ = false;
};

}  // namespace vmproxy::net
