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
  SECTION("an intent follows") { next = at.append("b") + 1; }
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
