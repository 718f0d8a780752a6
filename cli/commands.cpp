#include "cli/commands.h"

#include <unistd.h>

#include "cli/faults.h"
#include "cli/format.h"
#include "cli/status_view.h"
#include "cli/wait.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

using std::chrono::seconds;

// A promotion waits for lanes, a fence and the disk.
constexpr Duration switch_timeout = seconds(120);
constexpr size_t differences_shown = 100;

std::string path_of(const std::string& migration, const std::string& rest = "") {
  return "/api/v1/migrations/" + net::percent_encode(migration) + rest;
}

// Who asks, why, and what shall be skipped.
json::object actor(const Session& session) {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  json::object body{
      {"who", session.program.variable("USER").value_or("uid " + std::to_string(::getuid())) + "@" + host}};
  if (!session.options.reason.empty()) body["reason"] = session.options.reason;
  if (!session.options.force.empty()) {
    json::array names;
    for (const auto& name : session.options.force) names.emplace_back(name);
    body["force"] = std::move(names);
  }
  return body;
}

// A command about one migration: finds out which, then goes on.
template <class Run>
RemoteCommand on_migration(Run run) {
  return [run](Session& session, AdminClient& client) -> Ending {
    const auto name = client.migration(session.options.migration);
    if (!name) return name.error();
    return run(session, client, *name);
  };
}

Ending shown(Session& session, const Answer& answer) {
  if (!answer) return answer.error();
  show_status(session, *answer);
  return std::nullopt;
}

// What is in quarantine was not compared, and is missing on the other side.
Ending refused_part(const json::object& status) {
  const uint64_t refused = count_at(status, "quarantined");
  if (refused == 0) return std::nullopt;
  const std::string side = text_at(status, "primary") == "target" ? "source" : "target";
  return Failure{exit_differences,
                 "the " + side + " lacks " + count(refused, "change", "changes") +
                     " that it refused, or that cannot be read; they are in quarantine and were not compared",
                 "See which, and why: vmproxy quarantine list"};
}

Ending start(Session& session, AdminClient& client, const std::string& name) {
  json::object body = actor(session);
  body["until"] = session.options.until;
  auto answer = client.post(path_of(name, "/start"), body, seconds(60));
  if (!answer) return answer.error();
  if (session.options.no_wait) return shown(session, answer);
  answer = wait_for(session, client, until_state(name, session.options.until, session.options.timeout));
  session.terminal.clear_progress();
  auto ending = shown(session, answer);
  return ending ? ending : refused_part(*answer);
}

// Commands without a name take the only migration; status shows all when there are several.
Ending all_statuses(Session& session, AdminClient& client) {
  const auto answer = client.get("/api/v1/status");
  if (!answer) return answer.error();
  const auto& migrations = array_at(*answer, "migrations");
  if (migrations.size() == 1 && migrations[0].is_object()) {
    show_status(session, migrations[0].get_object());
    return std::nullopt;
  }
  if (session.options.json) {
    session.terminal.out() << pretty(*answer);
    return std::nullopt;
  }
  for (size_t i = 0; i < migrations.size(); ++i) {
    if (i > 0) session.terminal.out() << '\n';
    if (migrations[i].is_object()) show_status(session, migrations[i].get_object());
  }
  if (migrations.empty()) session.terminal.say("no migration is configured");
  return std::nullopt;
}

Ending status_once(Session& session, AdminClient& client) {
  if (session.options.migration.empty()) return all_statuses(session, client);
  const auto name = client.migration(session.options.migration);
  if (!name) return name.error();
  return shown(session, client.get(path_of(*name)));
}

