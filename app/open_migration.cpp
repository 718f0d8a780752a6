#include "app/open_migration.h"

#include <algorithm>
#include <filesystem>

#include "cli/databases.h"
#include "config/address.h"
#include "store/rocksdb_store.h"

namespace vmproxy::app {
namespace {

cutover::MigrationOptions options_of(const config::Config& config, const std::string& name) {
  const config::Migration& migration = config.migrations.at(name);
  cutover::MigrationOptions options;
  options.name = name;
  const auto place_of = [&](const std::string& database) {
    const auto& at = config.databases.at(database);
    return cutover::Place{at.system, config::place_of(at.url)};
  };
  options.source_place = place_of(migration.source);
  options.target_place = place_of(migration.target);
  options.source_label = migration.source + " (" + config.databases.at(migration.source).system + ")";
  options.target_label = migration.target + " (" + config.databases.at(migration.target).system + ")";
  options.included = [patterns = migration.collections](const model::CollectionName& collection) {
    return cli::matches_any(patterns, collection);
  };
  options.names = migration.names;
  options.mirror.lanes.lanes = config.mirror.lanes;
  options.mirror.journal_bytes_max = config.journal.bytes_max;
  options.proxy.refuse_on_capture_failure = config.journal.capture_failure == config::CaptureFailure::refuse;
  options.proxy.refuse_unknown_requests = config.mirror.unknown_requests == config::UnknownRequests::refuse;
  options.proxy.sync = config.mirror.mode == config::MirrorMode::sync;
  options.proxy.mirror_drops = config.mirror.ddl == config::MirrorDdl::full;
  options.proxy.sync_timeout = config.mirror.sync_timeout;
  options.proxy.request_max = Duration::zero();
  for (const auto& listener : config.listeners) {
    if (listener.migration == name)
      options.proxy.request_max = std::max(options.proxy.request_max, listener.request_timeout);
  }
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

// Where requests go as they came. A system without a dialect has no requests of its own: its address is not
// HTTP.
Result<std::unique_ptr<net::Upstream>> upstream_of(const protocols::Endpoint& endpoint, bool has_dialect) {
  if (!has_dialect) return std::make_unique<net::Upstream>(net::UpstreamOptions{});
  auto options = net::parse_upstream_url(endpoint.server());
  if (!options) return options.error();
  options->tls.ca_file = endpoint.tls_ca;
  options->tls.server_name = endpoint.tls_server_name;
  options->tls.insecure = endpoint.tls_insecure;
  return std::make_unique<net::Upstream>(std::move(*options));
}

}  // namespace

Result<void> OpenMigration::close() {
  if (migration) migration->close();
  return journal ? journal->close() : Result<void>();
}

Result<std::unique_ptr<OpenMigration>> open_migration(const config::Config& config, const std::string& name,
                                                      Shared shared, bool unwatched) {
  const config::Migration& migration = config.migrations.at(name);
  const config::Database& source = config.databases.at(migration.source);
  const config::Database& target = config.databases.at(migration.target);
  const auto* source_system = cli::find_system(shared.systems, source.system);
  const auto* target_system = cli::find_system(shared.systems, target.system);
  auto open = std::make_unique<OpenMigration>();

  const protocols::Endpoint source_endpoint = cli::endpoint_of(migration.source, source);
  auto source_driver = source_system->make_driver(source_endpoint, shared.clock);
  if (!source_driver) return source_driver.error().within("database '" + migration.source + "'");
  auto target_driver = target_system->make_driver(cli::endpoint_of(migration.target, target), shared.clock);
  if (!target_driver) return target_driver.error().within("database '" + migration.target + "'");
  open->source = std::move(*source_driver);
  open->target = std::move(*target_driver);
  if (source_system->make_dialect) open->dialect = source_system->make_dialect(source_endpoint);
  auto upstream = upstream_of(source_endpoint, open->dialect != nullptr);
  if (!upstream) return upstream.error().within("databases." + migration.source + ".url");
  open->upstream = std::move(*upstream);

  const std::string directory = config::journal_directory(config, name);
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed)
    return Error(Code::io, directory + " cannot be made: " + failed.message() +
                               ". Give this user the right to, or name another data_dir");
  // It holds what applications wrote: nobody else's business.
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, failed);
  auto store = store::open_rocksdb(directory);
  if (!store) return store.error().within("journal at " + directory);
  open->store = std::move(*store);
  journal::Options options;
  options.durability = config.journal.fsync ? journal::Durability::fsync : journal::Durability::os;
  options.bytes_max = config.journal.bytes_max;
  options.pending_bytes_max = config.memory.inflight_bytes;
  options.labels = {{"migration", name}};
  auto journal = journal::Journal::open(*open->store, shared.clock, shared.metrics, options);
  if (!journal) return journal.error().within("journal at " + directory);
  open->journal = std::move(*journal);

  cutover::MigrationOptions how = options_of(config, name);
  how.unwatched = unwatched;
  how.proxy.target_read_patience += open->target->capabilities().read_wait;
  how.proxy.source_read_patience += open->source->capabilities().read_wait;
  open->migration =
      std::make_unique<cutover::Migration>(*open->journal, *open->source, *open->target, open->dialect.get(),
                                           *open->upstream, shared.clock, shared.random, shared.metrics, how);
  auto opened = open->migration->open();
  if (!opened) return opened.error().within("migration '" + name + "'");
  return open;
}

}  // namespace vmproxy::app
