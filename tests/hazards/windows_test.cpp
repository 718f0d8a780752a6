// Deletes by filter, changes of collections, the settle time: what concerns more than the keys that a request names.
#include "tests/support/rig.h"

using namespace vmproxy::support;

TEST_CASE("H42: a delete by filter of unknown outcome is looked after for every key written in its window") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.uncertain(rig.begin_delete_where(1));
  rig.write("b", 1);  // not there when the delete was enumerated
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}});
  rig.source.remove("a");  // it is executed late, and hits both
  rig.source.remove("b");
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.rows().empty(); }));
}

TEST_CASE(
    "H42: keys written between the enumeration of a delete by filter and its loss belong to its window too") {
  Rig rig;
  rig.start();
  auto predicate = rig.begin_delete_where(1);  // enumerates nothing
  rig.write("b", 1);
  rig.uncertain(std::move(predicate));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("b") == 1);
  rig.source.remove("b");
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.rows().empty(); }));
}

TEST_CASE(
    "H42: after a crash the window of a delete by filter covers everything written since its enumeration") {
  Rig rig;
  rig.target.caps.max_zombie = seconds(0);  // else everything journaled is read only when the window is over
  rig.start();
  rig.write("a", 1);
  auto predicate = rig.begin_delete_where(1);
  rig.write("b", 1);
  (void)rig.begin("c", 1);  // its sync takes along the outcome of b, which so has no window of its own
  rig.crash();              // the outcome of the delete is lost
  rig.start();
  REQUIRE(rig.eventually([&] { return rig.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}}; }));
  REQUIRE(rig.quiet());
  rig.pass(seconds(50));
  rig.source.remove("a");
  rig.source.remove("b");
  rig.pass(seconds(11));
  CHECK(rig.eventually([&] { return rig.target.rows().empty() && rig.mirror->numbers().dirty == 0; }));
}

TEST_CASE("H42: after a crash it also covers what was in flight when the delete by filter began") {
  Rig rig;
  rig.target.caps.max_zombie = seconds(0);
  rig.start();
  auto early = rig.begin("a", 1);
  auto predicate = rig.begin_delete_where(1);  // enumerates nothing
  rig.source.put("a", 1);
  rig.applied(std::move(early));
  rig.uncertain(std::move(predicate));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(1));  // the journal lets go of what is done
  rig.linger();
  rig.crash();
  rig.start();
  REQUIRE(rig.quiet());
  rig.pass(seconds(50));
  rig.source.remove("a");
  rig.pass(seconds(11));
  CHECK(rig.eventually([&] { return rig.target.rows().empty() && rig.mirror->numbers().dirty == 0; }));
}

TEST_CASE("H42: after a crash it also covers a key whose own window was open then and has closed since") {
  Rig rig;
  rig.target.caps.max_zombie = seconds(0);
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  REQUIRE(rig.quiet());
  rig.pass(seconds(50));
  auto predicate = rig.begin_delete_where(1);  // enumerates nothing
  rig.source.put("a", 1);
  rig.uncertain(std::move(predicate));
  rig.pass(seconds(11));  // the window of a closes
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));
  REQUIRE(rig.quiet());
  rig.pass(seconds(1));  // the journal lets go of what is done
  rig.linger();
  rig.crash();
  rig.start();
  REQUIRE(rig.quiet());
  rig.source.remove("a");
  rig.pass(seconds(61));
  CHECK(rig.eventually([&] { return rig.target.rows().empty() && rig.mirror->numbers().dirty == 0; }));
}

TEST_CASE(
    "H42: after a second crash within the window of a delete by filter it is looked after all the same") {
  Rig rig;
  rig.target.caps.max_zombie = seconds(0);
  rig.start();
  for (int i = 0; i < 300; ++i) rig.write("k" + std::to_string(i), 5);  // intents go in steps of 256
  REQUIRE(rig.trimmed());
  auto predicate = rig.begin_delete_where(1);  // enumerates nothing
  rig.write("b", 1);
  (void)rig.begin("c", 1);  // its sync takes along the outcome of b
  for (int crashes = 0; crashes < 2; ++crashes) {
    rig.crash();
    rig.start();
    REQUIRE(rig.eventually([&] { return rig.target.find("b") == 1; }));
    REQUIRE(rig.quiet());
    rig.pass(seconds(1));  // the journal lets go of what is done
    rig.linger();
  }
  rig.pass(seconds(45));
  rig.source.remove("b");
  rig.pass(seconds(15));
  CHECK(rig.eventually([&] { return !rig.target.find("b"); }));
}

