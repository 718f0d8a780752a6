#include "tests/backfill/fixture.h"

using namespace vmproxy;
using namespace vmproxy::backfill;

namespace {

// A sink whose pages the test answers itself, in any order.
class ByHand final : public journal::Sink {
 public:
  struct Page {
    std::vector<model::Record> records;
    std::function<void(Result<journal::BackfillDone>)> done;
  };
  void backfill(const model::CollectionName&, uint64_t, std::vector<model::Record> records,
                std::function<void(Result<journal::BackfillDone>)> done) override {
    std::lock_guard hold(mutex);
    pages.push_back({std::move(records), std::move(done)});
  }
  bool dirty(const model::CollectionName&, const model::Key&) override { return false; }
  Result<void> repair(const model::CollectionName&, const std::vector<model::Key>&) override { return {}; }
  Result<void> erase_strays(const model::CollectionName&, const std::vector<model::Key>&) override {
    return {};
  }
  size_t size() {
    std::lock_guard hold(mutex);
    return pages.size();
  }
  void answer(size_t index, const std::optional<Error>& refusal = {}) {
    Page page;
    {
      std::lock_guard hold(mutex);
      page = pages.at(index);
    }
    if (refusal) return page.done(*refusal);
    page.done(journal::BackfillDone{page.records.size(), 0, 0});
  }
  std::mutex mutex;
  std::vector<Page> pages;
};

}  // namespace

TEST_CASE(
    "H10: a copy killed at any moment goes on exactly, also with other pages and workers, in the planned "
    "ranges") {
  Copy at;
  at.source.fill("things", 600);
  for (int kill = 0; kill < 12; ++kill) {
    CAPTURE(kill);
    const uint64_t goal = at.sink->pages + 3;
    at.run_aside();
    eventually([&] { return at.sink->pages >= goal || at.backfill->progress().phase == "done"; });
    at.crash();
    at.options.batch = 5 + static_cast<size_t>(kill * 7 % 20);
    at.options.parallel = 1 + static_cast<size_t>(kill) % 5;
    at.start();
  }
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.source.plans == 1);
  // Counted once, though some were scanned more often.
  CHECK(at.backfill->progress().records == 600);
  CHECK(at.backfill->progress().total == 600);
}

TEST_CASE("a copy that is done is not scanned again after a restart") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  at.crash();
  at.start();
  REQUIRE(at.run());
  CHECK(at.source.scanned == 100);
  CHECK(at.target.indexes_built == 1);
  CHECK(at.backfill->progress().records == 100);
}

TEST_CASE("the checkpoint never passes a page that the target has not acknowledged") {
  Copy at;
  at.source.ranges_most = 1;
  at.source.fill("things", 40);
  ByHand sink;
  at.options.parallel = 1;
  {
    Backfill first(*at.journal, at.source, at.target, sink, at.clock, at.random, at.metrics, at.options);
    std::thread runs([&] { CHECK_FALSE(first.run(at.jobs(), at.generation)); });
    eventually([&] { return sink.size() == 4; });
    sink.answer(0);
    sink.answer(2);
    sink.answer(3);
    eventually([&] { return first.progress().records == 10; });
    first.stop();
    runs.join();
    CHECK(first.progress().records == 10);
  }
  // The copy is gone; a late answer finds nobody and harms nobody.
  sink.answer(1);
  REQUIRE(at.run());
  CHECK(at.sink->rows == 30);
  CHECK(at.backfill->progress().records == 40);
}

TEST_CASE("a stopped copy was stopped, also when one of its collections had failed before") {
  Copy at;
  at.source.fill("things", 10);
  at.source.fill("others", 10);
  const auto others = plan_of(at.source, at.target, "others");
  at.options.parallel = 1;
  ByHand sink;
  Backfill copy(*at.journal, at.source, at.target, sink, at.clock, at.random, at.metrics, at.options);
  Result<void> done;
  std::thread runs([&] {
    done = copy.run({{at.plan->source().name, at.plan}, {others->source().name, others}}, at.generation);
  });
  eventually([&] { return sink.size() == 1; });
  sink.answer(0, Error(Code::precondition, "it is another one by now"));
  eventually([&] { return sink.size() == 2; });  // the next collection's
  copy.stop();
  runs.join();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::cancelled);
  CHECK(copy.progress().phase == "stopped");
}

TEST_CASE("a resume with another mapping refuses, says what changed, and touches nothing") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  FakeDatabase other(sides::flat());
  auto plan = plan_of(at.source, other);
  REQUIRE(plan->hash() != at.plan->hash());
  auto done = at.backfill->run({{plan->source().name, plan}}, at.generation);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::precondition);
  CHECK(done.error().message.find("the mapping changed") != std::string::npos);
  CHECK(at.source.scanned == 100);
}

TEST_CASE("H20: checkpoints of a collection that was created again are refused, and forgotten on demand") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  at.kill();
  at.plan = plan_of(at.source, at.target, "things", 2);
  at.start();
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::precondition);
  CHECK(done.error().message.find("incarnation 1 then, 2 now") != std::string::npos);
  CHECK(at.source.scanned == 100);
  REQUIRE(at.backfill->forget(at.generation, at.plan->source().name));
  REQUIRE(at.run());
  CHECK(at.source.scanned == 200);
}

TEST_CASE("H20: a collection that was created again is copied from the beginning where that was chosen") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  at.kill();
  at.plan = plan_of(at.source, at.target, "things", 2);
  at.options.copy_anew = true;
  at.target.remove("moved_things", key_of(FakeDatabase::name(4)));
  at.start();
  REQUIRE(at.run());
  at.check_equal();
  CHECK(at.source.scanned == 200);
  CHECK(at.backfill->progress().records == 100);
  CHECK(at.target.indexes_built == 2);
}

TEST_CASE("another generation begins anew, and forgetting one leaves the others") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  at.generation = 4;
  REQUIRE(at.run());
  CHECK(at.source.scanned == 200);
  REQUIRE(at.backfill->forget(4));
  at.generation = 3;
  REQUIRE(at.run());
  CHECK(at.source.scanned == 200);
  at.generation = 4;
  REQUIRE(at.run());
  CHECK(at.source.scanned == 300);
}

TEST_CASE("a damaged checkpoint is an error that says what to do, not a copy with a hole") {
  Copy at;
  at.source.fill("things", 100);
  REQUIRE(at.run());
  std::string name;
  REQUIRE(at.journal->scan_rows(journal::rows::checkpoints, "", "", [&](auto key, auto) {
    name = std::string(key);
    return key.find(std::string("things\0r", 8)) == std::string_view::npos;
  }));
  REQUIRE(at.journal->commit_rows({{std::string(journal::rows::checkpoints), name, "\x01nonsense"}}));
  auto done = at.run();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::corrupt);
  CHECK(done.error().message.find("start it again") != std::string::npos);
}
