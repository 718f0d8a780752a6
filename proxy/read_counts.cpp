#include "proxy/context.h"

namespace vmproxy::proxy {

void ReadCounts::returned(const std::string& reason) {
  ++to_source_;
  std::lock_guard hold(mutex_);
  // Reasons are stable codes; the bound only keeps a bug from growing the map.
  if (returned_.size() < 200 || returned_.contains(reason)) ++returned_[reason];
}

std::map<std::string, uint64_t> ReadCounts::returned_by_reason() const {
  std::lock_guard hold(mutex_);
  return returned_;
}

}  // namespace vmproxy::proxy
