// One primary in each epoch, and epochs that only grow.
#include "tests/checker/describe.h"
#include "tests/checker/rules.h"

namespace vmproxy::checker {
namespace {

using Sides = History::Reigns::mapped_type;

struct Place {
  uint32_t epoch = 0;
  uint16_t side = 0;
  const Reign::Example* example = nullptr;
};

Place called_last(uint32_t epoch, const Sides& sides) {
  Place last;
  for (const auto& [side, reign] : sides) {
    if (!last.example || reign.latest_call.call > last.example->call)
      last = {epoch, side, &reign.latest_call};
  }
  return last;
}

Place ended_first(uint32_t epoch, const Sides& sides) {
  Place first;
  for (const auto& [side, reign] : sides) {
    if (!first.example || reign.earliest_ret.ret < first.example->ret)
      first = {epoch, side, &reign.earliest_ret};
  }
  return first;
}

void two_primaries(const History& history, uint32_t epoch, const Sides& sides, Findings& findings) {
  if (!findings.found(Rule::two_primaries)) return;
  std::string what = "in epoch " + std::to_string(epoch);
  std::vector<Shown> records;
  for (const auto& [side, reign] : sides) {
    what += (records.empty() ? " " : ", ") + history.sides().text_of(side) + " executed " +
            std::to_string(reign.executions);
    records.push_back(describe(history, epoch, side, reign.latest_call));
  }
  findings.describe(Rule::two_primaries, "", std::move(what), std::move(records));
}

void epoch_backwards(const History& history, const Place& early, const Place& late, Findings& findings) {
  if (!findings.found(Rule::epoch_backwards)) return;
  findings.describe(Rule::epoch_backwards, "",
                    "a write of epoch " + std::to_string(late.epoch) + " began after one of epoch " +
                        std::to_string(early.epoch) + " had ended",
                    {describe(history, early.epoch, early.side, *early.example),
                     describe(history, late.epoch, late.side, *late.example)});
}

}  // namespace

void check_primaries(const History& history, Findings& findings) {
  Place early;  // of all later epochs: the execution that ended first
  for (auto at = history.reigns().rbegin(); at != history.reigns().rend(); ++at) {
    const auto& [epoch, sides] = *at;
    findings.checked(Rule::two_primaries);
    findings.checked(Rule::epoch_backwards);
    if (sides.size() > 1) two_primaries(history, epoch, sides, findings);
    const Place late = called_last(epoch, sides);
    if (early.example && late.example->call > early.example->ret)
      epoch_backwards(history, early, late, findings);
    const Place first = ended_first(epoch, sides);
    if (!early.example || first.example->ret < early.example->ret) early = first;
  }
}

}  // namespace vmproxy::checker
