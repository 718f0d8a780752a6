// What the replica may do: be away, lose answers, refuse, hang; and what our own side may fail at.
#include <system_error>

#include "journal/rows.h"
#include "tests/support/rig.h"

using namespace vmproxy::support;
namespace rows = vmproxy::journal::rows;

TEST_CASE(
    "H1: what the replica did not take stays owed, shows, and is repaired when it is back, also after a crash") {
  Rig rig;
  rig.start();
  rig.target.down(Error(Code::unavailable, "503"));
  for (int i = 0; i < 20; ++i) rig.write("k" + std::to_string(i), 1);
  rig.erase("k0");
  rig.linger();
  CHECK(rig.target.rows().empty());
  CHECK(rig.mirror->numbers().dirty >= 20);
  CHECK(rig.dirty("k1"));
  CHECK_FALSE(rig.mirror->numbers().problem.empty());
  rig.crash();
  rig.start();
  CHECK(rig.dirty("k1"));
  rig.pass(seconds(60));
  rig.target.down(std::nullopt);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().size() == 19);
  CHECK(rig.equal());
}

TEST_CASE(
    "H1: the mirror goes on after an outage when the first change after it is one that the replica refuses") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.start();
  rig.target.down(Error(Code::unavailable, "503"));
  rig.write("bad", 1);
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().failed > 0; }));
  rig.target.refuse_batches_with("bad");
  rig.target.down(std::nullopt);
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().quarantined == 1; }));
  rig.write("good", 1);
  CHECK(rig.eventually([&] { return rig.target.find("good") == 1; }));
}

TEST_CASE(
    "H1: the mirror goes on after an outage when all it has to send at first are rows of the copy that are dropped") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.generation = 1;
  rig.start();
  rig.write("a", 1);
  REQUIRE(rig.quiet());
  rig.target.down(Error(Code::unavailable, "503"));
  rig.write("b", 1);
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().failed > 0; }));
  auto predicate = rig.begin_delete_where(0);
  rig.write("b", 2);  // its READ waits for the delete
  rig.target.down(std::nullopt);
  auto done = rig.copy({record_of("a", 1)});
  REQUIRE(done);
  CHECK(done->dropped == 1);
  rig.applied(std::move(predicate));
  CHECK(rig.eventually([&] { return rig.target.find("b") == 2; }));
}

TEST_CASE("H2: a replica that hangs delays no write") {
  Rig rig;
  rig.start();
  rig.target.hold(Call::upsert);
  for (int i = 0; i < 300; ++i) rig.write("k" + std::to_string(i % 30), i);  // returns, or the test hangs
  CHECK(rig.target.rows().empty());
  CHECK(rig.mirror->numbers().in_flight == 0);
  rig.target.release();
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

// A call ends unanswered after 10 s; each of two lanes has 300 changes, and `side` needs 200 ms for each.
static void bring_what_is_too_much_at_once(Rig& rig, FakeDriver& side, Call call, IntentClass cls) {
  rig.options.lanes.lanes = 2;
  rig.start();
  side.hold(call);
  for (int i = 0; i < 600; ++i) rig.write("k" + std::to_string(i), 1, cls);
  side.slow(milliseconds(200), [&](vmproxy::Duration time) { rig.clock.advance(time); });
  side.release();
  CHECK(rig.eventually([&] { return rig.target.rows().size() == 600; }));
  CHECK(rig.mirror->numbers().failed <= 40);
  side.slow({}, nullptr);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE(
    "H26: a replica that needs more than its time for a whole batch gets less at once, and so all of it") {
  Rig rig;
  bring_what_is_too_much_at_once(rig, rig.target, Call::upsert, IntentClass::image);
}

TEST_CASE(
    "H26: a primary that needs more than its time for what a whole batch reads is asked for less at once") {
  Rig rig;
  bring_what_is_too_much_at_once(rig, rig.source, Call::read, IntentClass::read_back);
}

TEST_CASE("H26: once a replica needed too long for rows of the copy, the next ones come in smaller pieces") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.generation = 1;
  rig.start();
  rig.target.slow(milliseconds(90), [&](vmproxy::Duration time) { rig.clock.advance(time); });
  for (int part = 0; part < 4; ++part) {
    std::vector<vmproxy::model::Record> rows;
    for (int i = 0; i < 200; ++i) {
      const std::string id = "k" + std::to_string(part * 200 + i);
      rig.source.put(id, 1);
      rows.push_back(record_of(id, 1));
    }
    const auto done = rig.copy(std::move(rows));
    REQUIRE(done);
    if (part > 0) CHECK(done->applied == 200);
  }
  CHECK(rig.mirror->numbers().failed == 1);
}

TEST_CASE("H26: while a batch is being applied new changes are taken in, and go out together") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.start();
  rig.target.hold(Call::upsert);
  rig.write("first", 1);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  for (int version = 1; version <= 10; ++version) {
    for (int key = 0; key < 20; ++key) rig.write("k" + std::to_string(key), version);
  }
  CHECK(rig.mirror->numbers().lag_changes == 21);  // coalesced: one for each key
  rig.target.release();
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  CHECK(rig.target.calls(Call::upsert) == 2);
}

