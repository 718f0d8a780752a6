// RequestMetrics: requests_total and request_seconds of one listener, by operation and by who answered. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics.h"
#include "protocols/api/dialect.h"

namespace vmproxy::proxy {

enum class Served : uint8_t { source, target, nobody };

class RequestMetrics {
 public:
  using Row = protocols::OperationRow;
  // `table`: the dialect's, which stays where it is.
  RequestMetrics(Metrics& metrics, std::string listener, std::span<const Row> table);

  // A request ended after so many seconds. row: nullptr for one that is not in the table. outcome: "ok", "error", or a code.
  void ended(const Row* row, Served side, std::string_view outcome, double seconds);

 private:
  Counter& counter(const Row* row, Served side, std::string_view outcome);
  Histogram& seconds(const Row* row, Served side);

  Metrics& metrics_;
  const std::string listener_;
  const std::span<const Row> table_;
  // What nearly every request ends with, so that counting it needs neither lock nor text: filled when first needed.
  struct Usual {
    std::atomic<Counter*> of[3][2] = {};  // [Served][ok, error]
    std::atomic<Histogram*> seconds[3] = {};
  };
  std::vector<Usual> usual_;  // by row of the table; the last is for requests that are not in it
  std::mutex mutex_;
  // All of them, by their labels' text; they stay where they are.
  std::map<std::string, Counter> counters_;
  std::map<std::string, Histogram> seconds_;
};

}  // namespace vmproxy::proxy
