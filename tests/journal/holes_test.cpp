// Seqs of failed appends are a hole: one entry at its first seq. No mark and no trim may stand inside it.
#include <thread>

#include "journal/durable_journal.h"
#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;

namespace {

// Appends `count` intents that fail: the first in a group of its own, the others behind it.
void burn(Fixture& at, size_t count, bool reaches_the_disk = false) {
  at.store->hold_commits(true);
  Results<Seq> results;
  for (size_t i = 0; i < count; ++i) {
    at.journal->append(intent_of("burnt"), body_of("x"), results.next());
    while (at.store->waiting_commits() == 0) std::this_thread::yield();
  }
  if (reaches_the_disk)
    at.store->fail_next_commit_after_applying();
  else
    at.store->fail_next_commits(1);
  at.store->hold_commits(false);
  const auto burnt = results.wait(count);
  REQUIRE(burnt.size() == count);
  for (const auto& result : burnt) CHECK_FALSE(result);
}

// What was put lazily before is committed.
void flush(Fixture& at) {
  Results<void> flushed;
  at.journal->put_rows({}, flushed.next());
  REQUIRE(flushed.wait(1).at(0));
}

void put_mark(Fixture& at, Seq seq) {
  const std::string key = meta_key("next");
  at.store->overwrite(key, encode_bytes(encode_number(seq)).finish(key));
}

void put_trimmed(Fixture& at, Seq seq) {
  store::Batch batch;
  for (const Kind kind : {Kind::intent, Kind::body, Kind::outcome})
    batch.erase_range(seq_key(kind, 0), seq_key(kind, seq));
  REQUIRE(at.store->commit(batch, store::Sync::yes));
  const std::string key = meta_key("trimmed");
  at.store->overwrite(key, encode_bytes(encode_number(seq)).finish(key));
}

void wait_trimmed(Fixture& at, Seq before) {
  for (int i = 0; i < 5000 && at.journal->stats().trimmed_below == before; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

TEST_CASE("the mark of how far seqs go does not come to lie inside a hole") {
  const bool reaches_the_disk = GENERATE(false, true);
  Fixture at;
  at.open();
  Results<Seq> results;
  for (Seq seq = 1; seq <= next_mark_count; ++seq)
    at.journal->append(intent_of("k"), body_of("b"), results.next());
  REQUIRE(results.wait(next_mark_count).size() == next_mark_count);
  burn(at, 3, reaches_the_disk);  // the first of them is far enough from the beginning for a mark
  REQUIRE(at.journal->reopen());
  flush(at);
  SECTION("a kill at once") {
    at.power_cut();
    at.open();
  }
  SECTION("a kill later") {
    CHECK(at.append("after") == next_mark_count + 4);
    at.power_cut();
    at.open();
  }
  SECTION("another failure") {
    CHECK(at.append("after") == next_mark_count + 4);
    burn(at, 2);
    REQUIRE(at.journal->reopen());
  }
  const Seq next = at.journal->next();
  CHECK(next >= next_mark_count + 4);
  CHECK(at.append("last") == next);
  CHECK(at.seqs(next_mark_count).front() == next_mark_count);
  CHECK(at.seqs(next_mark_count).back() == next);
  CHECK(at.journal->verify().value().problems.empty());
  at.power_cut();
  at.open();
  CHECK(at.journal->next() == next + 1);
}

TEST_CASE("a trim to a position inside a hole keeps the hole's entry, and a scan may begin there") {
  Fixture at;
  at.open();
  at.append("a");
  burn(at, 3);
  REQUIRE(at.journal->reopen());
  CHECK(at.append("b") == 5);
  CHECK(at.seqs(3) == std::vector<Seq>{5});
  at.journal->trim_below(3);
  wait_trimmed(at, 1);
  CHECK(at.journal->stats().trimmed_below == 2);
  CHECK(at.seqs() == std::vector<Seq>{5});
  CHECK(at.journal->verify().value().problems.empty());
  at.crash();  // a trim is not synced: a power cut would take it back
  at.open();
  CHECK(at.journal->next() == 6);
  CHECK(at.seqs() == std::vector<Seq>{5});
  at.journal->trim_below(5);
  wait_trimmed(at, 2);
  CHECK(at.journal->stats().trimmed_below == 5);
  at.crash();
  at.open();
  CHECK(at.seqs() == std::vector<Seq>{5});
  CHECK(at.journal->verify().value().problems.empty());
}

TEST_CASE(
    "where a hole keeps everything from being trimmed, that is looked up once in a while, not for each write") {
  Fixture at;
  at.open();
  at.append("a");
  burn(at, 3);
  REQUIRE(at.journal->reopen());
  at.append("b");
  at.journal->trim_below(3);
  wait_trimmed(at, 1);
  REQUIRE(at.journal->stats().trimmed_below == 2);
  const auto began = std::chrono::steady_clock::now();
  const uint64_t reads = at.store->reads();
  for (int i = 0; i < 500; ++i) {
    at.append("c");
    at.journal->trim_below(3);
  }
  const auto looks_max = static_cast<uint64_t>((std::chrono::steady_clock::now() - began) / trim_delay) + 2;
  CHECK(at.store->reads() - reads <= 2 * looks_max);  // a get and a scan each
  CHECK(at.journal->stats().trimmed_below == 2);
}

TEST_CASE("a trim does not go beyond what was called back") {
  Fixture at;
  at.open();
  at.append("a");
  at.store->hold_commits(true);
  Results<Seq> results;
  at.journal->append(intent_of("b"), body_of("x"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  at.journal->append(intent_of("c"), body_of("x"), results.next());
  at.journal->trim_below(4);
  at.store->hold_commits(false);
  REQUIRE(results.wait(2).size() == 2);
  wait_trimmed(at, 1);
  CHECK(at.journal->stats().trimmed_below == 2);
  CHECK(at.seqs() == std::vector<Seq>{2, 3});
}

TEST_CASE("a mark that an older version left inside a hole is no damage; one beyond what is there is") {
  Fixture at;
  at.open();
  at.append("a");
  burn(at, 3);
  REQUIRE(at.journal->reopen());
  Seq next = 5;
  SECTION("the hole is last") {}
  SECTION("an intent follows") {
    next = at.append("b") + 1;
  }
  at.crash();
  put_mark(at, 3);
  at.open();
  CHECK(at.journal->next() == next);
  CHECK(at.append("c") == next);
  CHECK(at.seqs().back() == next);
  CHECK(at.journal->verify().value().problems.empty());
  at.crash();
  put_mark(at, 9);
  const auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::corrupt);
  CHECK(opened.error().message.find("intents " + std::to_string(next + 1) + " to 8") != std::string::npos);
}

TEST_CASE("a trim inside a hole, as older versions did it, is no damage but a gap, once") {
  Fixture at;
  at.open();
  at.append("a");
  burn(at, 3);
  REQUIRE(at.journal->reopen());
  at.append("b");
  CHECK(at.append("c") == 6);
  Seq next = 7;
  SECTION("the mark is behind the last intent") {
    at.crash();
    put_mark(at, 7);
  }
  SECTION("the mark is at an intent") {
    at.crash();
    put_mark(at, 6);
  }
  SECTION("a clean end") {
    REQUIRE(at.journal->close());
    at.crash();
  }
  put_trimmed(at, 3);
  for (int start = 0; start < 3; ++start) {
    INFO("start " << start);
    at.open();
    CHECK(at.journal->next() == next);
    REQUIRE(at.journal->gaps().value().size() == 1);
    CHECK_THAT(at.journal->gaps().value()[0].what, Catch::Matchers::Contains("begins with intent 5"));
    CHECK(at.seqs().front() == 5);
    CHECK(at.append("later") == next++);
    CHECK(at.seqs().back() + 1 == next);
    CHECK(at.journal->verify().value().problems.empty());
    at.power_cut();
  }
}

TEST_CASE("intents that are missing at the beginning and that no mark vouches for are damage") {
  Fixture at;
  at.open();
  for (const char* id : {"a", "b", "c", "d"}) at.append(id);
  at.crash();
  store::Batch batch;
  batch.erase_range(seq_key(Kind::intent, 1), seq_key(Kind::intent, 3));
  REQUIRE(at.store->commit(batch, store::Sync::yes));
  const auto opened = Journal::open(*at.store, at.clock, at.metrics, {});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::corrupt);
  CHECK(opened.error().message.find("intents 1 to 2") != std::string::npos);
}

TEST_CASE(
    "a clean end that stands behind seqs of appends it refused is no damage, also when a kill follows it at once") {
  Fixture at;
  at.open();
  at.append("a");
  SECTION("behind an intent") {
    REQUIRE(at.journal->close());
  }
  SECTION("behind a hole") {
    burn(at, 2);
    REQUIRE(at.journal->reopen());
    REQUIRE(at.journal->close());
  }
  SECTION("nothing is left but them") {
    at.journal->trim_below(2);
    wait_trimmed(at, 1);
    REQUIRE(at.journal->close());
  }
  const Seq end = at.journal->next();
  const std::vector<Seq> before = at.seqs();
  at.crash();
  put_mark(at, end + 3);
  for (int start = 0; start < 2; ++start) {  // the second one follows a kill
    at.open();
    CHECK(at.journal->next() == end + 3);
    CHECK(at.seqs() == before);
    CHECK(at.journal->gaps().value().empty());
    CHECK(at.journal->verify().value().problems.empty());
    at.power_cut();
  }
  at.open();
  CHECK(at.append("b") == end + 3);
  CHECK(at.seqs().back() == end + 3);
  at.power_cut();
  at.open();
  CHECK(at.journal->next() == end + 4);
  CHECK(at.journal->verify().value().problems.empty());
}
