#include "proxy/freshness.h"

#include <algorithm>
#include <vector>

namespace vmproxy::proxy {

void Freshness::owed(const std::string& collection, uint64_t position) {
  std::lock_guard hold(mutex_);
  collections_[collection].owed.insert(position);
  last_position_ = std::max(last_position_, position);
  ++owed_;
}

std::vector<std::function<void(bool)>> Freshness::take_ready(Collection& c) {
  std::vector<std::function<void(bool)>> ready;
  for (auto at = c.waiting.begin(); at != c.waiting.end();) {
    if (c.covers(at->second.upto)) {
      ready.push_back(std::move(at->second.done));
      at = c.waiting.erase(at);
    } else {
      ++at;
    }
  }
  return ready;
}

void Freshness::arrived(const std::string& collection, uint64_t position) {
  std::vector<std::function<void(bool)>> ready;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    const auto at = c.owed.find(position);
    if (at == c.owed.end()) return;
    c.owed.erase(at);
    --owed_;
    if (!c.waiting.empty()) ready = take_ready(c);
  }
  for (auto& done : ready) done(true);
}

void Freshness::block(const std::string& collection) {
  std::lock_guard hold(mutex_);
  ++collections_[collection].blocked;
}

void Freshness::unblock(const std::string& collection) {
  std::vector<std::function<void(bool)>> ready;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    if (--c.blocked == 0) ready = take_ready(c);
  }
  for (auto& done : ready) done(true);
}

Freshness::Waiter Freshness::when_fresh(const std::string& collection, bool may_wait,
                                        std::function<void(bool)> done) {
  bool fresh_now = false;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    fresh_now = c.covers(last_position_);
    if (!fresh_now && may_wait) {
      const Waiter waiter = next_waiter_++;
      c.waiting.emplace(waiter, Waiting{last_position_, std::move(done)});
      return waiter;
    }
  }
  done(fresh_now);
  return 0;
}

void Freshness::give_up(const std::string& collection, Waiter waiter) {
  std::function<void(bool)> done;
  {
    std::lock_guard hold(mutex_);
    auto& waiting = collections_[collection].waiting;
    const auto at = waiting.find(waiter);
    if (at == waiting.end()) return;
    done = std::move(at->second.done);
    waiting.erase(at);
  }
  done(false);
}

bool Freshness::fresh(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  const auto at = collections_.find(collection);
  return at == collections_.end() || (at->second.blocked == 0 && at->second.owed.empty());
}

uint64_t Freshness::owed_count() const {
  std::lock_guard hold(mutex_);
  return owed_;
}

uint64_t Freshness::oldest_owed() const {
  std::lock_guard hold(mutex_);
  uint64_t oldest = 0;
  for (const auto& [name, c] : collections_) {
    if (!c.owed.empty() && (oldest == 0 || *c.owed.begin() < oldest)) oldest = *c.owed.begin();
  }
  return oldest;
}

}  // namespace vmproxy::proxy
