// Gate: every captured write passes it, and every read another one. Closed only in a fence: then they wait, in order of arrival,
// until it opens. Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "base/clock.h"

namespace vmproxy::proxy {

class Gate {
 public:
  explicit Gate(Clock& clock) : clock_(clock) {}

  // Runs `entered` at once, or, when closed, from open() on its thread. Who entered must leave().
  void enter(std::function<void()> entered) {
    {
      std::lock_guard hold(mutex_);
      if (closed_) {
        waiting_.push_back(std::move(entered));
        return;
      }
      ++inside_;
    }
    entered();
  }
  // False: it is closed, and only enter() gets in.
  bool enter_now() {
    std::lock_guard hold(mutex_);
    if (!closed_) ++inside_;
    return !closed_;
  }
  void leave() {
    std::lock_guard hold(mutex_);
    if (--inside_ == 0) drained_.notify_all();
  }
  // For what entered: leaves when it ends, however it ends.
  class Inside {
   public:
    explicit Inside(Gate& gate) : gate_(gate) {}
    Inside(const Inside&) = delete;
    ~Inside() { gate_.leave(); }

   private:
    Gate& gate_;
  };
  void close() {
    std::lock_guard hold(mutex_);
    closed_ = true;
  }
  // True when nobody is inside any more; false at the deadline.
  bool wait_drained(Deadline deadline) {
    std::unique_lock lock(mutex_);
    return clock_.wait_until(lock, drained_, deadline, [this] { return inside_ == 0; });
  }
  void open() {
    std::deque<std::function<void()>> waiting;
    {
      std::lock_guard hold(mutex_);
      closed_ = false;
      waiting.swap(waiting_);
      inside_ += waiting.size();
    }
    for (auto& entered : waiting) entered();
  }
  // A pace slows every write down by this much before it enters: while a change of the primary is being prepared and the
  // replica would not catch up otherwise. Zero: none.
  void set_pace(Duration pace) { pace_ = pace; }
  Duration pace() const { return pace_; }
  size_t inside() const {
    std::lock_guard hold(mutex_);
    return inside_;
  }

 private:
  Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable drained_;
  std::deque<std::function<void()>>
      waiting_;  // bounded by the listeners' connections and the in-flight bytes budget
  size_t inside_ = 0;
  bool closed_ = false;
  std::atomic<Duration> pace_{Duration::zero()};
};

}  // namespace vmproxy::proxy