Ending status(Session& session, AdminClient& client) {
  if (!session.options.wait_state.empty()) {
    const auto name = client.migration(session.options.migration);
    if (!name) return name.error();
    const auto answer =
        wait_for(session, client, until_state(*name, session.options.wait_state, session.options.timeout));
    session.terminal.clear_progress();
    return shown(session, answer);
  }
  while (true) {
    if (session.options.watch) session.terminal.clear_screen();
    auto ending = status_once(session, client);
    if (!session.options.watch) return ending;
    if (ending && ending->code != exit_unreachable) return ending;
    if (ending) session.terminal.say(ending->text);  // it may come back: go on watching
    session.terminal.out() << std::flush;
    session.program.pause(seconds(1));
    if (session.interrupted()) return Failure{exit_interrupted, "", ""};
  }
}

RemoteCommand backfill(const std::string& order) {
  return on_migration([order](Session& session, AdminClient& client, const std::string& name) {
    json::object body = actor(session);
    body["order"] = order;
    if (order == "throttle") body["rate"] = session.options.rate;
    return shown(session, client.post(path_of(name, "/backfill"), body));
  });
}

Ending print_validation(Session& session, AdminClient& client, const std::string& name, json::object status) {
  json::array differences;
  if (session.options.show_diffs) {
    const auto answer =
        client.get(path_of(name, "/differences?limit=" + std::to_string(differences_shown)), seconds(60));
    if (!answer) return answer.error();
    differences = array_at(*answer, "differences");
  }
  const uint64_t different = count_at(status, "validation.different"),
                 missing = count_at(status, "validation.missing"),
                 extra = count_at(status, "validation.extra");
  const std::string phase = text_at(status, "validation.phase");
  auto& out = session.terminal.out();
  if (session.options.json) {
    if (session.options.show_diffs) status["differences"] = differences;
    out << pretty(status);
  } else {
    out << grouped(count_at(status, "validation.compared")) << " compared: " << grouped(different)
        << " different, " << grouped(missing) << " missing, " << grouped(extra) << " extra"
        << unsettled_part(status) << '\n';
    if (const auto names = left_behind_names(status); !names.empty())
      out << "not compared, as the source has dropped them and the target still has them: " << names << '\n';
    for (const auto& item : differences) {
      if (!item.is_object()) continue;
      const auto& d = item.get_object();
      out << text_at(d, "kind") << '\t' << text_at(d, "collection") << '\t' << text_at(d, "key") << '\t'
          << text_at(d, "detail") << '\n';
    }
    if (differences.size() == differences_shown)
      session.terminal.say("only the first " + std::to_string(differences_shown) + " are listed");
  }
  if (phase == "failed") {
    const std::string code =
        text_at(status, "work.code");  // of a database that cannot be reached, for example
    return Failure{code.empty() ? exit_error : exit_of(code_from(code)),
                   "the comparison failed: " + text_at(status, "validation.reason"),
                   "Run it again with: vmproxy validate"};
  }
  if (phase == "clean" || phase == "running" || different + missing + extra == 0) return refused_part(status);
  const std::string why = text_at(status, "validation.reason");
  return Failure{exit_differences, "the two sides differ" + (why.empty() ? "" : ": " + why),
                 session.options.repair
                     ? "What could not be repaired is listed by: vmproxy validate --show-diffs"
                     : "Mend it with: vmproxy validate --repair"};
}

Ending validate(Session& session, AdminClient& client, const std::string& name) {
  json::object body = actor(session);
  if (session.options.sample) body["sample"] = *session.options.sample;
  if (session.options.full) body["full"] = true;
  if (session.options.repair) body["repair"] = true;
  auto answer = client.post(path_of(name, "/validate"), body, seconds(60));
  if (!answer) return answer.error();
  if (session.options.no_wait) return shown(session, answer);
  const uint64_t asked = count_at(*answer, "validation.request");
  const auto finished = [asked](const json::object& status, TimePoint) -> Decision {
    if (count_at(status, "validation.request") != asked) {
      return {false,
              Failure{exit_error,
                      "the comparison that was asked for has ended, and what it found is not known any "
                      "more: vmproxy was started again, or somebody asked for another one",
                      "Run it again with: vmproxy validate"}};
    }
    const std::string phase = text_at(status, "validation.phase");
    if (phase == "clean" || phase == "different") return {true, std::nullopt};
    // A failure is whole once the work has told its kind; one that ended the migration has none.
    const std::string state = text_at(status, "state");
    const bool ended = state == "abandoned" || state == "finalized";
    if (phase == "failed" && (ended || !text_at(status, "work.problem").empty())) return {true, std::nullopt};
    return {false, work_stopped(status)};
  };
  answer = wait_for(session, client, {name, session.options.timeout, "compared", finished});
  session.terminal.clear_progress();
  if (!answer) return answer.error();
  return print_validation(session, client, name, std::move(*answer));
}

