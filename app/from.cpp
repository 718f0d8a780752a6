#include "app/from.h"

#include <filesystem>
#include <functional>

#include "admin/json.h"
#include "app/from_plan.h"
#include "app/open_migration.h"
#include "base/log.h"
#include "cli/compatibility.h"
#include "cli/databases.h"
#include "cli/discover.h"
#include "cli/format.h"
#include "cli/status_view.h"
#include "config/address.h"

namespace vmproxy::app {
namespace {

using cli::Ending;
using cli::Failure;
using std::chrono::seconds;

constexpr Duration poll_every = std::chrono::milliseconds(100);
constexpr Duration line_every = seconds(10);
constexpr Duration unreachable_max = seconds(30);
constexpr int comparisons_max = 4;  // each mends what it found
const cutover::Actor from_actor{"from", "vmproxy from", {}};

// The same line finds its own earlier run, another line does not.
std::string state_directory(const cli::Options& options) {
  uint64_t hash = 1469598103934665603u;  // FNV-1a
  const auto mix = [&hash](const std::string& text) {
    for (const char c : text + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  };
  for (const auto& text : {options.system, options.url, options.to_system, options.to_url}) mix(text);
  for (const auto& pattern : options.collections) mix(pattern);
  char name[40];
  std::snprintf(name, sizeof name, "from-%016llx", static_cast<unsigned long long>(hash));
  return std::string("vmproxy-data/") + name;
}

boost::system::result<config::Config, Failure> configuration(cli::Session& session) {
  const cli::Options& options = session.options;
  const auto source_url = cli::expanded_url(session, options.url);
  if (!source_url) return source_url.error();
  const auto target_url = cli::expanded_url(session, options.to_url);
  if (!target_url) return target_url.error();
  if (options.system == options.to_system && *source_url == *target_url) {
    return Failure{cli::exit_usage, "source and target are the same database", ""};
  }
  config::Config config;
  config.data_dir = state_directory(options);
  config.databases["source"].system = options.system;
  config.databases["source"].url = *source_url;
  config.databases["target"].system = options.to_system;
  config.databases["target"].url = *target_url;
  config::Migration& migration = config.migrations[copy_name];
  migration.source = "source";
  migration.target = "target";
  if (!options.collections.empty()) migration.collections = options.collections;
  // Nobody writes through this process: there is nothing in flight to wait for.
  config.backfill.settle = Duration::zero();
  return config;
}

Ending interrupted(const cutover::Status& status) {
  return Failure{cli::exit_interrupted,
                 "interrupted; " + cli::grouped(status.backfill.records) + " records are copied",
                 "The same command goes on where this one stopped"};
}

using Outcome = boost::system::result<cutover::Status, Failure>;

// Why it does not get on now; empty: it does.
std::string trouble_of(const cutover::Status& status) {
  if (!status.work.problem.empty()) return status.work.problem;
  if (status.validation.phase == "running") return status.validation.reason;
  return status.state == "ready" && status.mirror.health != "ok" ? status.mirror.health : "";
}

// Until it is so or will not be. Databases that are away are given half a minute.
Outcome wait_until(cli::Session& session, cutover::Migration& migration,
                   const std::function<bool(const cutover::Status&)>& so) {
  Clock& clock = session.program.clock;
  TimePoint last_line{}, last_good = clock.now();
  std::string last_state;
  while (true) {
    cutover::Status status = migration.status();
    if (so(status)) return status;
    if (session.interrupted()) return *interrupted(status);
    const bool stopped = !status.work.problem.empty() && !status.work.retrying;
    const std::string trouble = trouble_of(status);
    if (trouble.empty()) last_good = clock.now();
    if (stopped || clock.now() - last_good >= unreachable_max) {
      const cli::Exit code = status.work.problem.empty() ? cli::exit_unreachable
                             : status.validation.phase == "different"
                                 ? cli::exit_differences
                                 : cli::exit_of(cli::code_from(status.work.code));
      return Failure{code, trouble, "The same command goes on where this one stopped"};
    }
    const bool news =
        status.state + status.backfill.phase != last_state || clock.now() - last_line >= line_every;
    session.terminal.progress(cli::progress_line(admin::to_json(status)), news);
    if (news) last_line = clock.now();
    last_state = status.state + status.backfill.phase;
    session.program.pause(poll_every);
  }
}

// Everything is compared once more, and mended, until nothing differs.
Outcome compare_again(cli::Session& session, cutover::Migration& migration) {
  cutover::ValidateOptions options;
  options.repair = true;
  const auto ended = [](const cutover::Status& status) { return status.validation.phase != "running"; };
  const auto owes_nothing = [](const cutover::Status& status) { return status.dirty == 0; };
  Outcome status = cutover::Status{};
  for (int i = 0; i < comparisons_max; ++i) {
    if (const auto asked = migration.validate(options, from_actor); !asked)
      return Failure{cli::exit_of(asked.error().code), asked.error().message, ""};
    status = wait_until(session, migration, ended);
    if (!status) return status;
    if (status->validation.phase == "failed")
      return Failure{cli::exit_of(cli::code_from(status->work.code)),
                     "the comparison failed: " + status->validation.reason,
                     "The same command goes on where this one stopped"};
    const auto settled = wait_until(session, migration, owes_nothing);  // what it mended has arrived
    if (!settled) return settled;
    if (status->validation.phase == "clean") return settled;
  }
  return status;
}

// Copied, compared, and nothing owed any more. `ready_before`: an earlier run came as far as that, and ended
// since: what the target had refused may fit by now, and the source may have changed.
Outcome bring_over(cli::Session& session, cutover::Migration& migration, bool ready_before) {
  auto status = wait_until(session, migration, [](const auto& now) { return now.state == "ready"; });
  if (!status) return status;
  const bool again = ready_before || status->dirty > 0;  // what was owed then was not compared
  if (ready_before) {
    if (const auto retried = migration.quarantine_retry(std::nullopt, from_actor); !retried)
      return Failure{cli::exit_of(retried.error().code), retried.error().message, ""};
  }
  if (!again) return status;
  status = wait_until(session, migration, [](const auto& now) { return now.dirty == 0; });
  return status ? compare_again(session, migration) : status;
}

Ending sum_up(cli::Session& session, OpenMigration& open, const cutover::Status& status, double took,
              bool fresh, const std::vector<protocols::LeftOut>& left_out) {
  boost::json::object losses;
  for (const auto& collection : open.migration->context().collections.all()) {
    for (const auto& [field, records] : collection->plan->losses())
      losses[collection->key + "." + field] = records;
  }
  // Those that earlier runs of the same command met were counted in their processes.
  const bool some_lost_before = !fresh;
  const uint64_t differ = status.validation.different + status.validation.missing + status.validation.extra;
  std::ostream& out = session.terminal.out();
  if (session.options.json) {
    out << cli::pretty(boost::json::object{{"records", status.backfill.records},
                                           {"seconds", took},
                                           {"compared", status.validation.compared},
                                           {"different", status.validation.different},
                                           {"missing", status.validation.missing},
                                           {"extra", status.validation.extra},
                                           {"unsettled", status.validation.unsettled},
                                           {"quarantined", status.quarantined},
                                           {"left_out", cli::json_of(left_out)},
                                           {"lost_fields", losses},
                                           {"lost_fields_complete", !some_lost_before}});
  } else {
    out << cli::count(status.backfill.records, "record", "records") << " copied in "
        << cli::short_duration(took);
    if (fresh && took > 0.5)
      out << " (" << cli::grouped(static_cast<uint64_t>(static_cast<double>(status.backfill.records) / took))
          << "/s)";
    out << '\n'
        << cli::grouped(status.validation.compared) << " compared: " << cli::grouped(differ) << " differ\n";
    for (const auto& loss : losses) {
      out << "lost: " << std::string_view(loss.key()) << " of " << boost::json::serialize(loss.value())
          << " records\n";
    }
    if (some_lost_before)
      session.terminal.say("lost fields are those of this run only; an earlier run named its own");
  }
  if (status.quarantined > 0) {
    std::string list;
    if (const auto entries = open.migration->quarantine()) {
      for (size_t i = 0; i < entries->size() && i < 20; ++i) {
        list += "\n  " + (*entries)[i].collection + " " + (*entries)[i].key + ": " + (*entries)[i].reason;
      }
    }
    return Failure{cli::exit_differences,
                   "the target refused " + cli::count(status.quarantined, "record", "records") + ":" + list,
                   ""};
  }
  if (status.validation.unsettled > 0) {
    return Failure{cli::exit_differences,
                   cli::count(status.validation.unsettled, "record", "records") +
                       " could not be compared: they changed, or waited for the target, all the while",
                   "Nothing was lost: the source has them. Run the same command again to compare them"};
  }
  if (differ > 0)
    return Failure{cli::exit_differences, "the two sides differ",
                   "The same command compares and mends again"};
  if (!left_out.empty()) return left_behind(left_out, "; everything else was copied and compared");
  session.terminal.say(
      "done. Writes that others made to the source meanwhile were not followed: for a move without a pause, "
      "see vmproxy serve");
  return std::nullopt;
}

Ending copy(cli::Session& session, std::span<const protocols::System> systems, const config::Config& config,
            bool fresh, const std::vector<protocols::LeftOut>& left_out) {
  Random random(seed_from_system());
  Metrics metrics;
  const TimePoint began = session.program.clock.now();
  auto open = open_migration(config, copy_name, {session.program.clock, random, metrics, systems},
                             /*unwatched=*/true);
  if (!open) return Failure{cli::exit_of(open.error().code), open.error().message, ""};
  cutover::Migration& migration = *(*open)->migration;
  const bool ready_before = migration.status().state == "ready";
  if (const auto started = migration.start("ready", from_actor); !started) {
    return Failure{cli::exit_of(started.error().code), started.error().message, ""};
  }
  const auto status = bring_over(session, migration, ready_before);
  session.terminal.clear_progress();
  Ending ending;
  if (status) {
    const double took = std::chrono::duration<double>(session.program.clock.now() - began).count();
    ending = sum_up(session, **open, *status, took, fresh, left_out);
  } else {
    ending = status.error();
  }
  const auto closed = (*open)->close();
  open->reset();
  if (ending) return ending;
  if (!closed)
    return Failure{cli::exit_error,
                   "copied and compared, but the journal could not be closed: " + closed.error().message, ""};
  std::error_code failed, not_empty;
  std::filesystem::remove_all(config.data_dir, failed);
  if (failed)
    session.terminal.say(config.data_dir + " could not be removed (" + failed.message() +
                         "); it is of no more use, remove it by hand");
  std::filesystem::remove("vmproxy-data", not_empty);  // only when empty
  return std::nullopt;
}

Ending from(cli::Session& session, std::span<const protocols::System> systems) {
  log::configure("error", "text");  // the screen tells the story
  const auto config = configuration(session);
  if (!config) return config.error();
  auto sides = look(session, systems, *config);
  if (!sides) return sides.error();
  std::error_code failed;
  const bool fresh = !std::filesystem::exists(config::journal_directory(*config, copy_name), failed);
  if (!fresh && !session.options.dry_run)
    session.terminal.say("going on where an earlier run stopped (" + config->data_dir + ")");
  if (auto refused = show_plan(session, *sides, *config, fresh)) return refused;
  if (session.options.dry_run) {
    session.terminal.say("nothing was changed; without --dry-run it begins");
    if (!sides->left_out.empty()) return left_behind(sides->left_out, "");
    return std::nullopt;
  }
  const std::vector<protocols::LeftOut> left_out = std::move(sides->left_out);
  *sides = {};  // the copy makes its own connections
  return copy(session, systems, *config, fresh, left_out);
}

}  // namespace

cli::LocalCommand from_command(std::span<const protocols::System> systems) {
  return [systems](cli::Session& session) { return from(session, systems); };
}

}  // namespace vmproxy::app
