// The gates: what must hold before reads or writes move. Each says its value, its threshold and what clears it.
#include <algorithm>
#include <cstdio>

#include "base/seconds.h"
#include "cutover/migration.h"
#include "journal/rows.h"

namespace vmproxy::cutover {

using journal::Side;

namespace {

std::string seconds_text(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", seconds);
  return text;
}

std::string rate_text(double per_second) {
  char text[32];
  std::snprintf(text, sizeof text, per_second < 10 ? "%.1f/s" : "%.0f/s", per_second);
  return text;
}

// The others stand for what cannot be done, whatever is forced: nothing was copied, nothing can be made durable.
bool can_be_forced(const Gate& gate) {
  return gate.name != "backfill" && gate.name != "journal";
}

// A lag that shrinks is waited for. One that does not would be waited for for ever, and that is said (H26).
Gate lag_gate(const proxy::Mirror::Numbers& numbers, double seconds_max) {
  Gate gate{"lag", numbers.lag_seconds <= seconds_max,
            std::to_string(numbers.lag_changes) + " changes, " + seconds_text(numbers.lag_seconds) +
                (numbers.problem.empty() ? "" : " (" + numbers.problem + ")"),
            "at most " + seconds_text(seconds_max), "vmproxy status --watch"};
  if (gate.ok || !numbers.rates) return gate;
  const auto& rates = *numbers.rates;
  gate.value += (rates.seconds_left ? "; at this rate gone in " + seconds_text(*rates.seconds_left)
                                    : std::string("; at this rate never")) +
                ": applied " + rate_text(rates.applied) + ", written " + rate_text(rates.written);
  if (!rates.seconds_left && numbers.problem.empty())
    gate.clear_with =
        "more room for the other side (its processors, memory, indexes), fewer writes for a while, or another mirror.lanes";
  return gate;
}

// What holds vectors at the source and stays there.
Gate left_out_gate(const std::vector<protocols::LeftOut>& all) {
  constexpr size_t shown_max = 3;
  std::string value = std::to_string(all.size());
  for (size_t i = 0; i < all.size() && i < shown_max; ++i)
    value += (i == 0 ? ": " : "; ") + model::to_string(all[i].name) + " (" + all[i].why + "; " +
             all[i].remedy + ")";
  if (all.size() > shown_max) value += "; and " + std::to_string(all.size() - shown_max) + " more";
  return {
      "left_out", all.empty(), value, "0 that hold vectors and cannot be moved",
      "mend each, then vmproxy validate --full --repair; or name the others in the configuration's collections"};
}

// Of how many requests, and why, as a gate's value.
struct Refused {
  uint64_t count = 0;
  std::string codes;