TEST_CASE(
    "H7: an attempt whose answer was lost and that lands after a newer value is found and overwritten") {
  Rig rig;
  rig.start();
  rig.target.delay_next(Call::upsert);
  rig.write("a", 1);
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));  // tried again
  rig.write("a", 2);
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 2; }));
  REQUIRE(rig.target.delayed() == 1);
  CHECK(rig.dirty("a"));  // nobody may call it equal meanwhile
  rig.target.land();
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.find("a") == 2; }));
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return !rig.dirty("a"); }));  // dirty a moment longer than owed
}

TEST_CASE("H45: an upsert that lands on the replica after the delete of its key is removed again") {
  Rig rig;
  rig.start();
  rig.target.delay_next(Call::upsert);
  rig.write("a", 1);
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));
  rig.erase("a");
  REQUIRE(rig.eventually([&] { return !rig.target.find("a"); }));
  rig.target.land();
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return !rig.target.find("a"); }));
}

TEST_CASE("H45: a row of the copy that lands after the delete of its key is removed again") {
  Rig rig;
  rig.generation = 1;
  rig.source.put("a", 1);
  rig.start();
  rig.target.delay_next(Call::insert_only);
  REQUIRE(rig.copy({record_of("a", 1)}));
  rig.erase("a");
  REQUIRE(rig.eventually([&] { return !rig.target.find("a"); }));
  rig.target.land();
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return !rig.target.find("a"); }));
}

TEST_CASE("H45: a zombie's debt outlives kill -9") {
  Rig rig;
  rig.start();
  rig.target.delay_next(Call::upsert);
  rig.write("a", 1);
  REQUIRE(rig.eventually([&] { return rig.target.find("a") == 1; }));
  rig.erase("a");
  REQUIRE(rig.eventually([&] { return !rig.target.find("a"); }));
  REQUIRE(rig.trimmed());  // the debt is all that is left of it
  rig.crash();
  rig.target.caps.max_zombie = seconds(0);  // else the start itself would wait for the zombie
  rig.start();
  rig.pass(seconds(59));
  rig.target.land();
  CHECK(rig.target.find("a") == 1);
  rig.pass(seconds(2));
  CHECK(rig.eventually([&] { return !rig.target.find("a"); }));
}

TEST_CASE("H22: what the replica refuses for good is kept with payload and reason, and the others go on") {
  Rig rig;
  rig.start();
  rig.target.refuse("bad", Error(Code::invalid, "dimension 3 is not 4"));
  rig.target.refuse_batches_with("poison");
  for (int i = 0; i < 20; ++i) rig.write("k" + std::to_string(i), 1);
  rig.write("bad", 1);
  rig.write("poison", 1);
  for (int i = 20; i < 40; ++i) rig.write("k" + std::to_string(i), 1);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().size() == 40);
  // Rows are listed once they are on the disk.
  REQUIRE(rig.eventually([&] { return rig.mirror->quarantine().list(10)->size() == 2; }));
  auto kept = rig.mirror->quarantine().list(10);
  REQUIRE(kept);
  CHECK(rig.mirror->numbers().quarantined == 2);
  for (const auto& item : *kept) {
    CHECK_FALSE(item.record);  // of thousands at once they might be too much
    CHECK(rig.mirror->quarantine().find(item.number).value()->record);
    CHECK_FALSE(item.reason.empty());
  }
  // A retry reads the primary: never the stored image.
  rig.source.put("bad", 2);
  rig.target.refuse("bad", std::nullopt);
  const bool first = kept->front().key == vmproxy::model::encode(key_of("bad"));
  const auto number = first ? kept->front().number : kept->back().number;
  REQUIRE(rig.mirror->retry_quarantined(number));
  REQUIRE(rig.eventually([&] { return rig.target.find("bad") == 2; }));
  CHECK(rig.eventually([&] { return rig.mirror->numbers().quarantined == 1; }));
}

