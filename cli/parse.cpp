#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/examples.h"
#include "cli/options.h"
#include "config/nearest.h"
#include "config/units.h"

namespace vmproxy::cli {
namespace {

// Examples first (clig.dev), then what there is to set.
class ExamplesFirst final : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override {
    if (mode == CLI::AppFormatMode::Sub) return make_expanded(app);
    std::string out = app->get_description() + "\n\n";
    if (const std::string examples = app->get_footer(); !examples.empty())
      out += "Examples:\n" + examples + "\n";
    // The whole way to a nested command: "vmproxy backfill pause".
    name.clear();
    for (const CLI::App* part = app; part; part = part->get_parent())
      name = part->get_name() + (name.empty() ? "" : " ") + name;
    out += make_usage(app, name);
    out += make_positionals(app);
    out += make_groups(app, mode);
    out += make_subcommands(app, mode);
    if (app->get_parent()) out += "\nAlso: -c FILE, --admin URL, --token TOKEN, -o text|json, -m MIGRATION\n";
    return out;
  }
};

// What the library hands over as text, before it is checked.
struct Raw {
  std::string output = "text", timeout, rate, percent, sample, number;
  std::vector<std::string> urls, force;
  std::string from_system;
};

class Grammar {
 public:
  explicit Grammar(const std::vector<std::string>& systems);
  Parsed parse(const std::vector<std::string>& words);

 private:
  CLI::App* command(CLI::App& parent, const std::string& name, const std::string& description,
                    bool names_migration = true);
  void changes(CLI::App* app, bool asks);
  std::string unknown_words(CLI::App* chosen);
  std::string typed(CLI::App* chosen);
  std::string wrong(const CLI::App* chosen, const std::string& text) const {
    const std::string name = chosen == &app_ ? "" : options_.command + " ";
    return text + "\nSee: vmproxy " + name + "--help";
  }

