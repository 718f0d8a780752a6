#include "app/migration_host.h"

#include <fnmatch.h>

#include <charconv>
#include <filesystem>

#include "app/registry.h"
#include "base/log.h"
#include "store/rocksdb_store.h"

namespace vmproxy::app {
namespace {

// A pattern names a collection by its short name or by its whole path.
proxy::Collections::Included included_by(std::vector<std::string> patterns) {
  return [patterns = std::move(patterns)](const model::CollectionName& name) {
    for (const auto& pattern : patterns) {
      if (fnmatch(pattern.c_str(), name.name.c_str(), 0) == 0) return true;
      if (fnmatch(pattern.c_str(), model::to_string(name).c_str(), 0) == 0) return true;
    }
    return false;
  };
}

cutover::MigrationOptions options_for(const config::Config& config, const std::string& name,
                                      const config::Migration& migration) {
  cutover::MigrationOptions options;
  options.name = name;
  options.source_label = migration.source + " (" + config.databases.at(migration.source).system + ")";
  options.target_label = migration.target + " (" + config.databases.at(migration.target).system + ")";
  options.included = included_by(migration.collections);
  options.names = migration.names;
  options.mirror.lanes.lanes = config.mirror.lanes;
  options.proxy.refuse_on_capture_failure = config.journal.capture_failure == config::CaptureFailure::refuse;
  options.proxy.refuse_unknown_requests = config.mirror.unknown_requests == config::UnknownRequests::refuse;
  options.proxy.sync = config.mirror.mode == config::MirrorMode::sync;
  options.proxy.sync_timeout = config.mirror.sync_timeout;
  options.proxy.mirror_drops = config.mirror.ddl == config::MirrorDdl::full;
  options.proxy.read_wait = config.reads.wait;
  options.proxy.route_by = config.reads.route_by;
  options.proxy.guard_reads = config.reads.consistency != config::Consistency::eventual;
  options.backfill.batch = config.backfill.batch;
  options.backfill.parallel = config.backfill.parallel;
  options.backfill.rate_max = config.backfill.rate_max;
  options.settle = config.backfill.settle;
  options.fence_max = config.promotion.fence_max;
  options.lag_max = config.promotion.lag_max;
  options.debt_age_max = config.promotion.debt_age_max;
  options.inflight_bytes = config.memory.inflight_bytes;
  return options;
}

Result<std::unique_ptr<protocols::Driver>> driver_for(const config::Config& config,
                                                      const std::string& database, Clock& clock) {
  const auto& settings = config.databases.at(database);
  const auto* system = find_system(settings.system);
  if (system == nullptr || !system->make_driver) {
    return Error(Code::invalid,
                 "database '" + database + "': there is no driver for system '" + settings.system + "'");
  }
  auto driver = system->make_driver(endpoint(database, settings), clock);
  if (!driver) return driver.error().within("database '" + database + "'");
  return driver;
}

}  // namespace

Result<std::pair<std::string, uint16_t>> parse_listen(const std::string& text) {
  const auto colon = text.rfind(':');
  uint16_t port = 0;
  if (colon == std::string::npos ||
      std::from_chars(text.data() + colon + 1, text.data() + text.size(), port).ptr !=
          text.data() + text.size()) {
    return Error(Code::invalid, "'" + text + "' is not host:port");
  }
  std::string host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::pair(host.empty() ? std::string("0.0.0.0") : host, port);
}

Result<std::unique_ptr<MigrationHost>> MigrationHost::make(const config::Config& config,
                                                           const std::string& name, Clock& clock,
                                                           Random& random, Metrics& metrics) {
  const auto& settings = config.migrations.at(name);
  std::unique_ptr<MigrationHost> host(new MigrationHost);
  host->name_ = name;
  auto source = driver_for(config, settings.source, clock);
  if (!source) return source.error();
  host->source_ = std::move(*source);
  auto target = driver_for(config, settings.target, clock);
  if (!target) return target.error();
  host->target_ = std::move(*target);
  const auto& source_database = config.databases.at(settings.source);
  const auto* system = find_system(source_database.system);
  if (system->make_dialect) host->dialect_ = system->make_dialect();

  const auto directory = std::filesystem::path(config.data_dir) / name;
  std::error_code made;
  std::filesystem::create_directories(directory, made);
  if (made) return Error(Code::io, "data_dir " + directory.string() + " cannot be made: " + made.message());
  auto store = store::open_rocksdb(directory.string());
  if (!store) return store.error().within("migration '" + name + "'");
  host->store_ = std::move(*store);
  journal::Options journal_options;
  journal_options.durability = config.journal.fsync ? journal::Durability::fsync : journal::Durability::os;
  journal_options.bytes_max = config.journal.bytes_max;
  journal_options.pending_bytes_max = config.memory.inflight_bytes;
  auto journal = journal::Journal::open(*host->store_, clock, metrics, journal_options);
  if (!journal) return journal.error().within("migration '" + name + "'");
  host->journal_ = std::move(*journal);

  net::UpstreamOptions upstream;
  if (host->dialect_) {
    auto parsed = net::parse_upstream_url(source_database.url);
    if (!parsed) return parsed.error().within("database '" + settings.source + "'");
    upstream = std::move(*parsed);
    upstream.tls.ca_file = source_database.tls.ca;
    upstream.tls.server_name = source_database.tls.server_name;
    upstream.tls.insecure = source_database.tls.insecure;
  }
  host->upstream_ = std::make_unique<net::Upstream>(upstream);
  host->migration_ = std::make_unique<cutover::Migration>(
      *host->journal_, *host->source_, *host->target_, host->dialect_.get(), *host->upstream_, clock, random,
      metrics, options_for(config, name, settings));
  auto opened = host->migration_->open();
  if (!opened) return opened.error().within("migration '" + name + "'");
  return host;
}

MigrationHost::~MigrationHost() {
  close();
}

Result<void> MigrationHost::listen(const config::Config& config, net::Server& server) {
  for (const auto& listener : config.listeners) {
    if (listener.migration != name_) continue;
    if (!dialect_)
      return Error(Code::invalid, listener.at + ": there is no dialect for '" + listener.dialect + "'");
    auto address = parse_listen(listener.listen);
    if (!address) return address.error();
    pipelines_.push_back(std::make_unique<proxy::Pipeline>(migration_->context(), listener.listen));
    auto* pipeline = pipelines_.back().get();
    net::ListenOptions options;
    options.host = address->first;
    options.port = address->second;
    options.tls.certificate_file = listener.tls.cert;
    options.tls.key_file = listener.tls.key;
    auto bound =
        server.listen(options, [pipeline](net::Exchange& exchange) { return pipeline->handle(exchange); });
    if (!bound) return bound.error().within("listener " + listener.listen);
    log::info("listening",
              {{"address", listener.listen}, {"dialect", listener.dialect}, {"migration", name_}});
  }
  return {};
}

void MigrationHost::close() {
  if (migration_) migration_->close();
  if (journal_) {
    auto closed = journal_->close();
    if (!closed)
      log::error("the journal did not close cleanly; the next start replays it",
                 {{"error", closed.error().message}});
  }
  migration_.reset();
  journal_.reset();
  store_.reset();
}

}  // namespace vmproxy::app
