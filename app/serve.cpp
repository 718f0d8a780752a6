#include "app/serve.h"

#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "admin/migration_metrics.h"
#include "admin/server.h"
#include "app/open_migration.h"
#include "app/signals.h"
#include "base/log.h"
#include "config/address.h"
#include "net/server.h"
#include "proxy/pipeline.h"

namespace vmproxy::app {
namespace {

constexpr Duration drain_max = std::chrono::seconds(30);

// Everything that serves, in the order in which it is built; it goes away in reverse.
class Serving {
 public:
  Serving(const config::Config& config, std::string version, Clock& clock,
          std::span<const protocols::System> systems)
      : config_(config),
        version_(std::move(version)),
        clock_(clock),
        systems_(systems),
        random_(seed_from_system()),
        server_(config.workers ? config.workers : std::max(1u, std::thread::hardware_concurrency())) {}

  Result<void> start();
  // Blocks. What could not be closed cleanly.
  Result<void> stop();

 private:
  Result<void> listen(const config::Listener& listener);
  Result<void> start_admin();
  admin::Readiness readiness();

  const config::Config& config_;
  const std::string version_;
  Clock& clock_;
  std::span<const protocols::System> systems_;
  Random random_;
  Metrics metrics_;
  std::map<std::string, std::unique_ptr<OpenMigration>> migrations_;
  std::vector<std::unique_ptr<proxy::Pipeline>> pipelines_;
  net::Server server_;
  std::unique_ptr<admin::Api> api_;
  std::unique_ptr<admin::AdminServer> admin_;
  std::atomic<bool> serving_{false};
  std::atomic<bool> stopping_{false};
};

Result<void> Serving::start() {
  metrics_.gauge("build_info", "1, with the version as label", {{"version", version_}}).set(1);
  for (const auto& [name, migration] : config_.migrations) {
    auto open = open_migration(config_, name, {clock_, random_, metrics_, systems_});
    if (!open) return open.error();
    migrations_[name] = std::move(*open);
    log::info("migration opened",
              {{"migration", name}, {"state", migrations_[name]->migration->status().state}});
  }
  for (const auto& listener : config_.listeners) {
    if (auto bound = listen(listener); !bound) return bound;
  }
  if (auto started = start_admin(); !started) return started;
  server_.start();
  serving_ = true;
  return {};
}

Result<void> Serving::listen(const config::Listener& listener) {
  OpenMigration& open = *migrations_.at(listener.migration);
  if (!open.dialect || open.dialect->system() != listener.dialect) {
    return Error(Code::unsupported, listener.at + ": a listener in the target's own API (" +
                                        listener.dialect + ") is not there yet; listen in the source's");
  }
  const auto address = config::parse_host_port(listener.listen);
  net::ListenOptions options;
  options.host = address->host;
  options.port = address->port;
  options.request_timeout = listener.request_timeout;
  options.tls = {listener.tls.cert, listener.tls.key};
  pipelines_.push_back(std::make_unique<proxy::Pipeline>(open.migration->context(), listener.listen));
  auto bound = server_.listen(options, [pipeline = pipelines_.back().get()](net::Exchange& exchange) {
    return pipeline->handle(exchange);
  });
  if (!bound) return bound.error().within("listener " + listener.listen);
  log::info("listening", {{"address", address->host + ":" + std::to_string(*bound)},
                          {"dialect", listener.dialect},
                          {"migration", listener.migration}});
  return {};
}

Result<void> Serving::start_admin() {
  std::map<std::string, cutover::Control*> controls;
  for (const auto& [name, open] : migrations_) controls[name] = open->migration.get();
  admin::export_migrations(metrics_, controls);
  api_ = std::make_unique<admin::Api>(
      admin::ApiOptions{config_.admin.token, version_, [this] { return readiness(); }}, std::move(controls),
      metrics_, clock_);
  admin_ = std::make_unique<admin::AdminServer>(*api_);
  const auto address = config::parse_host_port(config_.admin.listen);
  auto bound = admin_->listen(address->host, address->port, !config_.admin.token.empty());
  if (!bound) return bound.error();
  admin_->start();
  log::info("admin API", {{"address", address->host + ":" + std::to_string(*bound)},
                          {"token", !config_.admin.token.empty()}});
  return {};
}

admin::Readiness Serving::readiness() {
  admin::Readiness readiness;
  if (stopping_) readiness.reasons.emplace_back("stopping");
  if (!serving_) readiness.reasons.emplace_back("starting");
  for (const auto& [name, open] : migrations_) {
    if (auto reason = open->migration->not_ready_reason(); !reason.empty())
      readiness.reasons.push_back(std::move(reason));
  }
  readiness.serving = readiness.reasons.empty();
  return readiness;
}

Result<void> Serving::stop() {
  stopping_ = true;
  server_.stop(drain_max);
  // A promotion may wait a minute for its replica, and the admin server for the promotion.
  for (auto& [name, open] : migrations_) open->migration->stop_waiting();
  if (admin_) admin_->stop(std::chrono::seconds(2));
  Result<void> outcome;
  for (auto& [name, open] : migrations_) {
    if (auto closed = open->close(); !closed && outcome.has_value())
      outcome = closed.error().within("migration '" + name + "'");
  }
  return outcome;
}

// A shell's soft limit of 1024 is for programs that use select(). What the administrator allows is the hard one.
void use_all_descriptors() {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) return;
  descriptors.rlim_cur = descriptors.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &descriptors) != 0)
    log::warn("the limit of file descriptors stays as it is", {{"descriptors_max", descriptors.rlim_cur}});
}

cli::Ending serve(cli::Session& session, std::span<const protocols::System> systems) {
  const auto config = session.configuration();
  if (!config) return config.error();
  log::configure(config->log.level, config->log.format);
  block_ending_signals();
  use_all_descriptors();

  Serving serving(*config, session.program.version, session.program.clock, systems);
  if (const auto started = serving.start(); !started) {
    const auto stopped = serving.stop();
    static_cast<void>(stopped);  // the first failure says why
    const cli::Exit code = cli::exit_of(started.error().code);
    // An address that is taken is "invalid" to net/, but the command line was right.
    return cli::Failure{code == cli::exit_usage ? cli::exit_error : code,
                        "cannot serve: " + started.error().message, ""};
  }
  log::info("serving", {{"version", session.program.version}});
  const int signal = wait_for_ending_signal();
  log::info("stopping; requests in flight may end",
            {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}, {"seconds_max", 30}});
  // The journal is made for a sudden end: what was under way is recovered at the next start.
  end_at_next_signal();
  const auto stopped = serving.stop();
  if (!stopped)
    return cli::Failure{cli::exit_error, "stopped, but not cleanly: " + stopped.error().message,
                        "The next start recovers from the journal"};
  log::info("stopped");
  return std::nullopt;
}

}  // namespace

cli::LocalCommand serve_command(std::span<const protocols::System> systems) {
  return [systems](cli::Session& session) { return serve(session, systems); };
}

}  // namespace vmproxy::app