TEST_CASE(
    "H22: what the primary does not let be read waits in quarantine, unerased, and the others go on at once") {
  Rig rig;
  rig.start();
  rig.write("cold", 1);
  REQUIRE(rig.eventually([&] { return rig.target.find("cold") == 1; }));
  rig.source.hide("cold", Error(Code::unavailable, "its partition is released: load it"));
  rig.write("cold", 2, IntentClass::read_back);
  for (int i = 0; i < 40; ++i) rig.write("k" + std::to_string(i), 1, IntentClass::read_back);
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows().size() == 41);
  CHECK(rig.target.find("cold") == 1);
  CHECK(rig.mirror->numbers().failed == 0);  // nothing was slowed down
  CHECK(rig.mirror->numbers().problem.empty());
  CHECK(rig.mirror->quarantine().holds("things"));
  const auto kept = [&] { return rig.mirror->quarantine().list(10).value(); };
  REQUIRE(rig.eventually([&] { return kept().size() == 1; }));
  const auto first = kept().front();
  CHECK(first.unread);
  CHECK_FALSE(first.record);
  CHECK(first.reason ==
        "its partition is released: load it; what was written to this record is not on the target until "
        "`vmproxy quarantine retry` has read it again");
  // Not mended yet: a retry leaves it where it was, once.
  REQUIRE(rig.mirror->retry_quarantined(std::nullopt));
  REQUIRE(rig.eventually([&] { return kept().size() == 1 && kept().front().number != first.number; }));
  REQUIRE(rig.quiet());
  CHECK(rig.mirror->numbers().quarantined == 1);
  REQUIRE(rig.trimmed());
  rig.crash();
  rig.start();
  rig.pass(seconds(60));
  // Asked for again after the restart, and as little to be read as before.
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().quarantined == 1 && kept().size() == 1; }));
  CHECK(rig.target.find("cold") == 1);
  rig.source.hide("cold", std::nullopt);
  CHECK(kept().front().unread);
  REQUIRE(rig.mirror->retry_quarantined(kept().front().number));
  REQUIRE(rig.eventually([&] { return rig.target.find("cold") == 2; }));
  CHECK(rig.eventually([&] { return rig.mirror->numbers().quarantined == 0; }));
}

TEST_CASE("H33: whatever way writes end, nothing of them stays behind") {
  Rig rig;
  rig.start();
  for (int i = 0; i < 50; ++i) {
    const std::string id = "k" + std::to_string(i % 7);
    rig.write(id, i);
    rig.rejected(rig.begin(id, i));
    rig.mirror->drop(rig.begin(id, i));
    rig.uncertain(rig.begin(id, i));
    rig.rejected(rig.begin_delete_where(-1));
  }
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.eventually([&] { return rig.mirror->numbers().dirty == 0; }));
  CHECK(rig.mirror->numbers().in_flight == 0);
  CHECK(rig.eventually(
      [&] { return rig.mirror->freshness().owed_count() == 0; }));  // told after the debts are paid
  // The journal is empty again: no intent is waited for in vain.
  CHECK(rig.eventually([&] { return rig.journal->stats().trimmed_below == rig.journal->next(); }));
}

TEST_CASE(
    "H55: an outage of days costs memory for its bound only; above it keys are owed on disk, and all arrive") {
  Rig rig;
  rig.options.entries_max = 40;
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  for (int i = 0; i < 400; ++i) rig.write("k" + std::to_string(i), 1);
  rig.linger();
  CHECK(rig.mirror->numbers().lag_changes == 400);
  uint64_t on_disk = 0;
  REQUIRE(rig.journal->scan_rows(rows::debts, "", "",
                                 [&](std::string_view, std::string_view) { return ++on_disk > 0; }));
  CHECK(on_disk >= 360);
  CHECK_FALSE(rig.mirror->freshness().fresh("things"));
  rig.target.down(std::nullopt);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
  CHECK(rig.eventually([&] { return rig.mirror->freshness().fresh("things"); }));
}

