#include "net/deadline_queue.h"

namespace vmproxy::net {

void DeadlineTimer::remove() {
  if (queued_) queue_.entries_.erase(entry_);
  queued_ = false;
}

void DeadlineTimer::set(TimePoint deadline) {
  deadline_ = deadline;
  if (queued_ && entry_->first <= deadline) return;
  remove();
  if (deadline == TimePoint::max()) return;
  entry_ = queue_.entries_.emplace(deadline, this);
  queued_ = true;
  queue_.arm();
}

void DeadlineQueue::arm() {
  if (entries_.empty() || entries_.begin()->first >= armed_) return;
  armed_ = entries_.begin()->first;
  timer_.expires_at(armed_);
  timer_.async_wait([this](const error_code& failed) {
    if (!failed) run();
  });
}

void DeadlineQueue::run() {
  const auto now = std::chrono::steady_clock::now();
  while (!entries_.empty() && entries_.begin()->first <= now) {
    DeadlineTimer& timer = *entries_.begin()->second;
    timer.remove();
    if (timer.deadline_ > now) {
      timer.set(timer.deadline_);
    } else {
      timer.deadline_ = TimePoint::max();
      timer.expired_();  // may destroy the timer
    }
  }
  armed_ = TimePoint::max();
  arm();
}

}  // namespace vmproxy::net
