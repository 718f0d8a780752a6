#include <catch2/catch.hpp>

#include "lines_file.h"
#include "real_register.h"
#include "story.h"

using namespace vmproxy::checker;

namespace {

Story long_story() {
  Story story;
  for (Time time = 0; time < 1000; time += 4) {
    const std::string value = std::to_string(time);
    story.write("w", value, time, time + 1).read("r", value, time + 2, time + 3);
  }
  return story;
}

}  // namespace

TEST_CASE("a search that gives up is never clean") {
  Limits limits;
  limits.states_per_key = 5;
  const Report report = check(long_story().history, limits);
  CHECK(report.verdict() == Verdict::gave_up);
  CHECK(report.of(Rule::linearizability).gave_up == 1);
  CHECK(report.gave_up_keys == std::vector<std::string>{"k"});
  CHECK(to_text(report).find("verdict: gave_up") == 0);
  CHECK(check(long_story().history).verdict() == Verdict::clean);
}

TEST_CASE("an anomaly outweighs a search that gave up") {
  Limits limits;
  limits.states_per_key = 5;
  Story story = long_story();
  story.request(Request::By::seen, "r");
  CHECK(check(story.history, limits).verdict() == Verdict::anomaly);
}

TEST_CASE("the states of all searches together are bounded, and quiet keys are checked all the same") {
  Limits limits;
  limits.states_total = 1;
  CHECK(check(long_story().history, limits).verdict() == Verdict::clean);
}

TEST_CASE("all anomalies are counted, some are described") {
  History history;
  for (int key = 0; key < 50; ++key)
    history.add(Operation{.process = "r", .key = std::to_string(key), .value = "x", .call = 1, .ret = 2});
  const Report report = check(history);
  CHECK(report.of(Rule::linearizability).checked == 50);
  CHECK(report.of(Rule::linearizability).anomalies == 50);
  CHECK(report.anomalies.size() == 10);
}

TEST_CASE("the parts of a history say together what the whole says") {
  const auto fill = [](History& history) {
    std::vector<std::string_view> none;
    for (uint64_t key = 0; key < 40; ++key) {
      RealRegister real(key, {.operations = 20});
      const std::string name = "key" + std::to_string(key);
      for (Operation operation : real.operations()) {
        operation.key = name;
        history.add(operation);
      }
      const std::string value = "final" + std::to_string(key % 3);
      history.add(Final{.side = "source", .key = name, .value = value});
      history.add(Request{.by = Request::By::seen, .side = "source", .request = name});
    }
    history.add(Execution{.side = "source", .epoch = 1, .key = "key1", .call = 1, .ret = 2});
    history.add(Execution{.side = "target", .epoch = 1, .key = "key2", .call = 3, .ret = 4});
    history.add(Scan{.process = "s", .prefix = "", .keys = none, .call = 1'000'000, .ret = 1'000'001});
  };
  History whole;
  fill(whole);
  const Report expected = check(whole);
  REQUIRE(expected.of(Rule::two_primaries).anomalies > 0);
  Report together;
  for (uint32_t index = 0; index < 3; ++index) {
    History part(Part{index, 3});
    fill(part);
    together.merge(check(part), Limits().details_per_rule);
  }
  for (size_t i = 0; i < rule_count; ++i) {
    INFO(name_of(static_cast<Rule>(i)));
    CHECK(together.rules[i].checked == expected.rules[i].checked);
    CHECK(together.rules[i].anomalies == expected.rules[i].anomalies);
  }
  CHECK(together.keys == expected.keys);
  CHECK(together.counts.reads == expected.counts.reads);
  CHECK(together.counts.scans == expected.counts.scans);
}

TEST_CASE("a rule that had nothing to check says so") {
  const std::string text = to_text(check(Story().write("w", "a", 1, 2).history));
  CHECK(text.find("set_lost            nothing to check") != std::string::npos);
  CHECK(text.find("linearizability     1") != std::string::npos);
}

TEST_CASE("the report as JSON") {
  const std::string json = to_json(check(Story().request(Request::By::seen, "a\"b").history));
  CHECK(json.find(R"("verdict":"anomaly")") != std::string::npos);
  CHECK(json.find(R"("request_not_sent":{"anomalies":1,"checked":1,"gave_up":0})") != std::string::npos);
}