  CLI::App app_{"vmproxy moves a live application from one vector database to another, and back.", "vmproxy"};
  Options options_;
  Raw raw_;
};

Grammar::Grammar(const std::vector<std::string>& systems) {
  app_.formatter(std::make_shared<ExamplesFirst>());
  app_.footer(examples_of(""));
  app_.allow_extras();
  app_.set_help_flag("-h,--help", "This help");
  app_.get_formatter()->column_width(26);
  app_.get_formatter()->label("SUBCOMMAND", "COMMAND");
  app_.add_option("-c,--config", options_.config_file, "Configuration (or $VMPROXY_CONFIG, ./vmproxy.yaml)")
      ->type_name("FILE");
  app_.add_option("--admin", options_.admin_url, "Address of the admin API (or $VMPROXY_ADMIN)")
      ->type_name("URL");
  app_.add_option("--token", options_.token, "Its token (better: $VMPROXY_TOKEN)")->type_name("TOKEN");
  app_.add_option("-o,--output", raw_.output, "text or json")->type_name("FORMAT");
  app_.add_option("-m,--migration", options_.migration, "Which one, if there are several")->type_name("NAME");

  command(app_, "serve", "Run the proxy in the foreground", false);
  command(app_, "check", "Connect to both sides and say what would not work", false);
  std::string known = "One of " + config::one_of(systems);
  auto* discover = command(app_, "discover", "Show what a database holds", false);
  discover->add_option("system", options_.system, known)->type_name("SYSTEM");
  discover->add_option("--url", raw_.urls, "Where it is; may hold ${ENV} and ${file:PATH}")
      ->type_name("URL")
      ->take_all();

  auto* start = command(app_, "start", "Mirror the writes, copy the history, compare");
  start->add_option("--until", options_.until, "mirroring, backfilling or ready (default)")
      ->type_name("STATE");
  start->add_option("--timeout", raw_.timeout, "Give up waiting after, like 10m")->type_name("TIME");
  start->add_flag("--no-wait", options_.no_wait, "Return at once; the work goes on");
  changes(start, false);

  auto* status = command(app_, "status", "Safe? How far? How long? May I switch? The way back?");
  status->add_flag("-w,--watch", options_.watch, "Show it again every second");
  status->add_option("--wait", options_.wait_state, "Wait until this state is reached")->type_name("STATE");
  status->add_option("--timeout", raw_.timeout, "With --wait: give up after, like 10m")->type_name("TIME");

  auto* backfill = command(app_, "backfill", "Pause, resume or throttle the copy", false);
  changes(command(*backfill, "pause", "Stop copying; the mirror goes on"), false);
  changes(command(*backfill, "resume", "Go on copying where it stopped"), false);
  auto* throttle = command(*backfill, "throttle", "Limit the copy to so many records per second", false);
  throttle->add_option("rate", raw_.rate, "Records per second, 0 for no limit")->type_name("RATE");
  changes(throttle, false);

  auto* validate = command(app_, "validate", "Compare both sides record by record");
  validate->add_flag("--full", options_.full, "Every record (default)");
  validate->add_option("--sample", raw_.sample, "Only this percentage of the records")->type_name("P");
  validate->add_flag("--repair", options_.repair, "Bring what differs to the primary's state");
  validate->add_flag("--show-diffs", options_.show_diffs, "List what differs");
  validate->add_option("--timeout", raw_.timeout, "Give up waiting after, like 10m")->type_name("TIME");
  validate->add_flag("--no-wait", options_.no_wait, "Return at once; the comparison goes on");
  changes(validate, false);

  auto* cutover = command(app_, "cutover", "Move a share of the reads to the target");
  cutover->add_option("--percent", raw_.percent, "0 to 100")->type_name("N");
  changes(cutover, false);
  changes(command(app_, "promote", "Move the writes to the target; the source mirrors"), true);
  changes(command(app_, "rollback", "Move reads and writes back to the source, at once"), false);
  changes(command(app_, "finalize", "End: the target is home; the way back closes"), true);
  changes(command(app_, "abandon", "End: the source stays home; the mirror stops"), true);

  auto* quarantine = command(app_, "quarantine", "Changes that the other side lacks, and why", false);
  command(*quarantine, "list", "All of them");
  command(*quarantine, "show", "One, with its payload", false)
      ->add_option("number", raw_.number, "Which one")
      ->type_name("NUMBER");
  auto* retry = command(*quarantine, "retry", "Try one again, or all", false);
  retry->add_option("number", raw_.number, "Which one; all without it")->type_name("NUMBER");
  changes(retry, false);
  auto* drop = command(*quarantine, "drop", "Give one up: the sides stay different", false);
  drop->add_option("number", raw_.number, "Which one")->type_name("NUMBER");
  changes(drop, true);

  auto* journal = command(app_, "journal", "The durable memory of a migration", false);
  command(*journal, "stats", "Its figures");
  command(*journal, "verify", "Read all of it and check it");

  auto* configuration = command(app_, "config", "The configuration", false);
  command(*configuration, "validate", "Check it, with line and column of each problem", false);

  auto* from = command(app_, "from", "Copy a whole database into another in one line", false);
  from->add_option("system", raw_.from_system, known)->type_name("SYSTEM");
  from->add_option("--to", options_.to_system, "The target's system")->type_name("SYSTEM");
  from->add_option("--url", raw_.urls, "Twice: the source's, then the target's")
      ->type_name("URL")
      ->take_all();
  from->add_option("--collection", options_.collections, "Only this one, may be a pattern; repeat it")
      ->type_name("NAME")
      ->take_all();
  from->add_flag("--dry-run", options_.dry_run, "Only show what would be done");
  auto* debug = command(app_, "debug", "For tests of vmproxy itself", false);
  command(*debug, "faults", "Places where a test can make it fail, and their hits", false);
  command(app_, "version", "Print the version", false);
}

CLI::App* Grammar::command(CLI::App& parent, const std::string& name, const std::string& description,
                           bool names_migration) {
  auto* app = parent.add_subcommand(name, description);
  app->group("Commands");
  app->fallthrough();
  app->allow_extras();
  app->formatter(parent.get_formatter());
  const std::string whole = &parent == &app_ ? name : parent.get_name() + " " + name;
  app->footer(examples_of(whole));
  if (names_migration)
    app->add_option("migration", options_.migration, "Its name, if there are several")
        ->type_name("MIGRATION");
  return app;
}

void Grammar::changes(CLI::App* app, bool asks) {
  app->add_option("--force", raw_.force, "Skip these gates (names, by comma)")
      ->type_name("NAMES")
      ->delimiter(',')
      ->take_all();
  app->add_option("--reason", options_.reason, "Why, for the audit log")->type_name("TEXT");
  app->add_flag("-y,--yes", options_.yes,
                asks ? "Do not ask" : "Accepted everywhere; this command does not ask");
}

// The first word that nothing expected, with the nearest one that something would have.
std::string Grammar::unknown_words(CLI::App* chosen) {
  const auto words = app_.remaining(true);
  if (words.empty()) return "";
  const std::string& word = words.front();
  std::vector<std::string> known;
  if (word.starts_with('-')) {
    for (const CLI::App* app = chosen; app; app = app->get_parent()) {
      for (const CLI::Option* option : app->get_options()) {
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    const std::string name = word.substr(0, word.find('='));
    const auto close = config::nearest(name, known);
    return "unknown option " + name + (close ? "; did you mean " + *close + "?" : "");
  }
  for (const CLI::App* app : chosen->get_subcommands(nullptr)) known.push_back(app->get_name());
  if (known.empty()) return "unexpected '" + word.substr(0, 80) + "'";
  const auto close = config::nearest(word, known);
  return "unknown command '" + word.substr(0, 80) + "'" +
         (close ? "; did you mean '" + *close + "'?" : "; known are " + config::one_of(known));
}

// Values that the library took as text. Empty: all are good.
std::string Grammar::typed(CLI::App* chosen) {
  const auto given = [chosen](const std::string& name) {
    const auto* option = chosen->get_option_no_throw(name);
    return option && option->count() > 0;
  };
  const std::string& name = options_.command;
  if (raw_.output != "text" && raw_.output != "json")
    return "--output must be text or json, not '" + raw_.output + "'";
  options_.json = raw_.output == "json";
  options_.force = raw_.force;
  if (given("--timeout")) {
    options_.timeout = config::parse_duration(raw_.timeout);
    if (!options_.timeout) return "--timeout must be a duration like 30s or 10m, not '" + raw_.timeout + "'";
  }
  if (name == "start" && options_.until != "mirroring" && options_.until != "backfilling" &&
      options_.until != "ready") {
    return "--until must be mirroring, backfilling or ready, not '" + options_.until + "'";
  }
  if (given("--wait") && state_rank(options_.wait_state) < 0) {
    const auto close = config::nearest(options_.wait_state, states());
    return "--wait must be " + config::one_of(states()) + ", not '" + options_.wait_state + "'" +
           (close ? "; did you mean " + *close + "?" : "");
  }
  if (name == "status" && options_.watch && !options_.wait_state.empty())
    return "--watch and --wait exclude each other";
  if (name == "status" && given("--timeout") && options_.wait_state.empty())
    return "--timeout needs --wait STATE";
  if (name == "backfill throttle") {
    const auto rate = config::parse_number(raw_.rate);
    if (!rate)
      return "RATE must be a number of records per second, 0 for no limit" +
             (raw_.rate.empty() ? "" : ", not '" + raw_.rate + "'");
    options_.rate = *rate;
  }
  if (name == "cutover") {
    const auto percent = config::parse_number(raw_.percent);
    if (!percent || *percent > 100)
      return "--percent must be a number from 0 to 100" +
             (raw_.percent.empty() ? "" : ", not '" + raw_.percent + "'");
    options_.percent = *percent;
  }
  if (given("--sample")) {
    options_.sample = config::parse_number(raw_.sample);
    if (!options_.sample || *options_.sample <= 0 || *options_.sample > 100) {
      return "--sample must be a percentage above 0 and up to 100, not '" + raw_.sample + "'";
    }
    if (options_.full) return "--full and --sample exclude each other";
  }
  if (name.rfind("quarantine", 0) == 0 && name != "quarantine list") {
    if (!raw_.number.empty()) {
      options_.number = config::parse_count(raw_.number);
      if (!options_.number)
        return "NUMBER must be one that 'vmproxy quarantine list' shows, not '" + raw_.number + "'";
    } else if (name != "quarantine retry") {
      return "which one? 'vmproxy quarantine list' shows the numbers";
    }
  }
  if (name == "discover") {
    if (options_.system.empty()) return "which system? For example: vmproxy discover SYSTEM --url URL";
    if (raw_.urls.size() != 1) return "where is it? Add --url URL once";
    options_.url = raw_.urls[0];
  }
  if (name == "from") {
    options_.system = raw_.from_system;
    if (options_.system.empty())
      return "from which system? For example: vmproxy from SYSTEM --url URL --to SYSTEM --url URL";
    if (options_.to_system.empty()) return "to which system? Add --to SYSTEM --url URL";
    if (raw_.urls.size() != 2) return "--url is needed twice: the source's, then the target's";
    options_.url = raw_.urls[0];
    options_.to_url = raw_.urls[1];
  }
  return "";
}

Parsed Grammar::parse(const std::vector<std::string>& words) {
  Parsed parsed;
  std::vector<std::string> reversed(words.rbegin(), words.rend());
  std::string failure;
  bool help = false;
  try {
    app_.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    help = true;
  } catch (const CLI::ParseError& error) {
    failure = error.what();
  }
  CLI::App* chosen = &app_;
  while (!chosen->get_subcommands().empty()) {
    chosen = chosen->get_subcommands().front();
    options_.command += (options_.command.empty() ? "" : " ") + chosen->get_name();
  }
  if (help) {
    parsed.is_help = true;
    parsed.text = chosen->help();
    return parsed;
  }
  if (failure.empty()) failure = unknown_words(chosen);
  if (failure.empty() && !chosen->get_subcommands(nullptr).empty()) {
    if (chosen == &app_) {
      parsed.text = app_.help();
      return parsed;
    }
    std::vector<std::string> known;
    for (const CLI::App* app : chosen->get_subcommands(nullptr)) known.push_back(app->get_name());
    failure = "'" + options_.command + "' needs " + config::one_of(known);
  }
  if (failure.empty()) failure = typed(chosen);
  if (failure.empty()) {
    parsed.options = std::move(options_);
  } else {
    parsed.text = wrong(chosen, failure);
  }
  return parsed;
}

}  // namespace

Parsed parse(const std::vector<std::string>& words, const std::vector<std::string>& systems) {
  return Grammar(systems).parse(words);
}

const std::vector<std::string>& states() {
  static const std::vector<std::string> names{"created",   "mirroring", "backfilling", "validating",
                                              "ready",     "canary",    "reads_moved", "promoted",
                                              "finalized", "abandoned"};
  return names;
}

int state_rank(const std::string& state) {
  const auto found = std::find(states().begin(), states().end(), state);
  return found == states().end() ? -1 : static_cast<int>(found - states().begin());
}

}  // namespace vmproxy::cli
