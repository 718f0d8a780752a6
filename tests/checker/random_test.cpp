#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "brute_force.h"
#include "real_register.h"
#include "tests/checker/check.h"

using namespace vmproxy::checker;

namespace {

Report check_with_end(const RealRegister& real) {
  History history = real.history();
  history.add(Final{.side = "source", .key = "k", .value = real.end_value()});
  history.add(Final{.side = "target", .key = "k", .value = real.end_value()});
  std::vector<std::string_view> keys;
  if (real.end_value()) keys.push_back("k");
  // Unknown writes that never executed might still, so nothing here is too late for them.
  history.add(Scan{.process = "scanner",
                   .prefix = "",
                   .keys = keys,
                   .call = real.end(),
                   .ret = real.end() + 1,
                   .partial = false});
  return check(history);
}

// A value that no order of the writes makes current while the read is under way: its only writer was called after the
// read had ended, or had certainly ended before another write began that had ended before the read was called.
std::optional<std::string_view> never_current(const std::vector<Operation>& all, const Operation& read,
                                              uint64_t choice) {
  std::vector<std::string_view> values;
  for (const Operation& writer : all) {
    if (writer.kind != Kind::write) continue;
    const Time latest = writer.outcome == Outcome::unknown ? writer.latest : writer.ret;
    const bool too_late = writer.call > read.ret || writer.outcome == Outcome::fail;
    const bool overwritten = std::any_of(all.begin(), all.end(), [&](const Operation& other) {
      return (other.kind == Kind::write || other.kind == Kind::remove) && other.outcome == Outcome::ok &&
             latest < other.call && other.ret < read.call - read.stale;
    });
    if (too_late || overwritten) values.push_back(*writer.value);
  }
  if (values.empty()) return std::nullopt;
  return values[choice % values.size()];
}

Step random_step(std::mt19937_64& random, bool epochs) {
  const auto below = [&](uint64_t bound) { return random() % bound; };
  Step step;
  const uint64_t does = below(10);
  step.does = does < 5 ? Step::Does::read : does < 9 ? Step::Does::write : Step::Does::write_if_absent;
  step.value = static_cast<uint32_t>(below(3));
  if (step.does == Step::Does::write_if_absent) step.value = static_cast<uint32_t>(1 + below(2));
  step.call = static_cast<Time>(below(9));
  step.last = step.call + static_cast<Time>(below(6));
  if (step.does == Step::Does::read) return step;
  step.optional = below(3) == 0;
  if (step.optional && below(2) == 0) step.last = never;
  if (epochs) step.epoch = static_cast<uint32_t>(below(3));
  return step;
}

}  // namespace

TEST_CASE("histories of a real register are clean") {
  rc::prop("each value once", [](uint64_t seed) {
    const Report report = check_with_end(RealRegister(seed, {}));
    RC_LOG() << to_text(report);
    RC_ASSERT(report.verdict() == Verdict::clean);
  });
  rc::prop("few values, again and again", [](uint64_t seed) {
    const Report report = check_with_end(RealRegister(seed, {.values = 3}));
    RC_LOG() << to_text(report);
    RC_ASSERT(report.verdict() == Verdict::clean);
  });
  rc::prop("many processes", [](uint64_t seed) {
    const Report report = check_with_end(RealRegister(seed, {.processes = 12, .operations = 150}));
    RC_LOG() << to_text(report);
    RC_ASSERT(report.verdict() == Verdict::clean);
  });
}

TEST_CASE("histories that a search got lost in are clean") {
  // Conditional writes, and all optional ones tried at each step: more than a million states, where 600 will do.
  for (const uint64_t seed : {262'347'811, 10'824, 21'063, 32'609}) {
    const Report report = check_with_end(RealRegister(seed, {.processes = 12, .operations = 150}));
    INFO("seed " << seed << "\n" << to_text(report));
    CHECK(report.verdict() == Verdict::clean);
  }
}

TEST_CASE("a read of a value that was never current while it was under way is found") {
  size_t changed = 0;
  rc::prop("in any history of a real register", [&changed](uint64_t seed, uint64_t choice) {
    RealRegister real(seed, {});
    std::vector<Operation*> reads;
    for (Operation& operation : real.operations()) {
      if (operation.kind == Kind::read) reads.push_back(&operation);
    }
    if (reads.empty()) return;
    Operation& read = *reads[choice % reads.size()];
    const auto value = never_current(real.operations(), read, choice / 100);
    if (!value) return;
    read.value = value;
    ++changed;
    const Report report = check(real.history());
    RC_LOG() << to_text(report);
    RC_ASSERT(report.verdict() == Verdict::anomaly);
    RC_ASSERT(report.of(Rule::linearizability).anomalies + report.of(Rule::epoch_order).anomalies == 1U);
  });
  CHECK(changed > 50);
}

TEST_CASE("the search agrees with trying everything") {
  size_t possible = 0, impossible = 0;
  rc::prop("on tiny histories", [&](uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 100; ++round) {
      std::vector<Step> steps(2 + random() % 6);
      const bool epochs = random() % 3 == 0;
      for (Step& step : steps) step = random_step(random, epochs);
      const bool expected = possible_by_trying(steps);
      ++(expected ? possible : impossible);
      const SearchResult found = search_register(steps, 1'000'000);
      RC_ASSERT(found.answer == (expected ? Answer::possible : Answer::impossible));
    }
  });
  CHECK(possible > 500);
  CHECK(impossible > 500);
}
