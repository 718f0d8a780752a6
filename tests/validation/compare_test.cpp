#include <future>

#include "tests/support/no_threads.h"
#include "tests/validation/fixture.h"

using namespace vmproxy;
using namespace vmproxy::validation;

using Lines = std::vector<std::string>;

TEST_CASE("equal sides are clean, and every record was compared in both directions") {
  Compare at;
  at.fill(500);
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->compared == 500);
  CHECK(report->looked_up == 500);
  CHECK(report->total == 1000);
  CHECK(at.found().empty());
}

TEST_CASE("two empty sides are clean") {
  Compare at;
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
}

TEST_CASE("H24: missing, different and extra records are all found, also when both sides hold equally many") {
  Compare at;
  at.fill(300);
  at.remove_target(17);
  at.put_target(record_of("unknown"));
  at.put_target(record_of(FakeDatabase::name(40), 2));
  auto report = at.run();
  REQUIRE(report);
  CHECK_FALSE(report->clean());
  CHECK(report->missing == 1);
  CHECK(report->extra == 1);
  CHECK(report->different == 1);
  CHECK(at.found() == Lines{"different r000040", "extra unknown", "missing r000017"});
  const auto findings = at.validation->findings(10).value();
  const auto different = std::find_if(findings.begin(), findings.end(),
                                      [](const auto& finding) { return finding.kind == "different"; });
  CHECK(different->collection == "things");
  CHECK(different->detail.find("(source / target)") != std::string::npos);
  CHECK(at.metrics.render().find("vmproxy_validation_different 3") != std::string::npos);
}

TEST_CASE("two migrations of one process have each their own figure of differences") {
  Compare at;
  at.fill(3);
  at.remove_target(1);
  Validation one(*at.journal, at.source, at.target, *at.sink, at.clock, at.random, at.metrics,
                 {{"migration", "one"}});
  Validation two(*at.journal, at.source, at.target, *at.sink, at.clock, at.random, at.metrics,
                 {{"migration", "two"}});
  REQUIRE(one.run(at.jobs(), Side::source, at.options, "one"));
  at.put_target(record_of(FakeDatabase::name(1)));
  REQUIRE(two.run(at.jobs(), Side::source, at.options, "two"));
  const auto text = at.metrics.render();
  CHECK(text.find("vmproxy_validation_different{migration=\"one\"} 1\n") != std::string::npos);
  CHECK(text.find("vmproxy_validation_different{migration=\"two\"} 0\n") != std::string::npos);
}

TEST_CASE("after a promotion the target is right: what only the source has is extra") {
  Compare at;
  at.primary = Side::target;
  at.fill(100);
  at.remove_target(17);
  at.remove_source(18);
  auto report = at.run();
  REQUIRE(report);
  CHECK(at.found() == Lines{"extra r000017", "missing r000018"});
}

TEST_CASE("each part of a record is compared: vector, document, metadata") {
  Compare at;
  at.fill(20);
  auto record = record_of(FakeDatabase::name(1));
  record.vectors[""] = model::DenseVector{1.0f, 2.0f, 1.0001f};
  at.put_target(record);
  record = record_of(FakeDatabase::name(2));
  record.document = "another text";
  at.put_target(record);
  record = record_of(FakeDatabase::name(3));
  record.metadata->emplace("more", true);
  at.put_target(record);
  record = record_of(FakeDatabase::name(4));
  record.vectors[""] = model::DenseVector{1.0f, 2.0f, 1.0000001f};  // rounding is no difference
  at.put_target(record);
  auto report = at.run();
  REQUIRE(report);
  CHECK(at.found() == Lines{"different r000001", "different r000002", "different r000003"});
}

TEST_CASE("records are compared through the mapping, and what it changes by its notes is no difference") {
  Compare at(sides::everything(), sides::flat());
  for (int i = 0; i < 50; ++i) {
    auto record = record_of(FakeDatabase::name(i));
    record.metadata->emplace("nested", model::Object{{"deep", model::Array{int64_t{1}, "two", nullptr}}});
    at.put_both(record);
  }
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->looked_up == 50);
  CHECK(at.plan->losses().empty());
}

TEST_CASE(
    "H31: what the mapping loses, by its notes and counted, is no difference; what else is lost is one") {
  Compare at;
  auto schema = at.plan->source();
  schema.fields.push_back({"color", model::FieldKind::string});
  auto made = mapping::Plan::make(schema, sides::everything(), {"", "moved"}, sides::everything());
  REQUIRE(made);
  at.kill();
  at.plan = std::shared_ptr<const mapping::Plan>(std::move(*made));
  at.start();
  for (int i = 0; i < 30; ++i) {
    auto record = record_of(FakeDatabase::name(i));
    (*record.metadata)["color"] = i % 2 == 0 ? model::Value(nullptr) : model::Value("red");
    at.put_both(record);
  }
  REQUIRE(at.plan->losses().at("metadata.color: null") == 15);
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(at.plan->losses().at("metadata.color: null") == 15);  // comparing is not copying

  auto lost = record_of(FakeDatabase::name(1));
  at.put_target(lost);
  at.pass = "2";
  REQUIRE(at.run());
  CHECK(at.found() == Lines{"different r000001"});
}

