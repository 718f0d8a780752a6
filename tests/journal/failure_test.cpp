#include <future>
#include <thread>

#include "base/fake_clock.h"
#include "journal/durable_journal.h"
#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;

TEST_CASE("a failed commit fails its appends and every later one until reopened; their seqs are a hole") {
  Fixture at;
  at.open();
  at.append("before");
  at.store->fail_next_commits(1);
  CHECK(append_and_wait(*at.journal, intent_of("lost"), body_of("x")).error().code == Code::io);
  auto later = append_and_wait(*at.journal, intent_of("lost too"), body_of("x"));
  REQUIRE_FALSE(later);
  CHECK(later.error().code == Code::io);
  CHECK(at.journal->failure());
  CHECK_FALSE(at.journal->commit_rows({{"x", "a", "b"}}));
  CHECK(at.seqs() == std::vector<Seq>{1});  // reading goes on

  REQUIRE(at.journal->reopen());
  CHECK_FALSE(at.journal->failure());
  CHECK(at.append("after") == 3);
  CHECK(at.seqs() == std::vector<Seq>{1, 3});
  CHECK(at.journal->head(2).error().code == Code::not_found);
  CHECK(at.journal->verify().value().problems.empty());
  at.power_cut();
  at.open();
  CHECK(at.journal->next() == 4);
  CHECK(at.seqs() == std::vector<Seq>{1, 3});
}

TEST_CASE("a commit that reached the disk although its sync failed leaves no intent behind") {
  Fixture at;
  at.open();
  at.store->fail_next_commit_after_applying();
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("half"), body_of("x")));
  REQUIRE(at.journal->reopen());
  CHECK(at.seqs().empty());
  CHECK(at.append("next") == 2);
  CHECK(at.journal->verify().value().problems.empty());
}

TEST_CASE("what the store cannot vouch for when it is opened is a gap, once") {
  Fixture at;
  at.open();
  at.append("a");
  at.crash();
  at.store->set_doubt("the slot was lost");
  at.open();
  const auto gaps = at.journal->gaps().value();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].what == "the slot was lost");
  CHECK_FALSE(at.store->doubt());
  at.power_cut();
  at.open();
  CHECK(at.journal->gaps().value().size() == 1);
}

