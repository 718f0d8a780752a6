#include "proxy/read_router.h"

namespace vmproxy::proxy {
namespace {

// FNV-1a, then a finaliser: stable over versions and machines, because a percentage must mean the same reads for days.
uint64_t hash(uint64_t salt, std::string_view text) {
  uint64_t h = 14695981039346656037ULL ^ salt;
  for (const char c : text) {
    h ^= static_cast<uint8_t>(c);
    h *= 1099511628211ULL;
  }
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  h ^= h >> 33;
  return h;
}

}  // namespace

uint32_t ReadRouter::bucket(uint64_t salt, std::string_view route_key) {
  return static_cast<uint32_t>(hash(salt, route_key) % 100'000);
}

Side ReadRouter::side_for(const Routing& routing, std::string_view route_key, bool pages) {
  const auto by_percent = [&] {
    return bucket(routing.salt, route_key) < routing.reads_percent * 1000 ? Side::target : Side::source;
  };
  if (!pages) return by_percent();
  const uint64_t name = hash(routing.salt + 1, route_key);
  const auto now = clock_.now();
  std::lock_guard hold(mutex_);
  const auto at = pins_.find(name);
  if (at != pins_.end() && now - at->second.last_used < pin_time) {
    at->second.last_used = now;
    order_.splice(order_.end(), order_, at->second.order);
    return at->second.side;
  }
  if (at != pins_.end()) {
    order_.erase(at->second.order);
    pins_.erase(at);
  }
  if (pins_.size() >= pins_max) {
    pins_.erase(order_.front());
    order_.pop_front();
  }
  const Side side = by_percent();
  order_.push_back(name);
  pins_.emplace(name, Pin{side, now, std::prev(order_.end())});
  return side;
}

}  // namespace vmproxy::proxy
