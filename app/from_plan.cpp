#include "app/from_plan.h"

#include <algorithm>

#include "admin/json.h"
#include "cli/compatibility.h"
#include "cli/databases.h"
#include "cli/discover.h"
#include "cli/format.h"
#include "config/address.h"

namespace vmproxy::app {
namespace {

using cli::Ending;
using cli::Failure;
using std::chrono::seconds;

// One line each, with the reason and what to do.
std::string lines_of(const std::vector<protocols::LeftOut>& all) {
  std::string lines;
  for (const auto& one : all)
    lines += "\n  " + model::to_string(one.name) + ": " + one.why + "; " + one.remedy;
  return lines;
}

// Who names collections wants these, or to hear that it cannot be.
Ending all_there(const cli::Options& options, const Sides& sides) {
  std::vector<protocols::LeftOut> refused;
  for (const auto& one : sides.left_out) {
    if (cli::asks_for(options.collections, one.name)) refused.push_back(one);
  }
  if (!refused.empty())
    return Failure{cli::exit_precondition,
                   "asked for by name, but cannot be copied; nothing was changed:" + lines_of(refused), ""};
  for (const auto& pattern : options.collections) {
    if (cli::is_wild(pattern)) continue;
    const bool found =
        std::any_of(sides.collections.begin(), sides.collections.end(),
                    [&](const model::Schema& schema) { return cli::matches_any({pattern}, schema.name); });
    if (!found)
      return Failure{cli::exit_precondition,
                     "the source has no collection '" + pattern + "'; nothing was changed",
                     "What it has is shown by: vmproxy discover"};
  }
  return std::nullopt;
}

boost::system::result<std::unique_ptr<protocols::Driver>, Failure> reach(
    cli::Session& session, std::span<const protocols::System> systems, const std::string& name,
    const config::Database& database) {
  const auto system = cli::need_system(systems, database.system);
  if (!system) return system.error();
  const std::string where = name + " (" + database.system + ") at " + config::masked_url(database.url);
  Clock& clock = session.program.clock;
  auto driver = (*system)->make_driver(cli::endpoint_of(name, database), clock);
  if (!driver)
    return Failure{cli::exit_of(driver.error().code), where + ": " + driver.error().message,
                   cli::remedy(driver.error())};
  const auto info = (*driver)->describe_server(clock.in(seconds(10)));
  if (!info)
    return Failure{cli::exit_of(info.error().code), where + ": " + info.error().message,
                   cli::remedy(info.error())};
  session.terminal.say(where + ", version " + info->version);
  return std::move(*driver);
}

const char* name_of(mapping::Note::Kind kind) {
  switch (kind) {
    case mapping::Note::Kind::carried: return "carried";
    case mapping::Note::Kind::changed: return "changed";
    case mapping::Note::Kind::lost: return "LOST";
    case mapping::Note::Kind::refused: return "refused";
  }
  return "";
}

}  // namespace

Failure left_behind(const std::vector<protocols::LeftOut>& all, const std::string& others) {
  return {
      cli::exit_differences,
      std::to_string(all.size()) + " that hold vectors cannot be copied and are left out" + others + ":" +
          lines_of(all),
      "Mend them and run the same command again, or name the collections that you want with --collection"};
}

boost::system::result<Sides, Failure> look(cli::Session& session, std::span<const protocols::System> systems,
                                           const config::Config& config) {
  Sides sides;
  auto source = reach(session, systems, "source", config.databases.at("source"));
  if (!source) return source.error();
  auto target = reach(session, systems, "target", config.databases.at("target"));
  if (!target) return target.error();
  sides.source = std::move(*source);
  sides.target = std::move(*target);
  auto found = sides.source->list_all(session.program.clock.in(seconds(60)));
  if (!found)
    return Failure{cli::exit_of(found.error().code), "the source's collections: " + found.error().message,
                   cli::remedy(found.error())};
  for (auto& schema : found->collections) {
    if (cli::matches_any(config.migrations.at(copy_name).collections, schema.name))
      sides.collections.push_back(std::move(schema));
  }
  for (auto& one : found->left_out) {
    if (cli::matches_any(config.migrations.at(copy_name).collections, one.name))
      sides.left_out.push_back(std::move(one));
  }
  if (sides.collections.empty() && sides.left_out.empty()) {
    return Failure{cli::exit_precondition,
                   "nothing to copy: the source has " +
                       cli::count(found->collections.size(), "collection", "collections") +
                       (session.options.collections.empty() ? "" : ", none that --collection names"),
                   ""};
  }
  if (const auto missing = all_there(session.options, sides)) return *missing;
  if (sides.collections.empty())
    return Failure{cli::exit_precondition,
                   "nothing to copy: what the source has cannot be copied:" + lines_of(sides.left_out), ""};
  return sides;
}

Ending show_plan(cli::Session& session, Sides& sides, const config::Config& config, bool fresh) {
  Clock& clock = session.program.clock;
  std::ostream& out = session.terminal.out();
  boost::json::array plans;
  std::string refused;
  for (const auto& schema : sides.collections) {
    const std::string name = model::to_string(schema.name);
    const auto records = cli::count_records(*sides.source, schema, clock.in(seconds(60)));
    const auto plan = cli::plan_for(schema, *sides.source, *sides.target, config.migrations.at(copy_name));
    boost::json::object described{
        {"collection", name},
        {"records", records ? boost::json::value(*records) : boost::json::value(nullptr)}};
    if (!session.options.json)
      out << name << (records ? "   " + cli::grouped(*records) + " records" : "") << "   "
          << cli::describe_vectors(schema) << '\n';
    if (!plan) {
      refused += "\n  " + name + ": " + plan.error().message;
      described["refused"] = plan.error().message;
      if (!session.options.json) out << "  REFUSED  " << plan.error().message << '\n';
      plans.push_back(std::move(described));
      continue;
    }
    const auto& target = (*plan)->target();
    described["target"] = model::to_string(target.name);
    boost::json::array notes;
    if (!session.options.json) out << "  to       " << model::to_string(target.name) << '\n';
    for (const auto& note : (*plan)->notes()) {
      notes.push_back({{"kind", name_of(note.kind)}, {"field", note.field}, {"text", note.text}});
      if (session.options.json || note.kind == mapping::Note::Kind::carried) continue;
      const std::string kind = name_of(note.kind);
      out << "  " << kind << std::string(9 - kind.size(), ' ')
          << cli::wrap(std::string(11, ' ') + note.field + ": " + note.text, session.terminal.width(), 11)
                 .substr(11)
          << '\n';
    }
    described["notes"] = std::move(notes);
    plans.push_back(std::move(described));
    if (!fresh) continue;
    const auto existing = sides.target->describe(target.name, clock.in(seconds(30)));
    if (!existing)
      return Failure{cli::exit_of(existing.error().code), "target: " + existing.error().message,
                     cli::remedy(existing.error())};
    if (!*existing) continue;
    const auto there = cli::count_records(*sides.target, **existing, clock.in(seconds(60)));
    if (!there || *there > 0) {
      refused += "\n  " + name + ": the target's " + model::to_string(target.name) + " holds " +
                 (there ? cli::grouped(*there) : std::string("some")) + " records already";
    }
  }
  if (session.options.json && session.options.dry_run)
    out << cli::pretty(
        boost::json::object{{"plan", std::move(plans)}, {"left_out", cli::json_of(sides.left_out)}});
  if (!session.options.json) {
    for (const auto& one : sides.left_out) {
      out << model::to_string(one.name) << "\n  LEFT OUT "
          << cli::wrap(std::string(11, ' ') + one.why, session.terminal.width(), 11).substr(11)
          << "\n  fix      "
          << cli::wrap(std::string(11, ' ') + one.remedy, session.terminal.width(), 11).substr(11) << '\n';
    }
  }
  if (refused.empty()) return std::nullopt;
  return Failure{cli::exit_precondition, "this cannot be copied as it stands; nothing was changed:" + refused,
                 "Leave them out with --collection, or make room on the target"};
}

}  // namespace vmproxy::app
