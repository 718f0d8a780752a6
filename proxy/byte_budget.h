// ByteBudget: the bytes that requests in flight may hold together. Above it nothing more is read from sockets: whoever
// asks waits, in order, until others give back, or gives up. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

namespace vmproxy::proxy {

class ByteBudget {
 public:
  using Waiter = uint64_t;

  explicit ByteBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Calls `done(true)` when the bytes are taken, at once or from give_back(); done(false) from give_up(). Exactly once. More
  // than the whole budget counts as the whole budget: `bytes` becomes what must be given back. Returns what give_up() needs.
  Waiter take(uint64_t& bytes, std::function<void(bool)> done) {
    if (take_now(bytes)) {
      done(true);
      return 0;
    }
    Waiter waiter = 0;
    Ready ready;
    {
      std::lock_guard hold(mutex_);
      waiter = next_waiter_++;
      waiting_.emplace(waiter, Waiting{bytes, std::move(done)});
      ready = take_ready();  // what was in the way may have gone just now
    }
    for (auto& granted : ready) granted(true);
    return waiter;
  }
  // False, and nothing taken: it has to wait for its turn, with take().
  bool take_now(uint64_t& bytes) {
    bytes = std::min(bytes, bytes_max_);
    std::lock_guard hold(mutex_);
    if (!waiting_.empty() || used_ + bytes > bytes_max_) return false;
    used_ += bytes;
    return true;
  }
  void give_back(uint64_t bytes) {
    Ready ready;
    {
      std::lock_guard hold(mutex_);
      used_ -= bytes;
      ready = take_ready();
    }
    for (auto& granted : ready) granted(true);
  }
  // It waits no longer, unless its turn has come.
  void give_up(Waiter waiter) {
    std::function<void(bool)> done;
    Ready ready;
    {
      std::lock_guard hold(mutex_);
      const auto at = waiting_.find(waiter);
      if (at == waiting_.end()) return;
      done = std::move(at->second.done);
      waiting_.erase(at);
      ready = take_ready();  // those behind it may need less
    }
    done(false);
    for (auto& granted : ready) granted(true);
  }
  // Gives back when the request ends, however it ends.
  class Share {
   public:
    Share(ByteBudget& budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    Share(const Share&) = delete;
    ~Share() { budget_.give_back(bytes_); }
    // It has turned out to be so much. More counts from now on, also above the budget, and the next ones wait for it.
    void becomes(uint64_t bytes) {
      bytes = std::min(bytes, budget_.bytes_max_);
      if (bytes < bytes_) {
        budget_.give_back(bytes_ - bytes);
      } else {
        std::lock_guard hold(budget_.mutex_);
        budget_.used_ += bytes - bytes_;
      }
      bytes_ = bytes;
    }

   private:
    ByteBudget& budget_;
    uint64_t bytes_;
  };
  uint64_t bytes_max() const { return bytes_max_; }
  uint64_t used() const {
    std::lock_guard hold(mutex_);
    return used_;
  }

 private:
  using Ready = std::vector<std::function<void(bool)>>;
  struct Waiting {
    uint64_t bytes;
    std::function<void(bool)> done;
  };
  // Lock held: those whose turn has come, in order.
  Ready take_ready() {
    Ready ready;
    while (!waiting_.empty() && used_ + waiting_.begin()->second.bytes <= bytes_max_) {
      used_ += waiting_.begin()->second.bytes;
      ready.push_back(std::move(waiting_.begin()->second.done));
      waiting_.erase(waiting_.begin());
    }
    return ready;
  }

  const uint64_t bytes_max_;
  mutable std::mutex mutex_;
  std::map<Waiter, Waiting> waiting_;  // bounded by the listeners' connections
  Waiter next_waiter_ = 1;
  uint64_t used_ = 0;
};

}  // namespace vmproxy::proxy
