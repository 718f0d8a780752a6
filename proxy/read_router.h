// ReadRouter: which reads may go to the target (correctness.md 7). The share grows monotonically: who went at 10 % still
// goes at 20 % (I15). A query that paged in the last ten minutes stays on its side when the percentage changes (I16).
// Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "proxy/routing.h"

namespace vmproxy::proxy {

class ReadRouter {
 public:
  explicit ReadRouter(Clock& clock) : clock_(clock) {}

  // 0 .. 99,999
  static uint32_t bucket(uint64_t salt, std::string_view route_key);
  // Where this read belongs. `pages`: it is part of a paged walk, so its side is remembered.
  Side side_for(const Routing& routing, std::string_view route_key, bool pages);

 private:
  struct Pin {
    Side side;
    TimePoint last_used;
    std::list<uint64_t>::iterator order;
  };
  static constexpr Duration pin_time = std::chrono::minutes(10);
  static constexpr size_t pins_max = 100'000;  // the least recently used go first

  Clock& clock_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Pin> pins_;
  std::list<uint64_t> order_;
};

}  // namespace vmproxy::proxy
