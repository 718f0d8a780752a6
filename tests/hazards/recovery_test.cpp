// What a kill -9 leaves, and what a restart makes of it (correctness.md 10).
#include "tests/support/rig.h"

using namespace vmproxy::support;

namespace {

// The new primary does a write and acknowledges it.
void write_to_target(Rig& rig, const std::string& id, int64_t version) {
  auto ticket = rig.begin(id, version);
  rig.target.put(id, version);
  rig.applied(std::move(ticket));
}

// A write that never ends keeps what is journaled after it from being trimmed. Its key is none of the test's.
void keep_the_journal(Rig& rig) {
  (void)rig.begin("hung", 1);
}

// The next intent's sync makes durable what was put before it.
void sync(Rig& rig) {
  (void)rig.begin("synced", 1);
}

}  // namespace

TEST_CASE("H9: what was journaled is gone once it is on the source and no restart can bring it there again") {
  Rig rig;
  rig.start(Side::target);
  auto before = rig.begin("before", 1);
  write_to_target(rig, "a", 1);
  const auto end = rig.journal->next();
  REQUIRE(rig.eventually([&] { return rig.source.find("a") == 1; }));
  rig.linger();
  CHECK_FALSE(rig.mirror->gone_below(end));  // the journal keeps it for the one before
  rig.rejected(std::move(before));
  REQUIRE(rig.eventually([&] { return rig.mirror->gone_below(end); }));
  CHECK(rig.journal->stats().trimmed_below == end);
  rig.source.writes_fail(Error(Code::refused_connection, "read-only"));
  write_to_target(rig, "a", 2);
  rig.linger();
  CHECK(rig.mirror->gone_below(end));
  CHECK_FALSE(rig.mirror->gone_below(rig.journal->next()));
  rig.crash();
  rig.start(Side::target);
  rig.source.writes_fail(std::nullopt);
  CHECK_FALSE(rig.mirror->gone_below(end));  // an attempt of the last run may land
  rig.pass(seconds(61));
  CHECK(rig.eventually([&] { return rig.mirror->gone_below(rig.journal->next()); }));
  CHECK(rig.source.find("a") == 2);
}

TEST_CASE(
    "H57: after an unclean start nothing goes to the replica until attempts of the last run have landed or died") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("copied", 1);
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  // An upsert is on the wire when the process dies; the key is deleted by the next run.
  rig.target.hold(Call::upsert);
  rig.write("a", 2);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  rig.target.delay_next(Call::upsert);
  rig.crash();
  REQUIRE(rig.target.delayed() == 1);
  const auto before = rig.target.writes();
  const auto restarted = rig.clock.now();
  const size_t of_last_run = rig.target.sent().size();
  rig.start();
  rig.erase("a");
  rig.copy_aside({record_of("copied", 1)});
  rig.linger();
  CHECK(rig.target.writes() == before);  // the application is served meanwhile, the replica is not
  rig.pass(seconds(58));
  rig.linger();
  CHECK(rig.target.writes() == before);
  rig.target.land();
  CHECK(rig.target.find("a") == 2);
  rig.pass(seconds(2));
  REQUIRE(rig.copied());
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  const auto sent = rig.target.sent();
  for (size_t i = of_last_run; i < sent.size(); ++i) CHECK(sent[i].at >= restarted + seconds(60));
}

TEST_CASE("H57: a clean stop leaves nothing on the wire, so the next run begins at once") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  rig.stop();
  rig.start();
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("H57: a clean stop does not end the wait for what an unclean end before it left on the wire") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.target.hold(Call::upsert);
  rig.write("a", 2);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  rig.target.delay_next(Call::upsert);
  rig.crash();
  REQUIRE(rig.target.delayed() == 1);
  rig.start();
  rig.stop();
  const auto before = rig.target.writes();
  rig.start();
  rig.erase("a");
  rig.linger();
  CHECK(rig.target.writes() == before);
  rig.target.land();
  CHECK(rig.target.find("a") == 2);
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  rig.linger();
  // It is over then.
  rig.stop();
  rig.start();
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("H57: a change of the primary that does not come about does not end that wait") {
  Rig rig;
  rig.start();
  rig.crash();
  const auto restarted = rig.clock.now();
  rig.start();
  REQUIRE(rig.mirror->catch_up(rig.clock.in(seconds(1))));
  rig.mirror->resume_lanes();
  rig.write("a", 1);
  rig.linger();
  CHECK(rig.target.writes() == 0);
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  for (const auto& sent : rig.target.sent()) CHECK(sent.at >= restarted + seconds(60));
}