TEST_CASE(
    "a key of the target that no source id can become is extra, and a repair erases it while the source is the primary") {
  model::Capabilities text = sides::flat();
  model::Schema schema = sides::collection(model::IdKind::i64);
  schema.incarnation = 1;
  Compare at(sides::everything(), text);
  auto made = mapping::Plan::make(schema, sides::everything(), {"", "moved"}, text);
  REQUIRE(made);
  at.kill();
  at.plan = std::shared_ptr<const mapping::Plan>(std::move(*made));
  at.start();
  for (int64_t i = 0; i < 30; ++i) {
    auto record = record_of("");
    record.key.id.value = i;
    at.put_both(record);
  }
  at.target.put("moved", record_of("not a number"));
  bool erased = false;
  SECTION("without repair") {}
  SECTION("with repair") {
    at.options.repair = erased = true;
  }
  SECTION("with repair, where the target is the primary") {
    at.options.repair = true;
    at.primary = Side::target;
  }
  auto report = at.run();
  REQUIRE(report);
  CHECK(at.found() == Lines{at.primary == Side::source ? "extra not a number" : "missing not a number"});
  CHECK(report->repaired == (erased ? 1 : 0));
  at.pass = "2";
  auto again = at.run();
  REQUIRE(again);
  CHECK(again->clean() == erased);
  CHECK(at.target.rows("moved").size() == (erased ? 30 : 31));
}

TEST_CASE("repair hands every difference to the mirror, and the next pass is clean") {
  Compare at;
  at.fill(200);
  at.options.repair = true;
  at.remove_target(3);
  at.put_target(record_of(FakeDatabase::name(4), 9));
  at.put_target(record_of("unknown"));
  auto first = at.run();
  REQUIRE(first);
  CHECK_FALSE(first->clean());
  CHECK(first->differences() == 3);
  CHECK(first->repaired == 3);
  at.pass = "2";
  auto second = at.run();
  REQUIRE(second);
  CHECK(second->clean());
  CHECK(at.found().empty());
}

TEST_CASE("what the source cannot show of a record is a difference until the record is in quarantine") {
  Compare at;
  at.fill(60);
  const auto changed = key_of(FakeDatabase::name(7)), absent = key_of(FakeDatabase::name(8));
  at.source.spoil(changed, Error(Code::corrupt, "no JSON"));
  at.source.spoil(absent, Error(Code::corrupt, "no JSON"));
  at.remove_target(8);
  at.options.repair = true;
  auto first = at.run();
  REQUIRE(first);
  CHECK(first->compared == 60);
  CHECK(at.found() == Lines{"different r000007", "missing r000008"});
  CHECK(first->extra == 0);
  for (const auto& finding : at.validation->findings(10).value())
    CHECK(finding.detail.find("cannot be read") != std::string::npos);
  at.pass = "2";
  auto second = at.run();
  REQUIRE(second);
  CHECK(second->clean());
  CHECK(second->compared == 60);
  CHECK(at.sink->repaired().size() == 2);
}

TEST_CASE(
    "what one side cannot show differs among single keys too, and what passes by itself is waited for") {
  Compare at;
  at.fill(3);
  const auto key = key_of(FakeDatabase::name(1));
  const auto there = at.plan->key_to_target(key).value();
  const auto compare = [&] {
    return at.validation->compare_keys(at.jobs()[0], {key, key_of(FakeDatabase::name(2))}, Side::source,
                                       at.clock.in(std::chrono::seconds(9)));
  };
  SECTION("the source") {
    at.source.spoil(key, Error(Code::corrupt, "no JSON"));
  }
  SECTION("the target") {
    at.target.spoil(there, Error(Code::corrupt, "no JSON"));
  }
  auto report = compare();
  REQUIRE(report);
  CHECK(report->different_keys == std::vector<model::Key>{key});
  at.source.spoil(key, Error(Code::unavailable, "load it"));
  CHECK(compare().error().code == Code::unavailable);
}

TEST_CASE("without repair nothing is written to either side") {
  Compare at;
  at.fill(50);
  at.remove_target(3);
  const auto before = at.target.rows("moved").size();
  REQUIRE(at.run());
  CHECK(at.sink->repaired().empty());
  CHECK(at.target.rows("moved").size() == before);
}

