#include "proxy/key_queue.h"

#include <algorithm>

namespace vmproxy::proxy {

KeyQueue::Turn KeyQueue::line_up(std::vector<std::string> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  Turn turn(*this, std::move(keys));
  std::lock_guard hold(mutex_);
  turn.number_ = next_++;
  for (const auto& key : turn.keys_) lines_[key].push_back(turn.number_);
  return turn;
}

bool KeyQueue::first(const Turn& turn) const {
  return std::all_of(turn.keys_.begin(), turn.keys_.end(),
                     [&](const auto& key) { return lines_.at(key).front() == turn.number_; });
}

bool KeyQueue::Turn::wait(Deadline deadline) {
  std::unique_lock lock(queue_->mutex_);
  return queue_->clock_.wait_until(lock, queue_->changed_, deadline, [this] { return queue_->first(*this); });
}

bool KeyQueue::wait_for_all(std::string_view beginning, Deadline deadline) {
  std::unique_lock lock(mutex_);
  return clock_.wait_until(lock, changed_, deadline, [this, beginning, now = next_] {
    return std::none_of(lines_.begin(), lines_.end(), [&](const auto& line) {
      return line.first.starts_with(beginning) && line.second.front() < now;
    });
  });
}

void KeyQueue::leave(const Turn& turn) {
  {
    std::lock_guard hold(mutex_);
    for (const auto& key : turn.keys_) {
      const auto at = lines_.find(key);
      if (at == lines_.end()) continue;
      std::erase(at->second, turn.number_);
      if (at->second.empty()) lines_.erase(at);
    }
  }
  changed_.notify_all();
}

KeyQueue::Turn::~Turn() {
  if (queue_ != nullptr) queue_->leave(*this);
}

}  // namespace vmproxy::proxy