TEST_CASE("H57: a change of the primary that comes about ends that wait: it was for the former replica") {
  Rig rig;
  rig.start();
  rig.crash();
  rig.start();
  REQUIRE(rig.mirror->catch_up(rig.clock.in(seconds(1))));
  rig.mirror->set_primary(Side::target);
  rig.mirror->resume_lanes();
  rig.target.put("a", 1);
  REQUIRE(rig.mirror->repair({"", "things"}, {key_of("a")}));
  CHECK(rig.eventually(
      [&] { return rig.source.find("a") == 1; }));  // five seconds at most; the wait is a minute
}

TEST_CASE(
    "H57: lanes that were stopped for a change of the primary and find a key owed go on, and that wait with them") {
  std::atomic<bool> told{false};
  Rig rig;
  rig.start();
  rig.crash();
  const auto restarted = rig.clock.now();
  rig.start();
  rig.source.put("owed", 1);
  // A row of the copy waits with the lanes; when they are stopped, somebody finds that a key must be read.
  rig.mirror->backfill({"", "things"}, rig.collection()->plan->source().incarnation, {record_of("copied", 1)},
                       [&](vmproxy::Result<vmproxy::journal::BackfillDone> done) {
                         told = !done && rig.mirror->repair({"", "things"}, {key_of("owed")}).has_value();
                       });
  const auto refused = rig.mirror->catch_up(rig.clock.in(seconds(1)));
  REQUIRE(told.load());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("its keys must be read again first") != std::string::npos);
  rig.linger();
  CHECK(rig.target.writes() == 0);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("owed") == 1; }));
  for (const auto& sent : rig.target.sent()) CHECK(sent.at >= restarted + seconds(60));
}

TEST_CASE("H45: a delete that was on the wire at a kill cannot remove what was written since") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.target.hold(Call::erase);
  rig.erase("a");
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  rig.target.delay_next(Call::erase);
  rig.crash();
  rig.start();
  rig.write("a", 2);
  rig.linger();
  rig.target.land();
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 2);
}

TEST_CASE("H17: writes journaled under the old primary are not applied to the new one after a restart") {
  Rig rig;
  rig.start();
  keep_the_journal(rig);
  rig.write("a", 1);
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  sync(rig);
  rig.crash();
  // The state says that the target became primary; it has taken writes since.
  rig.target.put("a", 9);
  rig.target.put("b", 9);
  const auto before = rig.target.writes();
  rig.start(Side::target);
  rig.pass(seconds(61));
  rig.linger();
  CHECK(rig.target.writes() == before);
  CHECK(rig.target.find("a") == 9);
  CHECK(rig.target.find("b") == 9);
  CHECK(rig.source.writes() ==
        0);  // nor owed in the new direction: what was open then had been applied, or is a debt
}

TEST_CASE(
    "H17: an image that waits when the primary changes is read from the new primary, not applied to it") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.target.down(Error(Code::refused_connection, "away"));
  rig.write("a", 2);
  rig.linger();
  rig.mirror->stop();
  rig.target.down(std::nullopt);
  rig.target.put("a", 3);  // the new primary took a write of its own
  rig.mirror->set_primary(Side::target);
  rig.routing.primary = Side::target;
  ++rig.routing.epoch;
  REQUIRE(rig.mirror->start());
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 3);
  CHECK(rig.source.find("a") == 3);
}

TEST_CASE(
    "C6: what was acknowledged after a promotion outlives a restart although the target is dead by then") {
  const bool clean = GENERATE(true, false);
  const size_t entries_max = GENERATE(10, 400'000);
  Rig rig;
  rig.options.entries_max = entries_max;
  rig.start(Side::target);
  rig.source.down(Error(Code::refused_connection, "away"));
  for (int i = 0; i < 50; ++i) write_to_target(rig, "k" + std::to_string(i % 40), i);
  auto gone = rig.begin_erase("k5");
  rig.target.remove("k5");
  rig.applied(std::move(gone));
  const auto acknowledged = rig.target.rows();
  if (clean) {
    rig.stop();
  } else {
    sync(rig);
    rig.crash();
  }
  rig.target.down(Error(Code::refused_connection, "dead"));
  rig.source.down(std::nullopt);
  rig.start(Side::target);
  if (!clean) rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.mirror->images_waiting() == 0; }));
  CHECK(rig.source.rows() == acknowledged);
}

