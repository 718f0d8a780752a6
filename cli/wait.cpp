#include "cli/wait.h"

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

double as_seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

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
      const Decision decision = wait.decide(status);
      if (decision.failure) return *decision.failure;
      if (decision.done) return status;
      const std::string state = text_at(status, "state") + '/' + text_at(status, "backfill.phase");
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
                     "not " + wait.what + " after " + short_duration(as_seconds(*wait.timeout)) + ": " + at,
                     "The work itself goes on. Watch it with: vmproxy status --watch"};
    }
    session.program.pause(poll_every);
  }
}

Wait until_state(const std::string& migration, const std::string& state, std::optional<Duration> timeout) {
  const int wanted = state_rank(state);
  // A failure of a run before this one may still show in the first answer: it counts when it stays.
  auto seen = std::make_shared<int>(0);
  return {
      migration, timeout, state, [wanted, state, seen](const json::object& status) -> Decision {
        const std::string now = text_at(status, "state");
        if (now == state) return {true, std::nullopt};
        if (now == "abandoned")
          return {false,
                  Failure{exit_precondition, "the migration was abandoned; it will never be " + state, ""}};
        if (state != "abandoned" && state_rank(now) >= wanted) return {true, std::nullopt};
        if (now == "finalized")
          return {false,
                  Failure{exit_precondition, "the migration is finalized; it will never be " + state, ""}};
        const bool copy_failed = text_at(status, "backfill.phase") == "failed";
        const std::string compared = text_at(status, "validation.phase");
        const bool wants_agreement = wanted >= state_rank("ready");
        const bool disagrees =
            wants_agreement && (compared == "failed" || (compared == "different" && now == "validating"));
        *seen = copy_failed || disagrees ? *seen + 1 : 0;
        if (*seen < 3) return {};
        if (copy_failed) {
          return {false, Failure{exit_error, "the copy failed: " + text_at(status, "backfill.reason"),
                                 "The source is as it was. After mending the cause, go on where it stopped "
                                 "with: vmproxy start"}};
        }
        if (compared == "failed") {
          return {false, Failure{exit_error, "the comparison failed: " + text_at(status, "validation.reason"),
                                 "Run it again with: vmproxy validate"}};
        }
        return {false, Failure{exit_differences, "the two sides differ",
                               "See how: vmproxy validate --show-diffs. Mend it: vmproxy validate --repair"}};
      }};
}

}  // namespace vmproxy::cli
