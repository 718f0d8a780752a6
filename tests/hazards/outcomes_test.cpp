// What became of a write on the primary: done, not done, or not known.
#include "journal/rows.h"
#include "tests/support/rig.h"

using namespace vmproxy::support;
namespace rows = vmproxy::journal::rows;

TEST_CASE("H4: a write that the primary rejected never reaches the replica") {
  Rig rig;
  rig.start();
  rig.rejected(rig.begin("a", 1));
  rig.write("b", 1);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"b", 1}});
  CHECK_FALSE(rig.dirty("a"));
}

TEST_CASE("H4: of a batch only what the primary did reaches the replica") {
  Rig rig;
  rig.start();
  auto ticket = rig.begin(
      {{key_of("a"), record_of("a", 1)}, {key_of("b"), record_of("b", 1)}, {key_of("c"), record_of("c", 1)}});
  rig.source.put("a", 1);
  rig.source.put("c", 1);
  rig.finish(std::move(ticket), Outcome::applied, {Outcome::applied, Outcome::rejected, Outcome::uncertain});
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"a", 1}, {"c", 1}});
  CHECK_FALSE(rig.dirty("b"));
  CHECK(rig.dirty("c"));  // still owed its second READ
}

TEST_CASE("H4: an intent whose outcome a crash took away is read from the primary, not replayed") {
  Rig rig;
  rig.start();
  rig.begin("never", 1);  // journaled; the crash comes before it is sent
  rig.begin("done", 1);   // journaled and executed; the crash comes before the answer
  rig.source.put("done", 1);
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"done", 1}});
}

TEST_CASE(
    "H28: each change reaches the replica though the primary's word of it is lost, or comes when nobody listens") {
  Rig rig;
  rig.start();
  rig.write("deleted", 1);
  REQUIRE(rig.quiet());
  rig.target.down(vmproxy::Error(vmproxy::Code::refused_connection, "away"));
  rig.source.put("unheard", 1);
  rig.uncertain(rig.begin("unheard", 1));
  rig.write("changed", 1);
  rig.begin("changed", 2);  // done while the proxy ends: it never hears of it
  rig.source.put("changed", 2);
  rig.begin("new", 1);
  rig.source.put("new", 1);
  rig.begin_erase("deleted");
  rig.source.remove("deleted");
  rig.crash();
  rig.target.down(std::nullopt);
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"changed", 2}, {"new", 1}, {"unheard", 1}});
}

TEST_CASE("H37: an uncertain write that is executed after our READ is read again when its window closes") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  rig.uncertain(rig.begin("a", 2));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
  rig.source.put("a", 2);  // late
  rig.linger();
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return !rig.dirty("a"); }));  // dirty a moment longer than owed
}

TEST_CASE("H37: the second READ of an uncertain write is owed after a crash too") {
  Rig rig;
  rig.start();
  rig.write("a", 1);
  rig.uncertain(rig.begin("a", 2));
  REQUIRE(rig.quiet());
  REQUIRE(rig.trimmed());  // the debt is all that is left of it
  rig.crash();
  rig.target.caps.max_zombie = seconds(0);
  rig.start();
  rig.pass(seconds(59));
  rig.source.put("a", 2);  // as late as it can be
  rig.linger();
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(2));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
}

TEST_CASE(
    "H38: a write registered while an uncertain one may still run is read back, also when it ends after the window") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  rig.pass(seconds(59));
  auto second = rig.begin("a", 2);
  rig.source.put("a", 2);
  rig.source.put("a", 1);  // the uncertain one is executed last
  rig.pass(seconds(1));
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));
  rig.applied(std::move(second));
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
}

TEST_CASE("H39: a later write of the key, applied, does not clear the debt of the uncertain one before it") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  rig.write("a", 2);
  rig.write("a", 3);
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 3);
  CHECK(rig.dirty("a"));
  rig.source.put("a", 1);  // the first is executed after all
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
}

TEST_CASE("H39: each uncertain write of a key has a debt of its own") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  rig.pass(seconds(30));
  rig.uncertain(rig.begin("a", 2));
  rig.pass(seconds(30));  // the first falls due
  REQUIRE(rig.quiet());
  CHECK(rig.dirty("a"));
  rig.source.put("a", 2);
  rig.pass(seconds(30));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return !rig.dirty("a"); }));  // dirty a moment longer than owed
}

