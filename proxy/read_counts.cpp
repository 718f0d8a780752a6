#include "proxy/context.h"

namespace vmproxy::proxy {

void ReadCounts::returned(const std::string& reason) {
  ++to_source_;
  std::lock_guard hold(mutex_);
  auto at = returned_.find(reason);
  if (at == returned_.end()) {
    // Reasons are stable codes; the bound only keeps a bug from growing the map.
    if (returned_.size() >= 200) return;
    auto metric =
        metrics_.counter("reads_returned_total", "Reads meant for the target that the source answered", {{"reason", reason}});
    at = returned_.emplace(reason, Reason{0, metric}).first;
  }
  ++at->second.reads;
  at->second.metric.add();
}

std::map<std::string, uint64_t> ReadCounts::returned_by_reason() const {
  std::lock_guard hold(mutex_);
  std::map<std::string, uint64_t> counts;
  for (const auto& [reason, counted] : returned_) counts[reason] = counted.reads;
  return counts;
}

}  // namespace vmproxy::proxy