TEST_CASE("lazy rows and outcomes put before and during a failure are committed after it") {
  Fixture at;
  at.open();
  at.append("a");
  at.store->hold_commits(true);
  Results<Seq> results;
  at.journal->append(intent_of("b"), body_of("x"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  at.journal->outcome(1, {model::Outcome::applied, {}, {}});
  at.journal->put_rows({{"d", "before", "1"}, {"d", "changed", "1"}});
  Results<void> durable;
  at.journal->put_rows({{"d", "waited for", "1"}}, durable.next());
  at.store->fail_next_commits(1);
  at.store->hold_commits(false);
  REQUIRE_FALSE(results.wait(1)[0]);
  REQUIRE_FALSE(durable.wait(1)[0]);
  at.journal->put_rows({{"d", "during", "1"}, {"d", "changed", std::nullopt}});
  CHECK(at.journal->row("d", "before").value());
  CHECK_FALSE(at.journal->row("d", "waited for").value());
  REQUIRE(at.journal->reopen());
  Results<void> flushed;
  at.journal->put_rows({}, flushed.next());
  REQUIRE(flushed.wait(1)[0]);
  at.power_cut();
  at.open();
  CHECK(at.journal->row("d", "before").value());
  CHECK(at.journal->row("d", "during").value());
  CHECK_FALSE(at.journal->row("d", "changed").value());
  CHECK_FALSE(at.journal->row("d", "waited for").value());
  CHECK(at.journal->outcome_of(1).value());
}

TEST_CASE(
    "an outcome that somebody waits for is kept when it cannot be made durable, and committed after that") {
  Fixture at;
  at.open();
  at.append("a");
  Results<void> told;
  bool before = false;
  SECTION("its commit fails") {
    at.store->fail_next_commits(1);
  }
  SECTION("one before it has failed") {
    before = true;
    at.store->fail_next_commits(1);
    CHECK_FALSE(append_and_wait(*at.journal, intent_of("b"), body_of("x")));
  }
  at.journal->outcome(1, {model::Outcome::rejected, {}, {}}, told.next());
  REQUIRE(told.wait(1).size() == 1);
  CHECK_FALSE(told.wait(1)[0]);
  REQUIRE(at.journal->reopen());
  CHECK(at.append("after") == (before ? 3 : 2));
  at.power_cut();
  at.open();
  const auto kept = at.journal->outcome_of(1).value();
  REQUIRE(kept);
  CHECK(kept->whole == model::Outcome::rejected);
}

// Its clock stands still: no lazy row is committed because time passes.
TEST_CASE("lazy rows that were kept over a failure are committed by a close() right after it") {
  FakeClock still;
  Fixture at;
  at.journal = Journal::open(*at.store, still, at.metrics, at.options).value();
  at.journal->put_rows({{"d", "debt", "1"}});
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
  REQUIRE(at.journal->reopen());
  REQUIRE(at.journal->close());
  at.open();
  CHECK(at.journal->stats().clean_start);
  CHECK(at.journal->row("d", "debt").value() == "1");
}

// A debt that is lost so while the end of its intent, committed later, stays: after a crash nobody knows of it.
TEST_CASE(
    "lazy rows that were committed before a failure are there after it, also where the store lost them") {
  Fixture at;
  at.open();
  at.append("a");
  at.store->lose_when_reopened(true);
  for (const char* value : {"1", "2"}) {
    const auto before = at.store->commits();
    at.journal->put_rows({{"d", "debt", value}});
    while (at.store->commits() == before) std::this_thread::yield();
  }
  SECTION("the next commit fails") {
    at.store->fail_next_commits(1);
  }
  SECTION("it is on the disk all the same") {
    at.store->fail_next_commit_after_applying();
  }
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("b"), body_of("x")));
  REQUIRE(at.journal->reopen());
  CHECK(at.journal->row("d", "debt").value() == "2");
  CHECK(at.append("after") == 3);
  at.power_cut();
  at.open();
  CHECK(at.journal->row("d", "debt").value() == "2");
}