TEST_CASE("H40: a debt that falls due is paid although newer changes of its key were applied long ago") {
  Rig rig;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  for (int version = 2; version < 10; ++version) rig.write("a", version);
  REQUIRE(rig.quiet());
  const auto reads = rig.source.calls(Call::read);
  rig.source.put("a", 1);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
  CHECK(rig.source.calls(Call::read) > reads);
}

TEST_CASE("H40: a repair takes a new place behind an image that waits, and reads") {
  Rig rig;
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  rig.write("a", 1);
  rig.source.put("a", 2);  // nobody told us
  REQUIRE(rig.mirror->repair({"", "things"}, {key_of("a")}));
  rig.linger();
  rig.target.down(std::nullopt);
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
}

TEST_CASE(
    "H48: what was read where reads may be stale is suspect, and read again when asked, however often it looked the same") {
  Rig rig;
  rig.source.caps.read_after_write = false;
  rig.start();
  rig.write("a", 1, IntentClass::read_back);
  REQUIRE(rig.quiet());
  rig.source.freeze();
  rig.write("a", 2, IntentClass::read_back);
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);  // stale, and nothing in the answer says so
  CHECK(rig.mirror->numbers().suspects > 0);
  rig.mirror->reread_suspects();
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 1);
  rig.source.thaw();
  rig.mirror->reread_suspects();  // as each validation pass does
  REQUIRE(rig.quiet());
  CHECK(rig.target.find("a") == 2);
}

TEST_CASE("H48: a key is one suspect, however often it was left in doubt, also after a crash") {
  Rig rig;
  rig.source.caps.read_after_write = false;
  rig.start();
  for (int version = 1; version <= 3; ++version) {
    rig.write("a", version, IntentClass::read_back);
    REQUIRE(rig.quiet());
  }
  CHECK(rig.mirror->numbers().suspects == 1);
  rig.linger();
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  rig.write("a", 4, IntentClass::read_back);
  REQUIRE(rig.quiet());
  CHECK(rig.mirror->numbers().suspects == 1);
}

TEST_CASE("H48: all suspects are read again, however many there are") {
  Rig rig;
  rig.source.caps.max_exec = std::nullopt;
  rig.start();
  const auto id = [](int i) { return "k" + std::to_string(1'000'000 + i); };
  constexpr int count = 100'010;
  std::vector<vmproxy::journal::Row> marks;
  for (int i = 0; i < count; ++i) {
    marks.push_back({std::string(rows::suspects),
                     std::string("things") + '\0' + vmproxy::model::encode(key_of(id(i))), ""});
  }
  REQUIRE(rig.journal->commit_rows(marks));
  for (const int i : {0, count / 2, count - 1}) rig.source.put(id(i), 1);
  REQUIRE(rig.mirror->reread_suspects());
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("H48: an uncertain write of a primary without an enforced bound leaves a durable suspect") {
  Rig rig;
  rig.source.caps.max_exec = std::nullopt;
  rig.start();
  rig.uncertain(rig.begin("a", 1));
  rig.pass(seconds(31));
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().suspects == 1; }));
  REQUIRE(rig.eventually([&] {
    bool durable = false;
    (void)rig.journal->scan_rows(rows::suspects, "", "",
                                 [&](std::string_view, std::string_view) { return durable = true; });
    return durable;
  }));
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.mirror->numbers().suspects == 1);
  rig.source.put("a", 1);  // far too late
  rig.mirror->reread_suspects();
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
}

TEST_CASE("H48: so does a delete by filter, of each key that it may still hit when its window closes") {
  Rig rig;
  rig.source.caps.max_exec = std::nullopt;
  rig.start();
  rig.write("a", 1);
  rig.uncertain(rig.begin_delete_where(1));
  rig.write("b", 1);  // not there when the delete was enumerated
  REQUIRE(rig.quiet());
  const bool crashes = GENERATE(false, true);
  if (crashes) {
    rig.crash();
    rig.start();
  }
  rig.pass(seconds(61));
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().suspects == 2; }));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}});
  rig.source.remove("a");  // far too late
  rig.source.remove("b");
  rig.mirror->reread_suspects();
  CHECK(rig.eventually([&] { return rig.target.rows().empty(); }));
}
