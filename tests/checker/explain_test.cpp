#include <catch2/catch.hpp>

#include "real_register.h"
#include "tests/checker/check.h"

using namespace vmproxy::checker;

TEST_CASE("an anomaly in a long history is explained in a few records") {
  RealRegister real(7, {.processes = 4, .operations = 600, .plain = true});
  History history = real.history();
  const Time at = real.end() + 1000;
  history.add(
      Operation{.process = "w", .key = "k", .kind = Kind::write, .value = "old", .call = at, .ret = at + 1});
  history.add(Operation{
      .process = "w", .key = "k", .kind = Kind::write, .value = "new", .call = at + 2, .ret = at + 3});
  history.add(Operation{.process = "r", .key = "k", .value = "old", .call = at + 4, .ret = at + 5});
  const Report report = check(history);
  INFO(to_text(report));
  REQUIRE(report.of(Rule::linearizability).anomalies == 1);
  const Anomaly& anomaly = report.anomalies.at(0);
  CHECK(anomaly.records.size() == 3);
  CHECK(anomaly.records_left_out == 0);
}

TEST_CASE("where a write depends on what it finds, reads are left out, writes are not") {
  History history;
  const auto add = [&](Kind kind, std::optional<std::string_view> value, Time call) {
    history.add(Operation{.process = "p" + std::to_string(call),
                          .key = "k",
                          .kind = kind,
                          .value = value,
                          .call = call,
                          .ret = call + 1});
  };
  add(Kind::write_if_absent, "a", 1);
  for (Time time = 10; time < 100; time += 2) add(Kind::read, "a", time);
  add(Kind::write_if_absent, "b", 200);
  add(Kind::read, "b", 202);
  const Report report = check(history);
  INFO(to_text(report));
  REQUIRE(report.of(Rule::linearizability).anomalies == 1);
  CHECK(report.anomalies.at(0).records.size() == 3);
}
