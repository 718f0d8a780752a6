// ByteBudget: the bytes that requests in flight may hold together. Above it nothing more is read from sockets: whoever
// asks waits, in order, until others give back. Thread-safe.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <mutex>

namespace vmproxy::proxy {

class ByteBudget {
 public:
  explicit ByteBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Calls `granted` at once or later, from give_back(). More than the whole budget counts as the whole budget.
  // Returns what must be given back.
  uint64_t take(uint64_t bytes, std::function<void()> granted) {
    bytes = std::min(bytes, bytes_max_);
    {
      std::lock_guard hold(mutex_);
      if (!waiting_.empty() || used_ + bytes > bytes_max_) {
        waiting_.push_back({bytes, std::move(granted)});
        return bytes;
      }
      used_ += bytes;
    }
    granted();
    return bytes;
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
    std::deque<std::function<void()>> ready;
    {
      std::lock_guard hold(mutex_);
      used_ -= bytes;
      while (!waiting_.empty() && used_ + waiting_.front().bytes <= bytes_max_) {
        used_ += waiting_.front().bytes;
        ready.push_back(std::move(waiting_.front().granted));
        waiting_.pop_front();
      }
    }
    for (auto& granted : ready) granted();
  }
  // Gives back when the request ends, however it ends.
  class Share {
   public:
    Share(ByteBudget& budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {}
    Share(const Share&) = delete;
    ~Share() { budget_.give_back(bytes_); }

   private:
    ByteBudget& budget_;
    uint64_t bytes_;
  };
  uint64_t used() const {
    std::lock_guard hold(mutex_);
    return used_;
  }

 private:
  struct Waiting {
    uint64_t bytes;
    std::function<void()> granted;
  };
  const uint64_t bytes_max_;
  mutable std::mutex mutex_;
  std::deque<Waiting> waiting_;
  uint64_t used_ = 0;
};

}  // namespace vmproxy::proxy
