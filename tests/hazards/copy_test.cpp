// The copy of what was there before, while the application writes on: rows and live changes meet in the lanes.
#include "backfill/backfill.h"
#include "tests/support/rig.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Result;
namespace backfill = vmproxy::backfill;

namespace {

// A real copy over the rig's mirror.
struct Copying {
  Rig& rig;
  backfill::Backfill copy;
  std::thread thread;
  std::atomic<bool> ended{false};
  Result<void> outcome = vmproxy::Error(Code::internal, "did not run");

  static backfill::Options options(size_t batch, size_t parallel) {
    backfill::Options made;
    made.batch = batch;
    made.parallel = parallel;
    return made;
  }
  Copying(Rig& r, size_t batch, size_t parallel)
      : rig(r),
        copy(*r.journal, r.source, r.target, *r.mirror, r.clock, r.random, r.metrics,
             options(batch, parallel)) {
    thread = std::thread(
        [this, jobs = std::vector<backfill::Job>{{{"", "things"}, rig.collection()->plan}}]() mutable {
          outcome = copy.run(std::move(jobs), rig.generation);
          ended = true;
        });
  }
  ~Copying() {
    copy.stop();
    if (thread.joinable()) thread.join();
  }
  bool done() {
    return rig.eventually([&] { return ended.load(); });
  }
};

void fill(FakeDriver& source, int count) {
  for (int i = 0; i < count; ++i) source.put("k" + std::to_string(i), 1);
}

}  // namespace

TEST_CASE("H9: a deleted row is not resurrected by the copy that had read it before") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  const auto row = record_of("a", 1);  // scanned
  rig.erase("a");
  REQUIRE(rig.quiet());
  auto done = rig.copy({row});
  REQUIRE(done);
  CHECK(done->dropped == 1);
  CHECK(rig.target.rows().empty());
  CHECK(rig.target.calls(Call::insert_only) == 0);
}

TEST_CASE("H9: nor is one that a delete by filter has removed") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  const auto row = record_of("a", 1);  // scanned
  auto predicate = rig.begin_delete_where(1);
  rig.source.remove("a");
  rig.applied(std::move(predicate));
  REQUIRE(rig.quiet());
  auto done = rig.copy({row});
  REQUIRE(done);
  CHECK(done->dropped == 1);
  CHECK(rig.target.rows().empty());
}

TEST_CASE("H9: nor after a crash between the delete and the row") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  rig.erase("a");
  REQUIRE(rig.quiet());
  rig.write("b", 1);  // its sync takes along what was put before
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  auto done = rig.copy({record_of("a", 1)});
  REQUIRE(done);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"b", 1}});
}

TEST_CASE("H9: a row that waits for a replica that is away is dropped when its key is deleted meanwhile") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  rig.copy_aside({record_of("a", 1)});
  REQUIRE(rig.eventually([&] { return rig.target.calls(Call::insert_only) > 0; }));
  rig.erase("a");
  rig.target.down(std::nullopt);
  const auto done = rig.copied();
  REQUIRE(done);
  CHECK(done->dropped == 1);  // not written and then deleted again
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().empty());
}

TEST_CASE("H9: nor is a row written while the disk cannot say whether its key is owed") {
  Rig rig;
  rig.generation = 1;
  rig.start_with_debts_that_cannot_be_read();
  const auto refused = rig.copy({record_of("other", 1)});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Code::io);
  CHECK(rig.target.calls(Call::insert_only) == 0);
  rig.store->fail_reads({});
  const auto done = rig.copy({record_of("other", 1)});
  REQUIRE(done);
  CHECK(done->applied == 1);
}

TEST_CASE("H36: a rejected write does not keep its key out of the copy") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  auto ticket = rig.begin("a", 2);
  rig.rejected(std::move(ticket));
  rig.mirror->drop(rig.begin("a", 3));
  auto done = rig.copy({record_of("a", 1)});
  REQUIRE(done);
  CHECK(done->applied == 1);
  CHECK(rig.target.find("a") == 1);
}

TEST_CASE("H36: an uncertain write keeps the copy away from its key as an applied one does") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  auto ticket = rig.begin_erase("a");
  rig.source.remove("a");
  rig.uncertain(std::move(ticket));
  REQUIRE(rig.quiet());
  auto done = rig.copy({record_of("a", 1)});
  REQUIRE(done);
  CHECK(done->dropped == 1);
  CHECK_FALSE(rig.target.find("a"));
}

TEST_CASE("H19: a row and a live write of one key give one record, the newer one, in either order") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.source.put("b", 1);
  rig.start();
  // The row of a comes first, that of b last.
  REQUIRE(rig.copy({record_of("a", 1)}));
  rig.write("a", 2);
  rig.write("b", 2);
  REQUIRE(rig.quiet());
  auto done = rig.copy({record_of("b", 1)});
  REQUIRE(done);
  CHECK(done->dropped == 1);
  CHECK(rig.target.rows() == FakeDriver::Rows{{"a", 2}, {"b", 2}});
  size_t sent = 0;  // a database that duplicates on a second insert would have two of them
  for (const auto& batch : rig.target.sent()) {
    for (const auto& [id, version] : batch.rows) sent += id == "b" ? 1 : 0;
  }
  CHECK(sent == 1);
}