TEST_CASE("findings are bounded, counts are exact") {
  Compare at;
  at.fill(300);
  for (int i = 0; i < 120; ++i) at.remove_target(i);
  at.options.differences_max = 25;
  auto report = at.run();
  REQUIRE(report);
  CHECK(report->missing == 120);
  CHECK(at.found().size() == 25);
  CHECK(at.validation->findings(7).value().size() == 7);
}

TEST_CASE("a sample compares about its share, the same keys in the same pass and others in the next") {
  Compare at;
  at.fill(3000);
  at.options.sample_percent = 10;
  for (int i = 0; i < 3000; ++i) at.remove_target(i);
  auto first = at.run();
  REQUIRE(first);
  CHECK(first->compared > 200);
  CHECK(first->compared < 400);
  CHECK(first->missing == first->compared);
  const auto keys = at.found();
  at.pass = "2";
  REQUIRE(at.run());
  CHECK(at.found() != keys);
  at.pass = "1";
  REQUIRE(at.run());
  CHECK(at.found() == keys);
}

TEST_CASE("the comparison of single keys finds missing, extra, different and leaves dirty ones open") {
  Compare at;
  at.fill(10);
  at.remove_target(0);
  at.remove_source(1);
  at.put_target(record_of(FakeDatabase::name(2), 5));
  at.put_target(record_of(FakeDatabase::name(3), 5));
  at.sink->set_dirty(key_of(FakeDatabase::name(3)), true);
  std::vector<model::Key> keys;
  for (int i = 0; i < 10; ++i) keys.push_back(key_of(FakeDatabase::name(i)));
  const auto deadline = at.clock.in(std::chrono::seconds(9));
  auto report = at.validation->compare_keys(at.jobs()[0], keys, Side::source, deadline);
  REQUIRE(report);
  CHECK_FALSE(report->clean());
  CHECK(report->compared == 10);
  CHECK(report->missing == 1);
  CHECK(report->extra == 1);
  CHECK(report->different == 1);
  CHECK(report->unsettled == 1);
  auto equal = at.validation->compare_keys(at.jobs()[0], {keys[5], keys[6]}, Side::target, deadline);
  REQUIRE(equal);
  CHECK(equal->clean());
  at.target.fault = [](auto&) { return Error(Code::timeout, "too late"); };
  CHECK(at.validation->compare_keys(at.jobs()[0], keys, Side::source, deadline).error().code ==
        Code::timeout);
}

TEST_CASE(
    "with a primary that stands still the replica is read when it is ready, and what it caught up with is no difference") {
  Compare at;
  at.fill(3);
  at.source.put("things", record_of(FakeDatabase::name(0), 7));
  at.put_target(record_of(FakeDatabase::name(1), 5));
  at.sink->set_dirty(key_of(FakeDatabase::name(0)), true);
  at.sink->set_dirty(key_of(FakeDatabase::name(1)), true);
  const std::vector<model::Key> keys = {key_of(FakeDatabase::name(0)), key_of(FakeDatabase::name(1)),
                                        key_of(FakeDatabase::name(2))};
  const auto deadline = at.clock.in(std::chrono::seconds(9));
  auto report =
      at.validation->compare_keys(at.jobs()[0], keys, Side::source, deadline, [&]() -> vmproxy::Result<void> {
        at.put_target(record_of(FakeDatabase::name(0), 7));
        at.sink->set_dirty(key_of(FakeDatabase::name(0)), false);
        at.sink->set_dirty(key_of(FakeDatabase::name(1)), false);
        return {};
      });
  REQUIRE(report);
  CHECK(report->differences() == 1);  // what was owed before is no excuse
  CHECK(report->different_keys == std::vector<model::Key>{key_of(FakeDatabase::name(1))});
  CHECK(report->unsettled == 0);
  auto late = at.validation->compare_keys(
      at.jobs()[0], keys, Side::source, deadline,
      []() -> vmproxy::Result<void> { return Error(Code::timeout, "not in time"); });
  CHECK(late.error().code == Code::timeout);
}

TEST_CASE("of a primary that stands still both sides are read at once") {
  Compare at;
  at.fill(3);
  std::promise<void> followed;
  auto both = followed.get_future();
  bool in_time = false;
  at.source.after_read = [&](auto&) {
    in_time = both.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  };
  at.target.after_read = [&](auto&) { followed.set_value(); };
  auto report = at.validation->compare_keys(at.jobs()[0], {key_of(FakeDatabase::name(0))}, Side::source,
                                            at.clock.in(std::chrono::seconds(9)),
                                            [] { return vmproxy::Result<void>(); });
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(in_time);
}

TEST_CASE("a validation that gets no threads of its own is done by its caller") {
  Compare at;
  at.fill(100);
  const auto report = [&] {
    const support::NoThreads limit;
    return at.run();
  }();
  REQUIRE(report);
  CHECK(report->clean());
  CHECK(report->compared == 100);
}