TEST_CASE(
    "H55: an outage of days costs disk for its bound only: bodies are dropped, and the primary is read instead") {
  Rig rig;
  rig.options.journal_bytes_max = 50'000;
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  for (int i = 0; i < 500; ++i) rig.write("k" + std::to_string(i), 1);
  CHECK(rig.journal->body(1));
  REQUIRE(rig.journal->stats().bytes > 60'000);
  CHECK(rig.eventually([&] { return !rig.journal->body(500); }));
  rig.target.down(std::nullopt);
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("H55: after a promotion bodies are kept, whatever they cost: a rollback may need them") {
  Rig rig;
  rig.options.journal_bytes_max = 10;
  rig.start(Side::target);
  rig.source.down(Error(Code::refused_connection, "away"));
  auto ticket = rig.begin("a", 1);
  const auto seq = ticket.seq;
  rig.target.put("a", 1);
  rig.applied(std::move(ticket));
  for (int i = 0; i < 10; ++i) rig.linger();
  CHECK(rig.journal->body(seq));
  CHECK(rig.mirror->numbers().problem.find("journal.max_bytes") !=
        std::string::npos);  // shown: people decide
  rig.source.down(std::nullopt);
  CHECK(rig.eventually([&] { return rig.source.find("a") == 1; }));
}

TEST_CASE(
    "a partition made after the promotion is made on the source too, once, and holds nothing up there") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.source.knows_partitions = true;
  rig.start(Side::target);
  auto schema = rig.collection()->plan->source();
  schema.partitions = {"later"};
  REQUIRE(rig.collections->put(std::move(schema), false));
  std::vector<vmproxy::journal::Image> images;
  for (const char* id : {"a", "b", "c"}) {
    auto record = record_of(id, 1);
    if (record.key != key_of("a")) record.key.partition = "later";
    images.push_back({record.key, record});
  }
  rig.applied(rig.begin(std::move(images)));
  REQUIRE(rig.quiet());
  CHECK(rig.source.rows() == FakeDriver::Rows{{"a", 1}, {"b", 1}, {"c", 1}});
  CHECK(rig.source.calls(Call::alter) == 1);
  CHECK(rig.source.calls(Call::upsert) <= 6);
  CHECK(rig.mirror->numbers().dirty == 0);  // nor is anything owed for an attempt that did nothing
}

TEST_CASE("a partition that the target was not told of is made there, once") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.target.knows_partitions = true;
  rig.start();
  auto schema = rig.collection()->plan->source();
  schema.partitions = {"later"};
  REQUIRE(rig.collections->put(std::move(schema), false));
  auto record = record_of("b", 1);
  record.key.partition = "later";
  rig.applied(rig.begin(std::vector<vmproxy::journal::Image>{{record.key, record}}));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"b", 1}});
  CHECK(rig.target.calls(Call::alter) == 1);
}