// Otherwise its mark would be back where it was, with nothing behind it: intents that seem to be lost.
TEST_CASE(
    "a trim that reached the disk with a failed commit is not taken back by an older one that is committed again") {
  Fixture at;
  at.open();
  for (int i = 0; i < 5; ++i) at.append("k");
  const auto lazily = [&](auto&& change) {
    const auto before = at.store->commits();
    change();
    while (at.store->commits() == before) std::this_thread::yield();
  };
  lazily([&] { at.journal->outcome(2, {model::Outcome::applied, {}, {}}); });
  lazily([&] { at.journal->trim_below(2); });
  // A trim is due so long after the last one: the next group takes it along.
  std::this_thread::sleep_for(trim_delay);
  at.store->hold_commits(true);
  at.journal->trim_below(4);
  at.store->fail_next_commit_after_applying();
  const bool with_an_append = GENERATE(true, false);
  CAPTURE(with_an_append);
  Results<Seq> results;
  if (with_an_append) at.journal->append(intent_of("lost"), body_of("x"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  at.store->hold_commits(false);
  while (!at.journal->failure()) std::this_thread::yield();
  REQUIRE(at.journal->reopen());
  REQUIRE(at.journal->stats().trimmed_below == 4);  // the commit that failed had it
  CHECK(at.append("after") == (with_an_append ? 7 : 6));
  CHECK_FALSE(at.journal->outcome_of(2).value());
  CHECK(at.journal->verify().value().problems.empty());
  at.power_cut();
  at.open();
  CHECK(at.journal->verify().value().problems.empty());
  CHECK_FALSE(at.journal->outcome_of(2).value());
}

// What is kept for a reopening is bounded so. With `os` nothing is kept, and nothing is synced for it.
TEST_CASE("very many lazy rows are synced now and then, with durability os never") {
  Fixture at;
  SECTION("fsync") {
    at.options.durability = Durability::fsync;
  }
  SECTION("os") {
    at.options.durability = Durability::os;
  }
  at.open();
  const auto synced = at.store->synced_commits();
  for (int i = 0; i < 12; ++i) {
    const auto before = at.store->commits();
    at.journal->put_rows({{"d", std::to_string(i), std::string(1u << 20, 'x')}});
    while (at.store->commits() == before) std::this_thread::yield();
  }
  CHECK(at.store->synced_commits() == synced + (at.options.durability == Durability::fsync ? 1 : 0));
}

TEST_CASE("lazy rows put while the journal is failed do not make it sleep through reopen()") {
  Fixture at;
  at.open();
  for (int round = 0; round < 20; ++round) {
    at.store->fail_next_commits(1);
    CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
    for (int i = 0; i < 5; ++i) {
      at.journal->put_rows({{"d", std::to_string(i), "1"}});
      // Long enough that the committer is asleep again.
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    REQUIRE(at.journal->reopen());
  }
}

TEST_CASE("reopening fails while the store cannot be opened and succeeds later") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
  at.store->fail_reopen(true);
  CHECK(at.journal->reopen().error().code == Code::io);
  CHECK(at.journal->failure());
  at.store->fail_reopen(false);
  REQUIRE(at.journal->reopen());
  CHECK(at.append("b") == 2);
}

TEST_CASE("the journal opens itself again when the failure of its disk has passed") {
  Fixture at;
  at.options.reopen_every = std::chrono::milliseconds(20);
  at.open();
  at.append("before");
  at.store->fail_reopen(true);
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
  REQUIRE(at.journal->mark_gap("passed"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(at.journal->failure());
  at.store->fail_reopen(false);
  for (int i = 0; i < 2000 && at.journal->failure(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  REQUIRE_FALSE(at.journal->failure());
  CHECK(at.append("after") == 3);
  CHECK(at.journal->gaps().value().size() == 1);
  CHECK(at.store->read_slot().value().empty());  // the gap is a row now
}

TEST_CASE("a reopened store that lost acknowledged intents is refused") {
  Fixture at;
  at.options.durability = Durability::os;
  at.open();
  at.append("a");
  at.append("b");
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("c"), body_of("x")));
  at.store->lose_unsynced();
  const auto reopened = at.journal->reopen();
  REQUIRE_FALSE(reopened);
  CHECK(reopened.error().code == Code::corrupt);
  CHECK(reopened.error().message.find("intents 1 to 2") != std::string::npos);
  CHECK(at.journal->failure());
}

TEST_CASE(
    "H49: a gap found while the journal's disk fails is durable in the slot, and a row after the next open") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  Results<void> marked;
  at.journal->append(intent_of("a"), body_of("x"), [&](Result<Seq> result) {
    // As the proxy does it: the append failed, so the write passes with a mark, from the callback itself.
    if (!result) marked.next()(at.journal->mark_gap("capture failed"));
  });
  REQUIRE(marked.wait(1)[0]);
  CHECK(at.journal->mark_gap("capture failed"));
  CHECK(at.journal->gaps().value().size() == 1);
  at.power_cut();
  at.store->reopen().value();
  at.open();
  auto gaps = at.journal->gaps().value();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].what == "capture failed");
  CHECK(at.store->read_slot().value().empty());
  at.power_cut();
  at.open();
  CHECK(at.journal->gaps().value().size() == 1);
}

TEST_CASE("H49: a gap that can be recorded nowhere is an error, so that the write is refused") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
  at.store->fail_slot(true);
  const auto marked = at.journal->mark_gap("capture failed");
  REQUIRE_FALSE(marked);
  CHECK(marked.error().code == Code::io);
  CHECK(at.journal->gaps().value().empty());
  at.store->fail_slot(false);
  CHECK(at.journal->mark_gap("capture failed"));
  REQUIRE(at.journal->reopen());
  CHECK(at.journal->gaps().value().size() == 1);
}