TEST_CASE("H42: what overlapped a delete by filter and is read after it survives a crash in between") {
  Rig rig;
  rig.start();
  rig.mirror->pause("things");  // nothing goes to the replica before the crash
  auto write = rig.begin("a", 5);
  auto predicate = rig.begin_delete_where(1);  // names nothing
  rig.source.put("a", 5);
  rig.applied(std::move(write));
  rig.applied(std::move(predicate));
  rig.pass(seconds(1));  // the journal lets go of what is done
  rig.linger();
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 5; }));
}

TEST_CASE("H42: a write that began in the window of a lost delete by filter and ends after it is read back") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin_delete_where(1));
  auto ticket = rig.begin("a", 1);
  rig.source.put("a", 1);
  rig.source.remove("a");  // the delete is executed last
  const auto reads = rig.source.calls(Call::read);
  rig.pass(seconds(60));
  REQUIRE(rig.eventually([&] { return rig.source.calls(Call::read) > reads; }));  // the window has ended
  REQUIRE(rig.quiet());
  rig.applied(std::move(ticket));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == std::nullopt);
}

TEST_CASE("H42: a key that the source made up in the window of a delete by filter is read again at its end") {
  Rig rig;
  rig.start();
  auto insert =
      rig.mirror->begin_keyed(rig.routing, "records.generate", {"", "things"}, {}, IntentClass::read_back);
  insert.makes_keys = true;
  rig.uncertain(rig.begin_delete_where(1));
  rig.source.put("made", 1);
  rig.mirror->add_keys(insert, {key_of("made")});
  rig.applied(std::move(insert));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("made") == 1);
  rig.source.remove("made");  // it is executed late
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return !rig.target.find("made"); }));
}

TEST_CASE("H42: after a crash too, although only the outcome of its write names the key") {
  Rig rig;
  rig.target.caps.max_zombie = seconds(0);
  rig.start();
  auto predicate = rig.begin_delete_where(1);
  auto insert = rig.begin(std::vector<vmproxy::journal::Image>{}, IntentClass::read_back);
  insert.makes_keys = true;
  rig.source.put("made", 1);
  rig.mirror->add_keys(insert, {key_of("made")});
  rig.applied(std::move(insert));
  (void)rig.begin("c", 1);  // its sync takes along the outcome
  rig.crash();
  rig.start();
  REQUIRE(rig.eventually([&] { return rig.target.rows() == FakeDriver::Rows{{"made", 1}}; }));
  REQUIRE(rig.quiet());
  rig.pass(seconds(50));
  rig.source.remove("made");
  rig.pass(seconds(11));
  CHECK(rig.eventually([&] { return rig.target.rows().empty() && rig.mirror->numbers().dirty == 0; }));
}

TEST_CASE("H42: a key whose own window is open when a delete by filter begins is read after the delete") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  rig.uncertain(rig.begin("a", 2));
  REQUIRE(rig.quiet());
  auto predicate = rig.begin_delete_where(-1);  // enumerates nothing: a holds 1
  rig.pass(seconds(60));                        // the window closes; its READ waits for the delete
  rig.linger();
  rig.source.remove("a");
  rig.applied(std::move(predicate));
  CHECK(rig.eventually([&] { return !rig.target.find("a"); }));
}

TEST_CASE(
    "H62: a write from before the barrier that is executed late on a key mirrored during settle is found") {
  Rig rig;
  rig.generation = 1;
  rig.start();
  const auto windows = rig.mirror->open_settle({"things"});
  rig.write("a", 2);
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 2);
  rig.source.put("a", 1);  // sent past us before the barrier, executed only now
  rig.mirror->close_settle(windows);
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
}

