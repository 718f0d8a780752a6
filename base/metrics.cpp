#include "base/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace vmproxy {

void Counter::add(double n) {
  counter_->Increment(n);
}
void Gauge::set(double value) {
  gauge_->Set(value);
}
void Histogram::observe(double value) {
  histogram_->Observe(value);
}

// The registry merges families of the same name, so handles may be asked for again and again.
Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>(prometheus::Registry::InsertBehavior::Merge)) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return Counter(
      prometheus::BuildCounter().Name("vmproxy_" + name).Help(help).Register(*registry_).Add(labels));
}

Gauge Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return Gauge(prometheus::BuildGauge().Name("vmproxy_" + name).Help(help).Register(*registry_).Add(labels));
}

Histogram Metrics::histogram(const std::string& name, const std::string& help, const Labels& labels) {
  static const prometheus::Histogram::BucketBoundaries bounds{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                                              0.005,   0.01,   0.025,   0.05,   0.1,   0.25,
                                                              0.5,     1,      2.5,     5,      10};
  return Histogram(prometheus::BuildHistogram()
                       .Name("vmproxy_" + name)
                       .Help(help)
                       .Register(*registry_)
                       .Add(labels, bounds));
}

void Metrics::before_render(std::function<void()> refresh) {
  refresh_.push_back(std::move(refresh));
}

std::string Metrics::render() {
  for (const auto& refresh : refresh_) refresh();
  return prometheus::TextSerializer().Serialize(registry_->Collect());
}

}  // namespace vmproxy