  void add(const std::string& code, uint64_t times) {
    count += times;
    codes += (codes.empty() ? "" : ", ") + code;
  }
  std::string text() const { return std::to_string(count) + (codes.empty() ? "" : " (" + codes + ")"); }
};

// A read that the target cannot answer faithfully is an error once the source is gone. That none was seen says nothing before the
// target was asked any (H29).
Gate reads_gate(const proxy::ReadCounts& counts, double reads_percent) {
  Refused refused;
  for (const auto& [reason, count] : counts.returned_by_reason()) {
    if (proxy::ReadCounts::unanswerable(reason)) refused.add(reason, count);
  }
  if (refused.count == 0 && counts.seen() && !counts.tried())
    return {"reads", false, "0 tried on the target", "1 or more tried there, and none that it cannot answer",
            reads_percent > 0 ? "vmproxy status --watch, until the application has read"
                              : "vmproxy cutover --percent 10"};
  return {"reads", refused.count == 0, refused.text(), "no read seen that the target cannot answer",
          "vmproxy promote --force reads"};
}

Gate writes_gate(const proxy::WriteTrials& trials) {
  Refused refused;
  for (const auto& [code, count] : trials.refused_by_code()) refused.add(code, count);
  return {"writes", refused.count == 0, refused.text(), "no write seen that the target cannot carry out",
          "vmproxy promote --force writes"};
}

}  // namespace

std::vector<Gate> Migration::gates_for_reads() {
  const State state = this->state();
  const auto numbers = mirror_.numbers();
  std::vector<Gate> gates;
  const auto progress = backfill_.progress();
  gates.push_back({"backfill", state.copied,
                   state.copied ? "done"
                                : progress.phase + " " + std::to_string(progress.records) + " of " +
                                      std::to_string(progress.total),
                   "done", "vmproxy start"});
  gates.push_back({"validation", state.validated,
                   state.validated     ? "clean"
                   : unexplained_ == 0 ? "not clean"
                                       : "not clean: " + written_beside(),
                   "a clean full pass", "vmproxy validate --full --repair"});
  uint64_t open_gaps = 0;
  std::string first_gap;
  if (auto found = journal_.gaps()) {
    open_gaps = found->size();
    if (!found->empty()) first_gap = ": " + found->front().what;
  }
  gates.push_back({"gaps", open_gaps == 0, std::to_string(open_gaps) + first_gap, "0",
                   "vmproxy validate --full --repair"});
  gates.push_back({"quarantine", numbers.quarantined == 0, std::to_string(numbers.quarantined), "0",
                   "vmproxy quarantine list"});
  gates.push_back(lag_gate(numbers, seconds_of(options_.lag_max)));
  const bool debts_ok = numbers.oldest_debt_seconds <= seconds_of(options_.debt_age_max);
  gates.push_back({"debts", debts_ok, "oldest overdue for " + seconds_text(numbers.oldest_debt_seconds),
                   "at most " + seconds_text(seconds_of(options_.debt_age_max)), "vmproxy status --watch"});
  gates.push_back(left_out_gate(collections_.left_out()));
  return gates;
}

std::vector<Gate> Migration::gates_for_promotion() {
  auto gates = gates_for_reads();
  const uint64_t unknown = unknown_requests_;
  gates.push_back({"unknown_requests", unknown == 0, std::to_string(unknown),
                   "0 since the last full validation", "vmproxy validate --full"});
  gates.push_back(reads_gate(read_counts_, state().reads_percent));
  gates.push_back(writes_gate(write_trials_));
  // H54: what the target takes after the promotion must fit into the source again, or there is no way back.
  std::string one_way;
  for (const auto& collection : jobs()) {
    if (collection->plan->source().generated_ids) one_way += (one_way.empty() ? "" : ", ") + collection->key;
  }
  gates.push_back({"reverse", one_way.empty(),
                   one_way.empty() ? "the source can take every record back"
                                   : "the source makes its own ids in " + one_way,
                   "the source can hold the ids of every record", "vmproxy promote --force reverse"});
  if (auto failure = journal_.failure())
    gates.push_back(
        {"journal", false, failure->message, "writable", "free the disk; vmproxy tries again by itself"});
  return gates;
}

std::vector<Gate> Migration::gates_for_rollback() {
  const auto numbers = mirror_.numbers();
  std::vector<Gate> gates;
  gates.push_back({"quarantine", numbers.quarantined == 0, std::to_string(numbers.quarantined), "0",
                   "vmproxy quarantine list"});
  std::string ddl;
  auto looked =
      journal_.scan_rows(journal::rows::state, "ddl/", "", [&](std::string_view key, std::string_view) {
        ddl += (ddl.empty() ? "" : "; ") + std::string(key.substr(4));
        return ddl.size() < 400;
      });
  if (!looked) ddl += (ddl.empty() ? "" : "; ") + looked.error().message;
  gates.push_back(
      {"ddl", ddl.empty(), ddl.empty() ? "none" : ddl,
       "no collections created, dropped or renamed, and no partitions dropped, since the promotion",
       "vmproxy rollback --force ddl"});
  uint64_t open_gaps = 0;
  if (auto found = journal_.gaps()) open_gaps = found->size();
  gates.push_back({"gaps", open_gaps == 0, std::to_string(open_gaps), "0",
                   "vmproxy validate --full --repair; if the target is dead: vmproxy rollback --force gaps"});
  return gates;
}

// I17. Afterwards there is no way back: nothing may be left that only the way back could mend.
std::vector<Gate> Migration::gates_for_finalize() {
  const auto numbers = mirror_.numbers();
  std::vector<Gate> gates;
  const uint64_t at_risk = mirror_.quarantine().at_risk_count();
  gates.push_back({"at_risk", at_risk == 0, std::to_string(at_risk), "no record that only the journal has",
                   "vmproxy quarantine list"});
  uint64_t open_gaps = 0;
  if (auto found = journal_.gaps()) open_gaps = found->size();
  gates.push_back(
      {"gaps", open_gaps == 0, std::to_string(open_gaps), "0", "vmproxy validate --full --repair"});
  const uint64_t refused = numbers.quarantined - std::min(numbers.quarantined, at_risk);
  gates.push_back({"quarantine", refused == 0, std::to_string(refused), "0", "vmproxy quarantine list"});
  const uint64_t unknown = unknown_requests_;
  gates.push_back({"unknown_requests", unknown == 0, std::to_string(unknown),
                   "0 since the last full validation", "vmproxy validate --full"});
  const double debt_age_max = seconds_of(options_.debt_age_max);
  gates.push_back({"debts", numbers.oldest_debt_seconds <= debt_age_max,
                   "oldest overdue for " + seconds_text(numbers.oldest_debt_seconds),
                   "at most " + seconds_text(debt_age_max), "vmproxy status --watch"});
  return gates;
}

Result<void> Migration::check(const std::vector<Gate>& gates, const Actor& actor,
                              const std::string& action) const {
  std::string closed, names;
  for (const Gate& gate : gates) {
    if (gate.ok) continue;
    const bool named = std::find(actor.force.begin(), actor.force.end(), gate.name) != actor.force.end();
    if (can_be_forced(gate)) {
      names += (names.empty() ? "" : ",") + gate.name;
      if (named) continue;
    }
    closed += (closed.empty() ? "" : "; ") + gate.name + " is " + gate.value + ", must be " + gate.threshold +
              " (" + gate.clear_with + ")";
    if (named) closed += ", and --force cannot skip it";
  }
  if (closed.empty()) return {};
  return Error(Code::precondition, action + " refused, nothing changed: " + closed +
                                       (names.empty() ? "" : ". To go on in spite of it: --force " + names));
}

}  // namespace vmproxy::cutover