TEST_CASE("H20: rows of a collection's former life are refused, not written into the new one") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  const auto before = rig.collection()->plan->source().incarnation;
  rig.source.recreate("things");
  REQUIRE(rig.collections->refresh(rig.clock.in(seconds(10))));
  CHECK(rig.collection()->plan->source().incarnation > before);
  std::optional<Result<vmproxy::journal::BackfillDone>> answer;
  rig.mirror->backfill({"", "things"}, before, {record_of("a", 1)},
                       [&](auto done) { answer = std::move(done); });
  REQUIRE(answer);
  REQUIRE_FALSE(*answer);
  CHECK(answer->error().code == Code::precondition);
  CHECK(rig.target.writes() == 0);
}

TEST_CASE("H20: rows that wait while their collection is created again are refused") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  rig.mirror->pause("things");
  rig.copy_aside({record_of("a", 1)});
  rig.source.recreate("things");
  REQUIRE(rig.collections->refresh(rig.clock.in(seconds(10))));
  rig.mirror->forget("things");
  rig.mirror->resume("things");
  const auto done = rig.copied();
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Code::precondition);
  CHECK(rig.target.rows().empty());
}

TEST_CASE("H10: a copy that is killed at any page and resumed with other batches and workers misses no row") {
  Rig rig;
  rig.generation = 1;
  fill(rig.source, 300);
  rig.start();
  size_t batch = 7, parallel = 1;
  for (uint64_t pages = 2; pages < 14; pages += 3) {
    {
      Copying copying(rig, batch, parallel);
      REQUIRE(rig.eventually([&] { return rig.source.calls(Call::scan) >= pages; }));
    }
    rig.crash();
    batch += 6;
    parallel = parallel % 3 + 1;
    rig.start();
    rig.pass(seconds(60));
  }
  Copying copying(rig, 50, 4);
  REQUIRE(copying.done());
  if (!copying.outcome) FAIL(copying.outcome.error().message);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().size() == 300);
  CHECK(rig.equal());
}

TEST_CASE("H19: rows that a scan shows twice, one of them old, end as the source has them") {
  Rig rig;
  rig.generation = 1;
  fill(rig.source, 20);
  rig.source.put("k3", 5);
  rig.source.show_also("k3", 1);
  rig.start();
  Copying copying(rig, 100, 2);
  REQUIRE(copying.done());
  REQUIRE(copying.outcome);
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return rig.equal(); }));
}

TEST_CASE("H27: while the target builds its indexes live changes go on arriving") {
  Rig rig;
  rig.generation = 1;
  fill(rig.source, 10);
  rig.start();
  rig.target.hold(Call::index);
  Copying copying(rig, 100, 1);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  rig.write("live", 1);
  CHECK(rig.eventually([&] { return rig.target.find("live") == 1; }));
  CHECK(rig.target.held() == 1);
  rig.target.release();
  REQUIRE(copying.done());
  CHECK(copying.outcome);
}

TEST_CASE("H21: a copy whose rows the source refuses to show is never done") {
  Rig rig;
  rig.generation = 1;
  fill(rig.source, 50);
  rig.start();
  rig.source.fail(Call::scan, Error(Code::corrupt, "a damaged segment"), 1000);
  Copying copying(rig, 10, 2);
  REQUIRE(copying.done());
  REQUIRE_FALSE(copying.outcome);
  CHECK(copying.copy.progress().phase == "failed");
}

TEST_CASE(
    "a replica that failed is asked again, also when who may try first has only rows of the copy that nobody needs") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.generation = 1;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.target.down(Error(Code::refused_connection, "away"));
  rig.write("b", 1, IntentClass::read_back);
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().failed > 0; }));
  rig.mirror->hold_reads(true);
  rig.linger();
  rig.target.down(std::nullopt);
  rig.copy_aside({record_of("a", 0)});
  const auto done = rig.copied();
  REQUIRE(done);
  CHECK(done->dropped == 1);
  CHECK_FALSE(rig.target.find("b"));
  rig.mirror->hold_reads(false);
  CHECK(rig.eventually([&] { return rig.target.find("b") == 1; }));
}

TEST_CASE(
    "no row of the copy goes to a collection of the target of which it is not known whether it is ours") {
  Rig rig;
  rig.generation = 1;
  rig.start();
  rig.target.put("theirs", 7);
  REQUIRE(rig.collections->release(*rig.collection()));
  rig.target.fail(Call::describe, vmproxy::Error(Code::timeout, "late"));
  const auto copied = rig.copy({record_of("k", 1)});
  REQUIRE_FALSE(copied);
  CHECK(copied.error().code == Code::precondition);
  CHECK_FALSE(rig.target.find("k"));
}
