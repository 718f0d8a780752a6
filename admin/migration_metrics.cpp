#include "admin/migration_metrics.h"

namespace vmproxy::admin {

void export_migrations(Metrics& metrics, const std::map<std::string, cutover::Control*>& migrations) {
  for (const auto& [name, control] : migrations) {
    const Metrics::Labels labels{{"migration", name}};
    Gauge lag_seconds = metrics.gauge(
        "mirror_lag_seconds", "Age of the oldest change that the other side does not have yet", labels);
    Gauge lag_changes =
        metrics.gauge("mirror_lag_changes", "Changes that the other side does not have yet", labels);
    Gauge dirty = metrics.gauge("dirty_keys", "Keys of which the other side is owed something", labels);
    Gauge suspect =
        metrics.gauge("suspect_keys", "Keys whose outcome on the primary may still change", labels);
    Gauge quarantined =
        metrics.gauge("quarantined_changes",
                      "Changes that the other side refused for good, or whose record cannot be read", labels);
    Gauge gaps = metrics.gauge("capture_gaps", "Times in which writes may have passed uncaptured", labels);
    Gauge percent = metrics.gauge("reads_percent", "Share of the reads that the target gets", labels);
    Gauge lost = metrics.gauge("lost_fields",
                               "Fields of records that the target could not hold, since the start", labels);
    metrics.before_render([=, shown = control]() mutable {
      const cutover::Status status = shown->status();
      lag_seconds.set(status.lag_seconds);
      lag_changes.set(static_cast<double>(status.lag_changes));
      dirty.set(static_cast<double>(status.dirty));
      suspect.set(static_cast<double>(status.suspect));
      quarantined.set(static_cast<double>(status.quarantined));
      gaps.set(static_cast<double>(status.gaps));
      percent.set(status.reads_percent);
      uint64_t fields = 0;
      for (const auto& loss : status.lost_fields) fields += loss.second;
      lost.set(static_cast<double>(fields));
    });
  }
}

}  // namespace vmproxy::admin