TEST_CASE("H62: it is found too where only a delete by filter has hit the key during settle") {
  Rig rig;
  rig.source.put("a", 1);
  rig.generation = 1;
  rig.start();
  const auto windows = rig.mirror->open_settle({"things"});
  auto predicate = rig.begin_delete_where(1);  // enumerates a
  rig.source.remove("a");
  rig.applied(std::move(predicate));
  REQUIRE(rig.quiet());
  // Sent past us before the barrier, executed only now; the copy leaves it to the mirror.
  rig.source.put("a", 2);
  rig.mirror->close_settle(windows);
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
}

TEST_CASE("H62: a write that began during settle and ends after it is read back") {
  Rig rig;
  rig.start();
  const auto windows = rig.mirror->open_settle({"things"});
  auto ticket = rig.begin("a", 2);
  rig.source.put("a", 2);
  rig.source.put("a", 1);
  rig.mirror->close_settle(windows);
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));  // what the window's end owed is paid
  rig.applied(std::move(ticket));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
}

TEST_CASE(
    "H43: between a change of collections and its outcome nothing goes to the replica, and a refused one changes nothing") {
  Rig rig;
  rig.source.put("a", 1);
  rig.generation = 1;
  rig.start();
  const auto life = rig.collection()->plan->source().incarnation;
  auto ddl = rig.mirror->begin_broad(rig.routing, "collection.drop", {"", "things"}, IntentClass::ddl);
  rig.mirror->pause("things");
  rig.write("b", 1);
  rig.copy_aside({record_of("a", 1)});
  rig.linger();
  CHECK(rig.target.writes() == 0);
  rig.rejected(std::move(ddl));
  rig.mirror->resume("things");
  REQUIRE(rig.copied());
  REQUIRE(rig.quiet());
  CHECK(rig.collection()->plan->source().incarnation == life);
  CHECK(rig.equal());
}

TEST_CASE(
    "H20: an entry that was on its way to the replica when its collection was created again is read again") {
  Rig rig;
  rig.start();
  rig.target.hold(Call::upsert);
  rig.write("a", 1);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  // Dropped and created again on both sides while the attempt is on the wire.
  rig.mirror->pause("things");
  rig.source.recreate("things");
  REQUIRE(rig.collections->refresh(rig.clock.in(seconds(10))));
  rig.mirror->forget("things");
  rig.target.recreate("things");
  rig.mirror->resume("things");
  rig.target.release();  // lands on the new collection
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().empty());
}

TEST_CASE(
    "H43: debts that were queued when their collection was dropped and created again are queued again") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  REQUIRE(rig.quiet());
  rig.mirror->pause("things");
  rig.pass(seconds(60));  // falls due and waits in the lane of the paused collection
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().lag_changes == 1; }));
  rig.source.recreate("things");
  REQUIRE(rig.collections->refresh(rig.clock.in(seconds(10))));
  rig.mirror->forget("things");
  rig.source.put("a", 1);  // the uncertain write lands on the new collection
  rig.mirror->resume("things");
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return !rig.dirty("a"); }));  // dirty a moment longer than owed
}

TEST_CASE(
    "H20: a write that the source has done in the next life of its collection is not lost with the one before") {
  Rig rig;
  rig.start();
  rig.mirror->pause("things");
  rig.write("old", 1);
  auto drop = rig.mirror->begin_broad(rig.routing, "collection.drop", {"", "things"}, IntentClass::ddl);
  auto write = rig.begin("new", 1);
  rig.source.recreate("things");  // and another request has created it again
  rig.source.put("new", 1);
  rig.applied(std::move(write));
  // Only now the proxy asks what the drop has left.
  REQUIRE(rig.collections->refresh(rig.clock.in(seconds(10))));
  rig.mirror->forget("things");
  rig.target.recreate("things");
  rig.applied(std::move(drop));
  rig.linger();
  rig.pass(seconds(2));  // whatever the journal may forget it forgets
  rig.linger();
  rig.crash();  // without it the drop's own READs find the record, too
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"new", 1}});
}
