#include "proxy/request_metrics.h"

#include <algorithm>

namespace vmproxy::proxy {
namespace {

std::string operation_of(const protocols::OperationRow* row) {
  return row == nullptr ? "unknown" : std::string(row->name);
}

const char* name_of(Served side) {
  return side == Served::source ? "source" : side == Served::target ? "target" : "none";
}

// What the slot holds; found and put there the first time.
template <class T, class Find>
T& kept(std::atomic<T*>& slot, Find find) {
  T* known = slot.load(std::memory_order_acquire);
  if (known == nullptr) slot.store(known = find(), std::memory_order_release);
  return *known;
}

}  // namespace

RequestMetrics::RequestMetrics(Metrics& metrics, std::string listener, std::span<const Row> table)
    : metrics_(metrics), listener_(std::move(listener)), table_(table), usual_(table.size() + 1) {}

void RequestMetrics::ended(const Row* row, Served side, std::string_view outcome, double took) {
  took = std::max(0.0, took);
  const bool ok = outcome == "ok";
  const size_t index = row == nullptr ? table_.size() : static_cast<size_t>(row - table_.data());
  if (index >= usual_.size()) {
    seconds(row, side).observe(took);
    return counter(row, side, outcome).add();
  }
  auto& usual = usual_[index];
  kept(usual.seconds[static_cast<size_t>(side)], [&] { return &seconds(row, side); }).observe(took);
  if (!ok && outcome != "error") return counter(row, side, outcome).add();
  kept(usual.of[static_cast<size_t>(side)][ok ? 0 : 1], [&] { return &counter(row, side, outcome); }).add();
}

Counter& RequestMetrics::counter(const Row* row, Served side, std::string_view outcome) {
  const std::string operation = operation_of(row), where = name_of(side);
  const std::string name = operation + '|' + where + '|' + std::string(outcome);
  std::lock_guard hold(mutex_);
  auto at = counters_.find(name);
  if (at == counters_.end()) {
    at = counters_
             .emplace(name, metrics_.counter("requests_total", "Requests by who answered them",
                                             {{"listener", listener_},
                                              {"operation", operation},
                                              {"side", where},
                                              {"outcome", std::string(outcome)}}))
             .first;
  }
  return at->second;
}

Histogram& RequestMetrics::seconds(const Row* row, Served side) {
  const std::string operation = operation_of(row), where = name_of(side);
  std::lock_guard hold(mutex_);
  auto at = seconds_.find(operation + '|' + where);
  if (at == seconds_.end()) {
    at = seconds_
             .emplace(operation + '|' + where,
                      metrics_.histogram(
                          "request_seconds", "Time from a request's head to its answer, by who answered",
                          {{"listener", listener_}, {"operation", operation}, {"side", where}}))
             .first;
  }
  return at->second;
}

}  // namespace vmproxy::proxy
