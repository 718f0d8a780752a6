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

void Freshness::began(const std::string& collection, uint64_t write) {
  std::lock_guard hold(mutex_);
  collections_[collection].under_way.insert(write);
  next_write_ = std::max(next_write_.load(), write + 1);
}

void Freshness::ended(const std::string& collection, uint64_t write) {
  std::vector<Ready> ready;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    c.under_way.erase(write);
    for (auto& [number, waiting] : c.waiting) {
      if (write < waiting.shown_below) waiting.upto = last_position_;  // what it left is owed by now
    }
    if (!c.waiting.empty()) ready = take_ready(c);
  }
  for (auto& one : ready) one.done(one.fresh);
}

void Freshness::doubt(const std::string& collection, uint64_t write) {
  std::lock_guard hold(mutex_);
  Collection& c = collections_[collection];
  c.doubted = c.doubts++ == 0 ? write : std::min(c.doubted, write);
}

void Freshness::settled(const std::string& collection) {
  std::lock_guard hold(mutex_);
  --collections_[collection].doubts;
}

void Freshness::shown() {
  const uint64_t next = next_write_;
  uint64_t below = shown_below_;
  while (below < next && !shown_below_.compare_exchange_weak(below, next)) {
  }
}

std::vector<Freshness::Ready> Freshness::take_ready(Collection& c) {
  std::vector<Ready> ready;
  for (auto at = c.waiting.begin(); at != c.waiting.end();) {
    const bool in_doubt = c.in_doubt(at->second.shown_below);
    if (in_doubt || c.covers(at->second.upto, at->second.shown_below)) {
      ready.push_back({std::move(at->second.done), !in_doubt});
      at = c.waiting.erase(at);
    } else {
      ++at;
    }
  }
  return ready;
}

void Freshness::arrived(const std::string& collection, uint64_t position) {
  std::vector<Ready> ready;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    const auto at = c.owed.find(position);
    if (at == c.owed.end()) return;
    c.owed.erase(at);
    --owed_;
    if (!c.waiting.empty()) ready = take_ready(c);
  }
  for (auto& one : ready) one.done(one.fresh);
}

void Freshness::block(const std::string& collection) {
  std::lock_guard hold(mutex_);
  ++collections_[collection].blocked;
}

void Freshness::unblock(const std::string& collection) {
  std::vector<Ready> ready;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    if (--c.blocked == 0) ready = take_ready(c);
  }
  for (auto& one : ready) one.done(one.fresh);
}

Freshness::Waiter Freshness::when_fresh(const std::string& collection, Needs needs, bool may_wait,
                                        std::function<void(bool)> done) {
  bool fresh_now = false;
  {
    std::lock_guard hold(mutex_);
    Collection& c = collections_[collection];
    const uint64_t shown_below = needs == Needs::shown ? shown_below_.load() : 0;
    const bool in_doubt = c.in_doubt(shown_below);
    fresh_now = !in_doubt && c.covers(last_position_, shown_below);
    if (!fresh_now && !in_doubt && may_wait) {
      const Waiter waiter = next_waiter_++;
      c.waiting.emplace(waiter, Waiting{last_position_, shown_below, std::move(done)});
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
