#include "cli/check.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "base/random.h"
#include "cli/check_report.h"
#include "cli/compatibility.h"
#include "cli/discover.h"
#include "cli/format.h"
#include "config/address.h"
#include "mapping/plan.h"

namespace vmproxy::cli {
namespace {

using std::chrono::seconds;

constexpr uint64_t open_files_wanted = 4096;
constexpr uint64_t disk_bytes_wanted = 1ull << 30;

void check_machine(const config::Config& config, CheckReport& report) {
  std::error_code failed;
  const std::filesystem::path folder(config.data_dir);
  const bool existed = std::filesystem::exists(folder, failed);
  std::filesystem::create_directories(folder, failed);
  const auto probe = folder / ("check-" + std::to_string(::getpid()));
  const bool written = !failed && (std::ofstream(probe) << "vmproxy" << std::flush).good();
  std::filesystem::remove(probe, failed);
  if (!written) {
    report.fail("data_dir", config.data_dir + " cannot be written",
                "give this user the right to, or name another data_dir");
  } else {
    const auto space = std::filesystem::space(folder, failed);
    const std::string room = bytes(space.available) + " free in " + config.data_dir;
    if (failed || space.available < disk_bytes_wanted) {
      report.warn("data_dir", room,
                  "the journal keeps what the target still misses, up to journal.max_bytes = " +
                      bytes(config.journal.bytes_max));
    } else {
      report.ok("data_dir", room);
    }
  }
  if (!existed) std::filesystem::remove(folder, failed);  // only when nothing is in it

  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < open_files_wanted) {
    report.warn("open files", "the limit is " + std::to_string(limit.rlim_cur) + "; each client takes two",
                "ulimit -n 65536, or LimitNOFILE= in the unit");
  } else {
    report.ok("open files", "the limit is " + std::to_string(limit.rlim_cur));
  }
}

struct Side {
  std::string label;  // "old (system)"
  std::unique_ptr<protocols::Driver> driver;
  std::vector<model::Schema> collections;
  std::vector<protocols::LeftOut> left_out;
};

// Nothing when it cannot be used; the report says why.
std::unique_ptr<Side> open_side(Session& session, Systems systems, const std::string& name,
                                const config::Database& database, CheckReport& report) {
  auto side = std::make_unique<Side>();
  side->label = name + " (" + database.system + ")";
  const std::string what = side->label + " " + config::masked_url(database.url);
  Clock& clock = session.program.clock;
  auto driver = find_system(systems, database.system)->make_driver(endpoint_of(name, database), clock);
  if (!driver) {
    report.fail(what, driver.error());
    return nullptr;
  }
  side->driver = std::move(*driver);
  const auto began = clock.now();
  const auto info = side->driver->describe_server(clock.in(seconds(10)));
  if (!info) {
    report.fail(what, info.error());
    return nullptr;
  }
  report.ok(what, "version " + info->version + ", answered in " +
                      short_duration(std::chrono::duration<double>(clock.now() - began).count()));
  if (database.tls.insecure)
    report.warn(side->label, "tls.insecure: nobody knows who answers there",
                "name its certificate authority in tls.ca instead");
  auto found = side->driver->list_all(clock.in(seconds(60)));
  if (!found) {
    report.fail(side->label + " lists its collections", found.error());
    return nullptr;
  }
  side->collections = std::move(found->collections);
  side->left_out = std::move(found->left_out);
  return side;
}

// What the target's side may do, tried on a collection that nobody else has.
void check_rights(Session& session, Side& target, CheckReport& report) {
  Clock& clock = session.program.clock;
  protocols::Driver& driver = *target.driver;
  Random random(seed_from_system());
  model::Schema probe;
  probe.name = {"", "vmproxy_check_" + std::to_string(random.next() % 1000000000)};
  probe.vectors.push_back({"", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  const auto plan =
      mapping::Plan::make(probe, driver.capabilities(), driver.name_for(probe.name), driver.capabilities());
  const std::string what = target.label + " may be written";
  if (!plan) return report.fail(what, plan.error());
  const model::Schema& schema = (*plan)->target();
  model::Record record;
  record.key.id.value = std::string("a");
  record.vectors[""] = model::DenseVector{1, 2};
  auto mapped = (*plan)->to_target(record);
  if (!mapped) return report.fail(what, mapped.error());

  if (const auto created = driver.create(schema, clock.in(seconds(20))); !created) {
    return report.fail(target.label + " may create collections", created.error());
  }
  std::string problem = "write";
  const std::vector<model::Record> records{*mapped};
  Result<void> outcome;
  if (auto done = driver.upsert(schema, records, protocols::UpsertMode::replace, clock.in(seconds(20)));
      !done) {
    outcome = done.error();
  } else if (!done->refused.empty()) {
    outcome = done->refused.front().error;
  } else if (auto erased = driver.erase(schema, std::vector<model::Key>{mapped->key}, clock.in(seconds(20)));
             !erased) {
    problem = "delete";
    outcome = erased.error();
  }
  if (const auto dropped = driver.drop(schema.name, clock.in(seconds(20))); !dropped && outcome.has_value()) {
    problem = "drop " + model::to_string(schema.name) + ", which this check created";
    outcome = dropped.error();
  }
  if (outcome.has_error()) return report.fail(target.label + " may " + problem, outcome.error());
  report.ok(target.label, "may create, write, delete and drop");
}

void check_collection(Session& session, const model::Schema& schema, Side& source, Side& target,
                      const config::Migration& migration, CheckReport& report) {
  Clock& clock = session.program.clock;
  const std::string what = "collection " + model::to_string(schema.name);
  model::Query one;
  one.kind = model::Query::Kind::get;
  one.collection = schema.name;
  one.limit = 1;
  if (const auto read = source.driver->query(schema, one, clock.in(seconds(30)));
      !read && read.error().code != Code::unsupported) {
    return report.fail(what + " may be read", read.error());
  }
  const auto plan = plan_for(schema, *source.driver, *target.driver, migration);
  if (!plan)
    return report.fail(what, "cannot be carried to " + target.label + ": " + plan.error().message,
                       "leave it out by migrations.*.collections");
  std::string changed, refused;
  for (const auto& note : (*plan)->notes()) {
    const std::string text = note.field + ": " + note.text;
    if (note.kind == mapping::Note::Kind::refused) {
      refused += (refused.empty() ? "" : "; ") + text;  // one by one, and only if there are such records
    }
    if (note.kind == mapping::Note::Kind::lost)
      report.warn(what, text, "`vmproxy status` counts it, by field, from the copy on");
    if (note.kind == mapping::Note::Kind::changed) changed += (changed.empty() ? "" : "; ") + text;
  }
  const std::string there = model::to_string((*plan)->target().name);
  const auto existing = target.driver->describe((*plan)->target().name, clock.in(seconds(30)));
  if (!existing) return report.fail(what + " on " + target.label, existing.error());
  if (*existing)
    report.warn(what, there + " exists on " + target.label + " already",
                "if it is not from an earlier run of this migration, rename it or use mapping.names");
  report.ok(what, describe_vectors(schema) + " -> " + there + (changed.empty() ? "" : "; " + changed) +
                      (refused.empty() ? "" : "; " + refused));
}

// What the source holds and cannot be moved: wrong when it was asked for by name, else a gate before the switch.
void check_left_out(const std::string& name, const config::Migration& migration, const Side& source,
                    CheckReport& report) {
  for (const auto& one : source.left_out) {
    if (!matches_any(migration.collections, one.name)) continue;
    const std::string what = "collection " + model::to_string(one.name);
    if (asks_for(migration.collections, one.name)) {
      report.fail(what, "cannot be moved: " + one.why, one.remedy);
    } else {
      report.warn(what, "is left out: " + one.why,
                  one.remedy + "; or name the others in migrations." + name +
                      ".collections. Until then the gate left_out stays closed");
    }
  }
}

void check_migration(Session& session, const std::string& name, const config::Migration& migration,
                     Side& source, Side& target, CheckReport& report) {
  check_rights(session, target, report);
  size_t included = 0;
  for (const auto& schema : source.collections) {
    if (!matches_any(migration.collections, schema.name)) continue;
    ++included;
    check_collection(session, schema, source, target, migration, report);
  }
  check_left_out(name, migration, source, report);
  const std::string all =
      count(source.collections.size(), "collection", "collections") + " on " + source.label;
  if (included == 0) {
    report.warn("migration " + name, all + ", none of them included",
                "look at migrations." + name +
                    ".collections; what is created later is included by the same patterns");
  } else {
    report.ok("migration " + name, grouped(included) + " of " + all + " included");
  }
}

Ending check(Session& session, Systems systems) {
  auto config = session.configuration();
  if (!config) return config.error();
  CheckReport report(session);
  check_machine(*config, report);
  std::map<std::string, std::unique_ptr<Side>> sides;
  for (const auto& [name, database] : config->databases)
    sides[name] = open_side(session, systems, name, database, report);
  for (const auto& [name, migration] : config->migrations) {
    if (session.interrupted()) return Failure{exit_interrupted, "", ""};
    auto& source = sides[migration.source];
    auto& target = sides[migration.target];
    if (source && target) check_migration(session, name, migration, *source, *target, report);
  }
  return report.finish();
}

}  // namespace

LocalCommand check_command(Systems systems) {
  return [systems](Session& session) { return check(session, systems); };
}

}  // namespace vmproxy::cli