TEST_CASE(
    "H49: whoever must not block does not wait for the slot, and the gap that is on its way there counts") {
  Fixture at;
  at.open();
  at.append("first");
  at.store->hold_slot(true);
  at.store->fail_next_commits(1);
  Results<void> marked;
  SECTION("marked by the callback of a write that failed") {
    at.journal->append(intent_of("a"), body_of("x"), [&](Result<Seq> result) {
      if (!result) marked.next()(at.journal->mark_gap("capture failed"));
    });
  }
  SECTION("marked from elsewhere") {
    at.journal->mark_gap("capture failed", marked.next());
  }
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!at.store->slot_waits() && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  REQUIRE(at.store->slot_waits());
  Results<Seq> appended;
  Results<void> recorded, again;
  bool counts = false;
  auto other = std::async(std::launch::async, [&] {
    at.journal->append(intent_of("b"), body_of("x"), appended.next());
    at.journal->put_rows({{"d", "debt", "1"}}, recorded.next());
    at.journal->outcome(1, {model::Outcome::applied, {}, {}});
    counts = at.journal->has_gaps();
    at.journal->mark_gap("capture failed", again.next());
  });
  CHECK(other.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  at.store->hold_slot(false);
  other.get();
  CHECK(counts);
  for (auto* result : {&marked, &again}) {
    REQUIRE(result->wait(1).size() == 1);
    CHECK(result->wait(1)[0]);
  }
  CHECK(at.journal->gaps().value().size() == 1);  // the second is the same
  CHECK_FALSE(at.store->read_slot().value().empty());
  REQUIRE(at.journal->reopen());
  CHECK(at.store->read_slot().value().empty());
  CHECK(at.journal->gaps().value().size() == 1);
  REQUIRE(at.journal->close_gaps(at.journal->gap_horizon()));
  CHECK_FALSE(at.journal->has_gaps());
}

TEST_CASE("H49: a gap counts until whoever marked it knows that it can be recorded nowhere") {
  Fixture at;
  at.open();
  at.store->fail_slot(true);
  at.store->fail_next_commits(1);
  Results<void> marked;
  const auto mark = [&](std::string what) {
    at.journal->mark_gap(std::move(what), [&, next = marked.next()](Result<void> result) {
      next(!result && at.journal->has_gaps() ? Result<void>() : Error(Code::internal, "it does not count"));
    });
  };
  mark("its row fails");
  CHECK(marked.wait(1)[0]);
  mark("while the journal fails");
  CHECK(marked.wait(2)[1]);
}

TEST_CASE("H49: a gap of what can be refused no more, and that can be recorded nowhere, is recorded later") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  at.store->fail_slot(true);
  at.journal->record_gap("done already");
  CHECK_FALSE(at.journal->mark_gap("can be refused"));  // behind it
  CHECK(at.journal->has_gaps());
  CHECK(at.journal->gaps().value().empty());
  at.store->fail_slot(false);
  REQUIRE(at.journal->reopen());
  auto gaps = at.journal->gaps().value();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].what == "done already");
  at.power_cut();
  at.open();
  CHECK(at.journal->gaps().value().size() == 1);
  REQUIRE(at.journal->close_gaps(at.journal->gap_horizon()));
  CHECK_FALSE(at.journal->has_gaps());
}