Ending cutover(Session& session, AdminClient& client, const std::string& name) {
  json::object body = actor(session);
  body["percent"] = session.options.percent;
  return shown(session, client.post(path_of(name, "/cutover"), body, seconds(60)));
}

// Nothing: go on.
Ending ask(Session& session, const std::string& what, const std::string& word) {
  if (session.options.yes) return std::nullopt;
  Terminal& terminal = session.terminal;
  if (!terminal.can_ask()) {
    return Failure{exit_refused,
                   "'" + session.options.command +
                       "' asks before it goes on, and nobody can answer here; nothing was changed",
                   "Say so beforehand with --yes"};
  }
  terminal.say(what);
  if (terminal.confirm("Type '" + word + "' to go on:", word)) return std::nullopt;
  return Failure{exit_refused, "not confirmed; nothing was changed", ""};
}

std::string consequence(const std::string& action, const json::object& status) {
  const std::string source = text_at(status, "source"), target = text_at(status, "target");
  if (action == "promote") {
    return "Writes go to " + target + " from now on, and " + source +
           " becomes the mirror.\nApplications wait for a moment, they see no error.\nThe way back stays "
           "open: vmproxy rollback";
  }
  if (action == "finalize")
    return "The migration ends with " + target + " as home. " + source +
           " gets no writes any more: THE WAY BACK CLOSES.";
  return "The migration ends with " + source + " as home. " + target +
         " gets no writes any more; what is there stays there.";
}

RemoteCommand step(const std::string& action, bool asks) {
  return on_migration(
      [action, asks](Session& session, AdminClient& client, const std::string& name) -> Ending {
        if (asks && !session.options.yes) {
          const auto now = client.get(path_of(name));
          if (!now) return now.error();
          // What cannot be taken back wants more than a habit of the fingers.
          if (auto refused = ask(session, consequence(action, *now), action == "promote" ? "yes" : name))
            return refused;
        }
        return shown(session, client.post(path_of(name, "/" + action), actor(session), switch_timeout));
      });
}

Ending quarantine_list(Session& session, AdminClient& client, const std::string& name) {
  const auto answer = client.get(path_of(name, "/quarantine"));
  if (!answer) return answer.error();
  auto& out = session.terminal.out();
  if (session.options.json) {
    out << pretty(*answer);
    return std::nullopt;
  }
  for (const auto& item : array_at(*answer, "quarantine")) {
    if (!item.is_object()) continue;
    const auto& e = item.get_object();
    out << count_at(e, "number") << '\t' << text_at(e, "since") << '\t' << text_at(e, "collection") << '\t'
        << text_at(e, "key") << '\t' << text_at(e, "reason") << '\n';
  }
  const size_t shown = array_at(*answer, "quarantine").size();
  if (shown == 0) session.terminal.say("nothing is quarantined");
  if (const uint64_t total = count_at(*answer, "total"); shown > 0 && total > shown) {
    session.terminal.say("these are the first " + grouped(shown) + " of " + grouped(total) +
                         "; the next ones show when these are retried or dropped");
  }
  return std::nullopt;
}

// A number that is not there is a mistake in the command line, as the name of a migration would be.
Failure of_number(Failure failure) {
  if (failure.cause == Code::not_found) {
    failure.code = exit_usage;
    failure.next = "The numbers are shown by: vmproxy quarantine list";
  }
  return failure;
}