TEST_CASE("what a replica goes on missing although it was made is tried again with pauses") {
  Rig rig;
  rig.start();
  rig.target.fail(Call::upsert, Error(Code::not_found, "something is not there"), 100'000);
  rig.write("a", 1);
  CHECK(rig.eventually([&] {
    return rig.target.calls(Call::upsert) >= 2 &&  // at once, when something may have been made
           !rig.mirror->numbers().problem.empty();
  }));
  rig.linger();
  CHECK(rig.target.calls(Call::upsert) <= 20);
  CHECK_FALSE(rig.mirror->numbers().problem.empty());
}

TEST_CASE("a replica that comes back without the collection gets it again, and what is owed") {
  Rig rig;
  rig.start();
  rig.target.down(Error(Code::unavailable, "503"));
  rig.write("a", 1);
  rig.linger();
  rig.target.drop_collection("things");
  rig.target.down(std::nullopt);
  CHECK(rig.eventually([&] { return rig.target.find("a") == 1; }));
}

TEST_CASE("H52: a key of which the disk cannot say whether it is owed counts as dirty") {
  Rig rig;
  rig.start_with_debts_that_cannot_be_read();
  CHECK(rig.dirty("b"));
  CHECK(rig.dirty("other"));
  rig.store->fail_reads({});
  CHECK(rig.dirty("b"));
  CHECK_FALSE(rig.dirty("other"));
}

TEST_CASE("H55: collapsed changes are still owed after a crash") {
  Rig rig;
  rig.options.entries_max = 0;
  rig.start();
  for (int i = 0; i < 100; ++i) rig.write("k" + std::to_string(i), 1);
  REQUIRE(rig.trimmed());  // the debts are all that is left of them
  rig.crash();
  CHECK(rig.target.rows().empty());
  rig.options.entries_max = 10;
  rig.start();
  rig.pass(seconds(60));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("H52: a collection counts as fresh only when the replica acknowledged every acknowledged write") {
  Rig rig;
  rig.start();
  rig.target.hold(Call::upsert);
  rig.write("a", 1);
  REQUIRE(rig.eventually([&] { return rig.target.held() == 1; }));
  CHECK_FALSE(rig.mirror->freshness().fresh("things"));  // sent is not acknowledged
  CHECK(rig.dirty("a"));
  rig.target.release();
  REQUIRE(rig.quiet());
  // Both are said a moment later than what is owed is done.
  CHECK(rig.eventually([&] { return rig.mirror->freshness().fresh("things"); }));
  CHECK(rig.eventually([&] { return !rig.dirty("a"); }));
}

TEST_CASE(
    "H52: from the beginning of its write until the replica has it there is no moment in which a key is not dirty") {
  Rig rig;
  std::vector<vmproxy::journal::Image> images;
  for (int i = 10'000; i < 12'000; ++i)
    images.push_back({key_of("k" + std::to_string(i)), record_of("k" + std::to_string(i), 1)});
  const std::string last = "k11999";  // its entry comes long after the write has left the in-flight table
  bool keyed = true;
  SECTION("of a batch") {}
  SECTION("of a delete by filter") {
    keyed = false;
  }
  if (!keyed) {
    for (const auto& image : images) rig.source.put(vmproxy::model::to_string(image.key.id), 1);
  }
  rig.start();
  rig.target.hold(Call::upsert);
  rig.source.hold(Call::read);
  auto ticket = keyed ? rig.begin(std::move(images)) : rig.begin_delete_where(1);
  CHECK(rig.dirty(last));
  std::atomic<bool> finished{false};
  std::thread finishing([&] {
    rig.applied(std::move(ticket));
    finished = true;
  });
  bool always = true;
  while (!finished) always = rig.dirty(last) && always;
  finishing.join();
  CHECK(always);
  CHECK(rig.dirty(last));
}

TEST_CASE("H52: nor at the end of a lost delete by filter, when the keys of its window are owed") {
  Rig rig;
  constexpr int keys =
      10'000;  // owed one after the other: long enough to look between; more outlast the clock of eventually()
  for (int i = 0; i < keys; ++i) rig.source.put("k" + std::to_string(i), 1);
  rig.start();
  rig.uncertain(rig.begin_delete_where(1));
  REQUIRE(rig.quiet());
  rig.target.hold(Call::upsert);  // from now on nothing arrives, so nothing becomes clean
  CHECK(rig.dirty("k9"));         // its window
  std::atomic<bool> looking{false}, owed{false}, always{true};
  std::thread looks([&] {
    while (!owed) {
      if (!rig.dirty("k9")) always = false;
      looking = true;
    }
  });
  CHECK(rig.eventually([&] { return looking.load(); }));
  rig.pass(seconds(61));
  const bool all_owed = rig.eventually([&] { return rig.mirror->numbers().dirty >= keys; });
  owed = true;
  looks.join();
  CHECK(all_owed);
  CHECK(always.load());
  CHECK(rig.dirty("k9"));
}

TEST_CASE(
    "what is thrown while changes are brought over costs none of them: they are owed as they were, and done later") {
  std::atomic<bool> throwing{true};
  std::atomic<int> thrown{0};
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.target.after_read = [&] {
    if (!throwing) return;
    ++thrown;
    throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again), "no thread");
  };
  rig.start(Side::target);
  rig.mirror->pause("things");  // so that both are in one batch
  auto image = rig.begin("a", 1);
  rig.target.put("a", 1);
  rig.applied(std::move(image));
  auto read = rig.begin("b", 1, IntentClass::read_back);
  rig.target.put("b", 1);
  rig.applied(std::move(read));
  rig.mirror->resume("things");
  // The image does not become a READ, which nobody could do now (C6).
  CHECK(rig.eventually([&] { return rig.source.find("a") == 1; }));
  CHECK(rig.eventually([&] { return thrown > 2; }));
  CHECK_FALSE(rig.source.find("b"));
  CHECK(rig.dirty("b"));
  CHECK(rig.mirror->numbers().lag_changes >= 1);
  CHECK_THAT(rig.mirror->numbers().problem, Catch::Matchers::Contains("no thread"));
  throwing = false;
  CHECK(rig.eventually([&] { return rig.source.find("b") == 1; }));
  rig.pass(seconds(61));
  REQUIRE(rig.quiet());
  CHECK(rig.equal());
}

TEST_CASE("a replica that failed is asked again, also when what is tried first is refused for good") {
  Rig rig;
  rig.options.lanes.lanes = 1;
  rig.start();
  rig.target.down(Error(Code::refused_connection, "away"));
  rig.write("bad", 1);
  REQUIRE(rig.eventually([&] { return rig.mirror->numbers().failed > 0; }));
  rig.target.refuse_batches_with("bad");
  rig.target.down(std::nullopt);
  REQUIRE(rig.eventually([&] { return rig.mirror->quarantine().count() == 1; }));
  rig.write("good", 1);
  CHECK(rig.eventually([&] { return rig.target.find("good") == 1; }));
}
