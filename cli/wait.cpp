#include "cli/wait.h"

#include "base/seconds.h"
#include "cli/format.h"
#include "cli/status_view.h"

namespace vmproxy::cli {
namespace json = boost::json;
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration poll_every = milliseconds(300);
constexpr Duration line_every = seconds(10);  // where progress cannot be redrawn
constexpr Duration absence_max = seconds(30);
constexpr Duration start_trouble_max =
    seconds(10);  // of databases that cannot be reached, before anything has begun

}  // namespace

Answer wait_for(Session& session, AdminClient& client, const Wait& wait) {
  Clock& clock = session.program.clock;
  const TimePoint began = clock.now();
  TimePoint answered = began, last_line{};
  std::string last_state;
  json::object status;
  while (true) {
    auto answer = client.get("/api/v1/migrations/" + net::percent_encode(wait.migration), seconds(10));
    if (answer) {
      answered = clock.now();
      status = std::move(*answer);
      const Decision decision = wait.decide(status, clock.now());
      if (decision.failure) return *decision.failure;
      if (decision.done) return status;
      const std::string state = text_at(status, "state") + '/' + text_at(status, "backfill.phase") +
                                text_at(status, "work.problem");
      const bool news = state != last_state || clock.now() - last_line >= line_every;
      session.terminal.progress(progress_line(status), news);
      if (news) last_line = clock.now();
      last_state = state;
    } else if ((answer.error().code != exit_unreachable && answer.error().code != exit_timeout) ||
               clock.now() - answered >= absence_max) {
      return answer.error();
    } else {
      session.terminal.progress("no answer from " + client.url() + "; trying again", last_state != "away");
      last_state = "away";
    }
    if (session.interrupted()) {
      return Failure{exit_interrupted, "no longer waiting; the work itself goes on",
                     "Watch it with: vmproxy status --watch"};
    }
    if (wait.timeout && clock.now() - began >= *wait.timeout) {
      const std::string at = status.empty()
                                 ? "nothing was heard"
                                 : progress_line(status) + " (state " + text_at(status, "state") + ")";
      return Failure{exit_timeout,
                     "not " + wait.what + " after " + short_duration(seconds_of(*wait.timeout)) + ": " + at,
                     "The work itself goes on. Watch it with: vmproxy status --watch"};
    }
    session.program.pause(poll_every);
  }
}

std::optional<Failure> work_stopped(const json::object& status) {
  const std::string why = text_at(status, "work.problem");
  if (why.empty() || truth_at(status, "work.retrying")) return std::nullopt;
  const bool differs = text_at(status, "validation.phase") == "different";
  if (differs)
    return Failure{exit_differences, why,
                   "See how: vmproxy validate --show-diffs. Mend it: vmproxy validate --repair"};
  return Failure{exit_of(code_from(text_at(status, "work.code"))), why,
                 "Nothing was lost. After mending the cause, go on where it stopped with: vmproxy start"};
}

Wait until_state(const std::string& migration, const std::string& state, std::optional<Duration> timeout) {
  const int wanted = state_rank(state);
  const auto first_trouble = std::make_shared<std::optional<TimePoint>>();
  Wait wait{migration, timeout, state, nullptr};
  wait.decide = [wanted, state, first_trouble](const json::object& status, TimePoint now_is) -> Decision {
    const std::string now = text_at(status, "state");
    if (now == state || (now != "abandoned" && state != "abandoned" && state_rank(now) >= wanted))
      return {true, std::nullopt};
    if (now == "abandoned" || now == "finalized") {
      return {false,
              Failure{exit_precondition, "the migration is " + now + "; it will never be " + state, ""}};
    }
    if (auto failure = work_stopped(status)) return {false, failure};
    // A database that cannot be reached before anything has begun is a mistake in the configuration rather
    // than an outage.
    const std::string trouble = text_at(status, "work.problem");
    if (trouble.empty() || now != "created") {
      first_trouble->reset();
    } else if (!*first_trouble) {
      *first_trouble = now_is;
    } else if (now_is - **first_trouble >= start_trouble_max) {
      return {false, Failure{exit_of(code_from(text_at(status, "work.code"))), trouble,
                             "Applications are served by the source as before. vmproxy goes on trying; watch "
                             "it with: vmproxy status"}};
    }
    return {};
  };
  return wait;
}

}  // namespace vmproxy::cli