Ending quarantine_show(Session& session, AdminClient& client, const std::string& name) {
  const auto answer = client.get(path_of(name, "/quarantine/" + std::to_string(*session.options.number)));
  if (!answer) return of_number(answer.error());
  session.terminal.out() << pretty(*answer);
  return std::nullopt;
}

RemoteCommand quarantine_change(const std::string& order) {
  return on_migration([order](Session& session, AdminClient& client, const std::string& name) -> Ending {
    json::object body = actor(session);
    body["order"] = order;
    if (session.options.number) body["number"] = *session.options.number;
    if (order == "drop") {
      const std::string number = std::to_string(*session.options.number);
      if (auto refused =
              ask(session, "Change " + number + " is given up: the two sides stay different there.", number))
        return refused;
    }
    const auto answer = client.post(path_of(name, "/quarantine"), body, seconds(60));
    if (!answer && session.options.number) return of_number(answer.error());
    return shown(session, answer);
  });
}

Ending journal_stats(Session& session, AdminClient& client, const std::string& name) {
  const auto answer = client.get(path_of(name, "/journal"));
  if (!answer) return answer.error();
  return show_journal(session, *answer);
}

Ending journal_verify(Session& session, AdminClient& client, const std::string& name) {
  session.terminal.progress("reading the journal", true);
  const auto answer = client.post(path_of(name, "/journal/verify"), {}, std::chrono::hours(1));
  session.terminal.clear_progress();
  if (!answer) return answer.error();
  return show_journal(session, *answer);
}

}  // namespace

void show_status(Session& session, const json::object& status) {
  session.terminal.out() << (session.options.json ? pretty(status) : status_screen(status, session.terminal));
}

Ending show_journal(Session& session, const json::object& figures) {
  auto& out = session.terminal.out();
  const auto& problems = array_at(figures, "problems");
  if (session.options.json) {
    out << pretty(figures);
  } else {
    for (const auto& figure : figures) {
      if (figure.key() == "problems") continue;
      const std::string name(figure.key());
      const auto& value = figure.value();
      std::string text = value.is_string() ? std::string(value.get_string()) : json::serialize(value);
      if (name == "bytes") text = bytes(count_at(figures, "bytes"));
      if (name.find("seconds") != std::string::npos && value.is_number())
        text = std::to_string(value.to_number<double>() * 1000) + " ms";
      out << name << std::string(name.size() < 20 ? 20 - name.size() : 1, ' ') << text << '\n';
    }
    for (const auto& problem : problems)
      out << "problem: "
          << (problem.is_string() ? std::string(problem.get_string()) : json::serialize(problem)) << '\n';
    if (figures.contains("problems") && problems.empty()) out << "no problems\n";
  }
  if (problems.empty()) return std::nullopt;
  return Failure{exit_error, "the journal is damaged: " + count(problems.size(), "problem", "problems"),
                 "The primary database has every acknowledged write. Mirror it anew with a full comparison: "
                 "vmproxy validate --full --repair"};
}

std::string pretty_version(const std::string& version) {
  return pretty(json::object{{"version", version}});
}

const std::map<std::string, RemoteCommand>& remote_commands() {
  static const std::map<std::string, RemoteCommand> commands{
      {"start", on_migration(start)},
      {"status", status},
      {"backfill pause", backfill("pause")},
      {"backfill resume", backfill("resume")},
      {"backfill throttle", backfill("throttle")},
      {"validate", on_migration(validate)},
      {"cutover", on_migration(cutover)},
      {"promote", step("promote", true)},
      {"rollback", step("rollback", false)},
      {"finalize", step("finalize", true)},
      {"abandon", step("abandon", true)},
      {"quarantine list", on_migration(quarantine_list)},
      {"quarantine show", on_migration(quarantine_show)},
      {"quarantine retry", quarantine_change("retry")},
      {"quarantine drop", quarantine_change("drop")},
      {"journal stats", on_migration(journal_stats)},
      {"journal verify", on_migration(journal_verify)},
      {"debug faults", faults},
  };
  return commands;
}

}  // namespace vmproxy::cli
