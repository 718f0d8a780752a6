#include "cli/journal_local.h"

#include <boost/json.hpp>
#include <filesystem>

#include "cli/commands.h"
#include "config/nearest.h"
#include "journal/journal.h"
#include "store/rocksdb_store.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

boost::system::result<std::string, Failure> pick(const config::Config& config, const std::string& named) {
  std::vector<std::string> known;
  for (const auto& [name, migration] : config.migrations) known.push_back(name);
  if (named.empty() && known.size() == 1) return known[0];
  if (named.empty())
    return Failure{exit_usage, "which migration? There are " + config::one_of(known),
                   "Name it with --migration NAME"};
  if (config.migrations.count(named)) return named;
  return Failure{exit_usage, "no migration '" + named + "'; there are " + config::one_of(known), ""};
}

json::object figures(const journal::Stats& stats) {
  return {{"next_seq", stats.next_seq},   {"trimmed_below", stats.trimmed_below},
          {"intents", stats.intents},     {"bytes", stats.bytes},
          {"gaps_open", stats.gaps_open}, {"clean_start", stats.clean_start}};
}

json::object figures(const journal::VerifyReport& report) {
  json::array problems;
  for (const auto& problem : report.problems) problems.emplace_back(problem);
  return {{"intents", report.intents},
          {"outcomes", report.outcomes},
          {"rows", report.rows},
          {"problems", std::move(problems)}};
}

template <class Read>
Ending with_journal(Session& session, Read read) {
  const auto config = session.configuration();
  if (!config) return config.error();
  const auto name = pick(*config, session.options.migration);
  if (!name) return name.error();
  const std::string directory = config::journal_directory(*config, *name);
  std::error_code failed;
  if (!std::filesystem::exists(directory, failed)) {
    return Failure{exit_precondition, "there is no journal at " + directory,
                   "It is made when vmproxy serve starts for the first time"};
  }
  session.terminal.say("no vmproxy answers; reading " + directory);
  auto store = store::open_rocksdb(directory);
  if (!store) return Failure{exit_of(store.error().code), store.error().message, ""};
  Metrics metrics;
  auto journal = journal::Journal::open(**store, session.program.clock, metrics, {});
  if (!journal) return Failure{exit_of(journal.error().code), journal.error().message, ""};
  Ending ending = read(**journal);
  // close() would mark a clean end. After an unclean one the next start must still see it and distrust what
  // was under way.
  if ((*journal)->stats().clean_start) {
    if (const auto closed = (*journal)->close(); !closed && !ending)
      ending = Failure{exit_of(closed.error().code), closed.error().message, ""};
  }
  return ending;
}

}  // namespace

LocalCommand journal_stats_command() {
  return [](Session& session) {
    return with_journal(session, [&session](journal::Journal& journal) {
      return show_journal(session, figures(journal.stats()));
    });
  };
}

LocalCommand journal_verify_command() {
  return [](Session& session) {
    return with_journal(session, [&session](journal::Journal& journal) -> Ending {
      const auto report = journal.verify();
      if (!report) return Failure{exit_of(report.error().code), report.error().message, ""};
      return show_journal(session, figures(*report));
    });
  };
}

}  // namespace vmproxy::cli