// RocksDB deletes whole files, and its manifest is synced where the log is not.
TEST_CASE("the space of what was trimmed is given back only once no power cut can bring back the trim") {
  Fixture at;
  at.options.reclaim_above = 1;
  at.options.reclaim_each = 1;
  SECTION("fsync") {}
  SECTION("os") {
    at.options.durability = Durability::os;
  }
  at.open();
  for (const char* id : {"a", "b", "c"}) at.append(id);
  REQUIRE(at.journal->commit_rows({{"x", "synced", ""}}));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // the next group is followed by housekeeping
  at.journal->put_rows({{"d", "debt", "1"}});
  at.journal->trim_below(3);
  for (int i = 0; at.journal->stats().trimmed_below < 3 && i < 20000; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // polling
  REQUIRE(at.journal->stats().trimmed_below == 3);
  at.power_cut();
  at.open();
  CHECK(at.seqs() == std::vector<Seq>{3});
  CHECK(at.journal->row("d", "debt").value() == "1");
}

TEST_CASE("a gap whose row fails to commit falls back to the slot") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  REQUIRE(at.journal->mark_gap("unknown request"));
  CHECK_FALSE(at.store->read_slot().value().empty());
  REQUIRE(at.journal->reopen());
  CHECK(at.store->read_slot().value().empty());
  CHECK(at.journal->gaps().value().size() == 1);
}

TEST_CASE("gaps are closed up to the horizon of a clean validation, later ones stay") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->mark_gap("one"));
  REQUIRE(at.journal->mark_gap("one"));  // recorded once
  REQUIRE(at.journal->mark_gap("two"));
  CHECK(at.journal->gaps().value().size() == 2);
  const auto horizon = at.journal->gap_horizon();
  REQUIRE(at.journal->mark_gap("one"));  // again, after the validation began
  REQUIRE(at.journal->close_gaps(horizon));
  auto gaps = at.journal->gaps().value();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].what == "one");
  CHECK(gaps[0].number > horizon);
  at.power_cut();
  at.open();
  CHECK(at.journal->gaps().value().size() == 1);
  REQUIRE(at.journal->close_gaps(at.journal->gap_horizon()));
  at.power_cut();
  at.open();
  CHECK(at.journal->gaps().value().empty());
  REQUIRE(at.journal->mark_gap("new"));
  CHECK(at.journal->gaps().value()[0].number > gaps[0].number);  // numbers never come again
}

TEST_CASE("a gap that comes again after a restart is not closed with the one before it") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->mark_gap("one"));
  const auto horizon = at.journal->gap_horizon();  // of a validation that goes on after the restart
  at.power_cut();
  at.open();
  REQUIRE(at.journal->mark_gap("one"));
  REQUIRE(at.journal->close_gaps(horizon));
  CHECK(at.journal->gaps().value().size() == 1);
  CHECK(at.journal->has_gaps());
}

TEST_CASE("a gap counts from when it is marked, not only once it is durable") {
  Fixture at;
  at.open();
  CHECK_FALSE(at.journal->has_gaps());
  at.store->hold_commits(true);
  std::promise<bool> done;
  at.journal->mark_gap("one", [&](Result<void> marked) { done.set_value(static_cast<bool>(marked)); });
  CHECK(at.journal->has_gaps());
  CHECK(at.journal->gaps().value().empty());  // not on the disk yet
  at.store->hold_commits(false);
  CHECK(done.get_future().get());
  CHECK(at.journal->has_gaps());
}

TEST_CASE("very many gaps of different kinds stay bounded and fit the slot") {
  Fixture at;
  at.open();
  at.store->fail_next_commits(1);
  CHECK_FALSE(append_and_wait(*at.journal, intent_of("a"), body_of("x")));
  for (int i = 0; i < 1200; ++i) REQUIRE(at.journal->mark_gap("POST /unknown/" + std::to_string(i)));
  CHECK(at.journal->gaps().value().size() <= 1001);
  const uint64_t horizon = at.journal->gap_horizon();
  at.power_cut();
  at.store->reopen().value();
  at.open();
  auto gaps = at.journal->gaps().value();
  REQUIRE_FALSE(gaps.empty());
  CHECK(gaps.back().number == horizon);  // the merged entry carries the highest number
  CHECK(gaps.back().what.find("more gaps") != std::string::npos);
}