TEST_CASE(
    "C6: more changes than memory is meant for are still written from the journal when the target has died") {
  Rig rig;
  rig.options.entries_max = 10;
  rig.start(Side::target);
  rig.source.down(Error(Code::refused_connection, "away"));
  for (int i = 0; i < 50; ++i) write_to_target(rig, "k" + std::to_string(i), i);
  for (int i = 0; i < 5; ++i) rig.uncertain(rig.begin("doubtful" + std::to_string(i), 1));
  // A READ that brings no write, when a change of the primary was tried: the write before it stands for the key.
  if (GENERATE(false, true)) rig.mirror->reread_windows(100);
  CHECK(rig.mirror->images_waiting() == 50);
  rig.target.down(Error(Code::refused_connection, "dead"));
  rig.source.down(std::nullopt);
  CHECK(rig.eventually([&] { return rig.source.rows().size() == 50; }));
  CHECK(rig.mirror->unread().count == 0);
  rig.mirror->hold_reads(true);
  CHECK(rig.eventually([&] { return !rig.mirror->write_journaled(); }));
  CHECK(rig.source.rows().size() == 55);
  rig.mirror->hold_reads(false);
}

TEST_CASE("C6: however much is given up with the target dead, what the journal has is not") {
  Rig rig;
  rig.options.entries_max = 8;
  rig.start(Side::target);
  rig.source.delay_next(Call::upsert);  // no answer, and it may land later
  write_to_target(rig, "a", 1);
  REQUIRE(rig.eventually([&] { return rig.source.find("a") == 1; }));  // tried again
  rig.target.down(Error(Code::refused_connection, "dead"));
  rig.mirror->hold_reads(true);
  std::vector<vmproxy::model::Key> others;
  for (int i = 0; i < 6; ++i) others.push_back(key_of("other" + std::to_string(i)));
  REQUIRE(rig.mirror->repair({"", "things"}, others));
  REQUIRE(rig.eventually([&] { return rig.mirror->unread().count == 6; }));
  rig.linger();  // and the lanes have no room for debts
  rig.pass(seconds(61));
  rig.linger();
  rig.source.remove("a");  // by what landed late: the debt of that has a reason
  std::optional<vmproxy::proxy::Mirror::CaughtUp> caught;
  std::atomic<bool> ended = false;
  std::thread changing([&] {
    if (auto done = rig.mirror->catch_up_without_primary("a test", true, rig.clock.in(seconds(30))))
      caught = *done;
    ended = true;
  });
  CHECK(rig.eventually([&] { return ended.load(); }));
  changing.join();
  REQUIRE(caught);
  CHECK(caught->given_up == 6);
  CHECK(rig.source.find("a") == 1);
}

TEST_CASE(
    "H38: after a restart too a write of the new primary that overlapped an uncertain one is read back") {
  Rig rig;
  rig.start(Side::target);
  keep_the_journal(rig);
  rig.uncertain(rig.begin("a", 1));
  write_to_target(rig, "a", 2);
  rig.target.put("a", 1);  // the uncertain one is executed last
  rig.pass(seconds(60));
  REQUIRE(rig.eventually([&] { return rig.source.find("a") == 1; }));
  REQUIRE(rig.quiet());
  sync(rig);
  rig.crash();
  rig.start(Side::target);
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.source.find("a") == 1);
}

TEST_CASE("H38: a write whose window was open at a crash is read back") {
  Rig rig;
  rig.start(Side::target);
  keep_the_journal(rig);
  write_to_target(rig, "a", 1);
  REQUIRE(rig.quiet());
  (void)rig.begin("a", 2);  // on its way when the process dies, and executed
  rig.crash();
  rig.target.put("a", 2);
  rig.start(Side::target);
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.source.find("a") == 2);
}

TEST_CASE("H17: what was journaled under an earlier promotion is read, not written over what came after it") {
  Rig rig;
  rig.routing.epoch = 2;
  rig.start(Side::target);
  keep_the_journal(rig);
  write_to_target(rig, "a", 1);
  REQUIRE(rig.quiet());
  sync(rig);
  rig.crash();
  // Rolled back, written, promoted again.
  rig.source.put("a", 5);
  rig.target.put("a", 5);
  rig.routing.epoch = 4;
  rig.start(Side::target);
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.source.find("a") == 5);
}

