#include "app/serve.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "admin/api.h"
#include "admin/server.h"
#include "app/migration_host.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/random.h"

namespace vmproxy::app {
namespace {

constexpr Duration drain_max = std::chrono::seconds(30);

size_t worker_count(const config::Config& config) {
  return config.workers != 0 ? config.workers : std::max(1U, std::thread::hardware_concurrency());
}

// Gauges that are read from the migrations when somebody asks for the metrics.
void export_gauges(Metrics& metrics, const std::map<std::string, cutover::Control*>& migrations) {
  metrics.before_render([&metrics, migrations] {
    for (const auto& [name, control] : migrations) {
      const auto s = control->status();
      const Metrics::Labels of{{"migration", name}};
      metrics.gauge("mirror_lag_seconds", "Age of the oldest change the replica lacks", of).set(s.lag_seconds);
      metrics.gauge("mirror_lag_changes", "Changes the replica lacks", of).set(static_cast<double>(s.lag_changes));
      metrics.gauge("dirty_keys", "Keys the replica is owed something for", of).set(static_cast<double>(s.dirty));
      metrics.gauge("suspect_keys", "Keys whose outcome on the primary may still change", of).set(static_cast<double>(s.suspect));
      metrics.gauge("quarantined_changes", "Changes the replica refused for good", of).set(static_cast<double>(s.quarantined));
      metrics.gauge("capture_gaps", "Times in which writes may have passed uncaptured", of).set(static_cast<double>(s.gaps));
      metrics.gauge("reads_percent", "Share of reads that may go to the target", of).set(s.reads_percent);
      metrics.gauge("validation_different", "Differences of the last validation pass", of)
          .set(static_cast<double>(s.validation.different + s.validation.missing + s.validation.extra));
    }
  });
}

}  // namespace

Result<void> serve(const config::Config& config, const std::string& version, Clock& clock, std::atomic<int>& signals) {
  log::configure(config.log.level, config.log.format);
  Metrics metrics;
  metrics.gauge("build_info", "Version of this process", {{"version", version}}).set(1);
  Random random(seed_from_system());

  std::vector<std::unique_ptr<MigrationHost>> hosts;
  std::map<std::string, cutover::Control*> migrations;
  for (const auto& [name, settings] : config.migrations) {
    auto host = MigrationHost::make(config, name, clock, random, metrics);
    if (!host) return host.error();
    migrations[name] = &(*host)->migration();
    hosts.push_back(std::move(*host));
  }
  export_gauges(metrics, migrations);

  net::Server server(worker_count(config));
  for (auto& host : hosts) {
    auto listening = host->listen(config, server);
    if (!listening) return listening;
  }
  std::atomic<bool> draining{false};
  admin::ApiOptions options;
  options.token = config.admin.token;
  options.version = version;
  options.readiness = [&hosts, &draining] {
    admin::Readiness readiness;
    if (draining) readiness.reasons.push_back("shutting down");
    for (auto& host : hosts) {
      auto reason = host->migration().not_ready_reason();
      if (!reason.empty()) readiness.reasons.push_back(std::move(reason));
    }
    readiness.serving = readiness.reasons.empty();
    return readiness;
  };
  admin::Api api(std::move(options), migrations, metrics, clock);
  admin::AdminServer admin_server(api);
  auto address = parse_listen(config.admin.listen);
  if (!address) return address.error().within("admin.listen");
  auto bound = admin_server.listen(address->first, address->second, !config.admin.token.empty());
  if (!bound) return bound.error().within("admin.listen");
  admin_server.start();
  server.start();
  log::info("serving", {{"version", version}, {"admin", config.admin.listen}, {"migrations", hosts.size()}});

  while (signals.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  draining = true;
  log::info("draining: no new connections, requests in flight end first", {});
  std::atomic<bool> drained{false};
  std::thread drain([&] {
    server.stop(drain_max);
    drained = true;
  });
  while (!drained && signals.load() < 2) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (!drained) {
    // The journal is made for this: the next start replays it.
    log::warn("second signal: ending at once", {});
    std::_Exit(1);
  }
  drain.join();
  for (auto& host : hosts) host->close();
  admin_server.stop(std::chrono::seconds(1));
  log::info("stopped", {});
  return {};
}

}  // namespace vmproxy::app
