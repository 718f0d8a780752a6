// Metric handles (names of contract.md, prefix vmproxy_). A handle is got once and kept; using it is lock-free
// for counters and gauges. Labels must be bounded: never text that a client chose.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
}  // namespace prometheus

namespace vmproxy {

class Counter {
 public:
  explicit Counter(prometheus::Counter& counter) : counter_(&counter) {}
  void add(double n = 1);

 private:
  prometheus::Counter* counter_;
};

class Gauge {
 public:
  explicit Gauge(prometheus::Gauge& gauge) : gauge_(&gauge) {}
  void set(double value);

 private:
  prometheus::Gauge* gauge_;
};

class Histogram {
 public:
  explicit Histogram(prometheus::Histogram& histogram) : histogram_(&histogram) {}
  void observe(double value);

 private:
  prometheus::Histogram* histogram_;
};

// Owns every series. Made in app/ and passed down by reference. Thread-safe.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  Metrics();
  ~Metrics();

  // The same name and labels give the same series. `name` without the prefix.
  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  // Buckets for seconds from 50 us to 10 s.
  Histogram histogram(const std::string& name, const std::string& help, const Labels& labels = {});
  // Runs before each rendering, to set gauges from live values.
  void before_render(std::function<void()> refresh);
  // Prometheus text format.
  std::string render();

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  std::vector<std::function<void()>> refresh_;
};

}  // namespace vmproxy