TEST_CASE("H20: what the new primary journaled of a collection's former life is read after a restart") {
  Rig rig;
  rig.start(Side::target);
  keep_the_journal(rig);
  write_to_target(rig, "a", 1);
  REQUIRE(rig.quiet());
  rig.mirror->forget("things");
  rig.target.remove("a");  // dropped and created again
  write_to_target(rig, "b", 1);
  sync(rig);
  rig.crash();
  rig.start(Side::target);
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.source.rows() == FakeDriver::Rows{{"b", 1}});
}

TEST_CASE("H60: a change of collections whose outcome a crash took away is asked about, never done again") {
  Rig rig;
  rig.source.put("a", 1);
  rig.start();
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  auto ddl = rig.mirror->begin_broad(rig.routing, "collection.drop", {"", "things"}, IntentClass::ddl);
  rig.mirror->pause("things");
  std::atomic<bool> durable{false};
  rig.mirror->journal(ddl, {"POST", "/drop", {}, ""}, [&](auto seq) { durable = static_cast<bool>(seq); });
  REQUIRE(rig.eventually([&] { return durable.load(); }));
  rig.crash();  // the source did not execute it
  rig.start();
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  rig.linger();
  CHECK(rig.target.calls(Call::drop) == 0);
  CHECK(rig.source.calls(Call::drop) == 0);
  CHECK(rig.target.find("b") == 1);
  REQUIRE(rig.mirror->unresolved_ddl() == std::vector<std::string>{"things"});
  // Live writes go on meanwhile.
  rig.write("c", 1);
  CHECK(rig.eventually([&] { return rig.target.find("c") == 1; }));
}

TEST_CASE("H60: a change of collections without an outcome is asked about also after a crash of the replay") {
  Rig rig;
  rig.start();
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  REQUIRE(rig.trimmed());
  auto ddl = rig.mirror->begin_broad(rig.routing, "collection.drop", {"", "things"}, IntentClass::ddl);
  rig.mirror->pause("things");
  std::atomic<bool> durable{false};
  rig.mirror->journal(ddl, {"POST", "/drop", {}, ""}, [&](auto seq) { durable = static_cast<bool>(seq); });
  REQUIRE(rig.eventually([&] { return durable.load(); }));
  rig.crash();
  rig.replay();
  rig.pass(seconds(1));  // whatever the journal may forget it forgets
  rig.linger();
  rig.crash();  // before anybody has looked at unresolved_ddl()
  rig.start();
  CHECK(rig.mirror->unresolved_ddl() == std::vector<std::string>{"things"});
}

TEST_CASE(
    "H60: a collection that is found dropped after a restart does not keep the others from being mirrored") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.source.add_collection(things("others"));
  rig.start();
  rig.write("a", 1);
  rig.crash();
  rig.source.drop_collection("things");  // executed, its answer lost
  rig.start();
  rig.pass(seconds(61));
  auto ticket = rig.mirror->begin_keyed(rig.routing, "records.put", {"", "others"}, {key_of("x")},
                                        IntentClass::read_back);
  rig.source.put("others", "x", 1);
  rig.applied(std::move(ticket));
  CHECK(rig.eventually([&] { return rig.target.rows("others") == FakeDriver::Rows{{"x", 1}}; }));
}

TEST_CASE("recovery twice is recovery once") {
  Rig rig;
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  for (int i = 0; i < 30; ++i) rig.write("k" + std::to_string(i), i);
  rig.uncertain(rig.begin("u", 1));
  rig.crash();
  rig.start();
  rig.crash();
  rig.start();
  rig.target.down(std::nullopt);
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("a crash after a delete by filter forgets nothing that was under way when it began") {
  Rig rig;
  rig.source.put("old", 1);
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  auto before = rig.begin("new", 5);
  auto wide = rig.begin_delete_where(1);
  rig.source.put("new", 5);
  rig.applied(std::move(before));
  rig.source.remove("old");
  rig.applied(std::move(wide));
  rig.linger();
  rig.pass(seconds(2));  // whatever the journal may forget it forgets
  rig.linger();
  rig.crash();
  rig.target.down(std::nullopt);
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}
