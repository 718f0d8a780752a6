// Linearizability of a key, through all epochs, and whether it ends as it may.
#include <algorithm>
#include <set>

#include "tests/checker/describe.h"
#include "tests/checker/explain.h"
#include "tests/checker/rules.h"

namespace vmproxy::checker {
namespace {

// A key's operations as a register sees them; `ops` has the operation of each step.
struct Register {
  std::vector<Step> steps;
  std::vector<const Op*> ops;
};

Register register_of(const std::vector<Op>& operations) {
  Register out;
  for (const Op& op : operations) {
    if (op.outcome == Outcome::fail) continue;
    Step step;
    if (op.kind == Kind::read) {
      if (!is_answer(op)) continue;
      step = {.does = Step::Does::read,
              .optional = false,
              .value = op.value,
              .epoch = 0,
              .call = earliest_shown(op),
              .last = op.ret};
    } else {
      const bool deletes = op.kind == Kind::remove || op.kind == Kind::remove_where;
      step = {.does = op.kind == Kind::write_if_absent ? Step::Does::write_if_absent : Step::Does::write,
              .optional = op.outcome == Outcome::unknown || op.kind == Kind::remove_where,
              .value = deletes ? History::absent : op.value,
              .epoch = op.epoch,
              .call = op.call,
              .last = op.latest};
    }
    out.steps.push_back(step);
    out.ops.push_back(&op);
  }
  return out;
}

class RegisterRule {
 public:
  RegisterRule(const History& history, uint32_t key, Findings& findings)
      : history_(history), key_(key), findings_(findings), register_(register_of(history.operations(key))) {}

  void run() {
    const auto finals = history_.final_states(key_);
    const bool epochs = std::any_of(register_.steps.begin(), register_.steps.end(),
                                    [](const Step& s) { return s.epoch != 0; });
    if (!register_.steps.empty()) findings_.checked(Rule::linearizability);
    if (epochs) findings_.checked(Rule::epoch_order);
    if (!finals.empty()) findings_.checked(Rule::illegal_final);

    // A history with its end is possible only if the history is: mostly one search for each end will do.
    std::set<uint32_t> values;
    std::vector<std::pair<FinalRecord, Answer>> bad;
    for (const FinalRecord& final : finals) {
      if (!values.insert(final.value).second) continue;
      const Answer answer = search(with(final));
      if (answer != Answer::possible) bad.emplace_back(final, answer);
    }
    if (!finals.empty() && bad.empty()) return;

    const Answer answer = search(register_.steps);
    if (answer == Answer::impossible) return impossible(epochs);
    if (answer == Answer::gave_up) findings_.gave_up(Rule::linearizability, name());
    for (const auto& [final, end] : bad) judge_final(final, end);
  }

 private:
  const std::string& name() const { return history_.keys().text_of(key_); }

  Answer search(const std::vector<Step>& steps) {
    const SearchResult result = search_register(steps, findings_.states_allowed(steps.size()));
    findings_.states_used(result.states);
    return result.answer;
  }

  std::vector<Step> with(const FinalRecord& final) const {
    std::vector<Step> steps = register_.steps;
    steps.push_back({.does = Step::Does::read,
                     .optional = false,
                     .value = final.value,
                     .epoch = 0,
                     .call = never,
                     .last = never});
    return steps;
  }

  void impossible(bool epochs) {
    Rule rule = Rule::linearizability;
    if (epochs) {
      std::vector<Step> without = register_.steps;
      for (Step& step : without) step.epoch = 0;
      if (search(without) == Answer::possible) rule = Rule::epoch_order;
    }
    if (!findings_.found(rule)) return;
    findings_.describe(rule, name(),
                       rule == Rule::epoch_order
                           ? "the reads have an order only if a write takes effect after one of a later epoch"
                           : "no order of the operations explains the reads",
                       shown(explain(register_.steps), nullptr));
  }

  void judge_final(const FinalRecord& final, Answer answer) {
    if (answer == Answer::gave_up) return findings_.gave_up(Rule::illegal_final, name());
    if (!findings_.found(Rule::illegal_final)) return;
    findings_.describe(Rule::illegal_final, name(),
                       history_.sides().text_of(final.side) + " ends " +
                           text_of_value(history_, final.value) + ", which no order of the operations leaves",
                       shown(explain(with(final)), &final));
  }

  std::vector<uint32_t> explain(const std::vector<Step>& steps) const {
    return explain_impossible(steps, findings_.states_allowed(steps.size()));
  }

  std::vector<Shown> shown(const std::vector<uint32_t>& steps, const FinalRecord* final) const {
    std::vector<Shown> records;
    for (const uint32_t step : steps) {
      if (step < register_.ops.size()) records.push_back(describe(history_, key_, *register_.ops[step]));
    }
    if (final) records.push_back(describe(history_, key_, *final));
    return records;
  }

  const History& history_;
  uint32_t key_;
  Findings& findings_;
  Register register_;
};

}  // namespace

void check_register(const History& history, uint32_t key, Findings& findings) {
  RegisterRule(history, key, findings).run();
}

}  // namespace vmproxy::checker
