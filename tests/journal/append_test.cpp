#include <atomic>
#include <thread>

#include "base/fake_clock.h"
#include "journal/durable_journal.h"
#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;

TEST_CASE("an acknowledged intent is there again after a power cut, with body and without outcome") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->stats().clean_start);
  REQUIRE(at.append("a", "payload") == 1);
  at.power_cut();
  at.open();
  CHECK_FALSE(at.journal->stats().clean_start);
  CHECK(at.journal->next() == 2);
  auto head = at.journal->head(1);
  REQUIRE(head);
  CHECK(head->seq == 1);
  CHECK(head->operation == "collection.upsert");
  CHECK(head->cls == IntentClass::image);
  CHECK(head->collection == model::CollectionName{"tenant/database", "things"});
  CHECK(head->keys == intent_of("a").keys);
  auto body = at.journal->body(1);
  REQUIRE(body);
  CHECK(body->method == "POST");
  CHECK(body->target == "/api/v2/x?y=1");
  CHECK(body->headers.find("Content-Type") == std::optional<std::string_view>("application/json"));
  CHECK(body->body == "payload");
  auto outcome = at.journal->outcome_of(1);
  REQUIRE(outcome);
  CHECK_FALSE(*outcome);
}

TEST_CASE("an append is not acknowledged before its group is synced") {
  Fixture at;
  at.open();
  at.store->hold_commits(true);
  Results<Seq> results;
  at.journal->append(intent_of("a"), body_of("1"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  CHECK(results.size() == 0);
  at.store->hold_commits(false);
  REQUIRE(results.wait(1).size() == 1);
}

TEST_CASE("appends that arrive during a sync share the next one, and are called back in order") {
  Fixture at;
  at.open();
  const auto before = at.store->synced_commits();
  at.store->hold_commits(true);
  Results<Seq> results;
  at.journal->append(intent_of("first"), body_of("1"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  for (int i = 0; i < 300; ++i) at.journal->append(intent_of("x"), body_of("2"), results.next());
  at.store->hold_commits(false);
  const auto all = results.wait(301);
  REQUIRE(all.size() == 301);
  for (Seq seq = 1; seq <= 301; ++seq) REQUIRE(*all[seq - 1] == seq);
  CHECK(at.store->synced_commits() == before + 2);
}

TEST_CASE("appends of many threads get seqs without a hole, each once") {
  Fixture at;
  at.open();
  Results<Seq> results;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) at.journal->append(intent_of("k"), body_of("b"), results.next());
    });
  }
  for (auto& thread : threads) thread.join();
  auto all = results.wait(1000);
  REQUIRE(all.size() == 1000);
  for (Seq seq = 1; seq <= 1000; ++seq) REQUIRE(*all[seq - 1] == seq);  // callbacks come in order of seqs
  CHECK(at.seqs().size() == 1000);
}

TEST_CASE(
    "outcomes are seen at once, survive a crash of the process, and only the intent survives a power cut") {
  Fixture at;
  at.open();
  at.append("a");
  OutcomeRecord outcome;
  outcome.whole = model::Outcome::uncertain;
  outcome.items = {model::Outcome::applied, model::Outcome::rejected};
  model::Record record;
  record.key = {"", {uint64_t{5}}};
  record.vectors[""] = model::DenseVector{1, 2, 3};
  record.document = "text";
  record.metadata = model::Object{{"n", model::Value(1)}};
  outcome.images = {{record.key, record}, {{"", {std::string("gone")}}, std::nullopt}};
  at.journal->outcome(1, outcome);
  auto seen = at.journal->outcome_of(1);
  REQUIRE(seen);
  REQUIRE(*seen);
  CHECK((**seen).items == outcome.items);
  bool in_scan = false;
  REQUIRE(at.journal->scan(1, [&](const auto&, const auto& found) {
    in_scan = found.has_value();
    return true;
  }));
  CHECK(in_scan);

  Results<void> flushed;
  at.journal->put_rows({}, flushed.next());
  flushed.wait(1);
  at.crash();
  at.open();
  seen = at.journal->outcome_of(1);
  REQUIRE(seen);
  REQUIRE(*seen);
  CHECK((**seen).whole == model::Outcome::uncertain);
  REQUIRE((**seen).images.size() == 2);
  CHECK((**seen).images[0].record->document == "text");
  CHECK_FALSE((**seen).images[1].record);
}

TEST_CASE("with durability os nothing but decisions is synced, and a restart of the machine is a gap") {
  Fixture at;
  at.options.durability = Durability::os;
  at.open();
  const auto before = at.store->synced_commits();
  at.append("a");
  CHECK(at.store->synced_commits() == before);
  at.crash();
  at.open();  // the process alone died: nothing is lost
  CHECK(at.journal->gaps().value().empty());
  CHECK(at.journal->next() == 2);
  at.append("b");
  at.power_cut();
  at.open();
  CHECK(at.journal->next() < 3);
  const auto gaps = at.journal->gaps().value();
  REQUIRE(gaps.size() == 1);
  CHECK(gaps[0].what.find("machine restarted") != std::string::npos);
  at.crash();
  at.open();
  CHECK(at.journal->gaps().value().size() == 1);  // durable
}

TEST_CASE("a clean close with durability os leaves no gap whatever happens to the machine") {
  Fixture at;
  at.options.durability = Durability::os;
  at.open();
  at.append("a");
  REQUIRE(at.journal->close());
  at.power_cut();
  at.open();
  CHECK(at.journal->stats().clean_start);
  CHECK(at.journal->gaps().value().empty());
  CHECK(at.journal->next() == 2);
}

TEST_CASE("appends above the bound of pending bytes are refused as overloaded and burn no seq") {
  Fixture at;
  at.options.pending_bytes_max = 10'000;
  at.open();
  at.store->hold_commits(true);
  Results<Seq> results;
  for (int i = 0; i < 20; ++i)
    at.journal->append(intent_of("x"), body_of(std::string(1000, 'x')), results.next());
  at.store->hold_commits(false);
  const auto all = results.wait(20);
  REQUIRE(all.size() == 20);
  size_t refused = 0;
  for (const auto& result : all) {
    if (result) continue;
    ++refused;
    CHECK(result.error().code == Code::overloaded);
  }
  CHECK(refused > 5);
  CHECK(refused < 20);
  CHECK(at.journal->next() == 21 - refused);
  CHECK(at.seqs().size() == 20 - refused);
}

TEST_CASE("trimming drops intents, bodies and outcomes below, and only those") {
  Fixture at;
  at.open();
  for (int i = 0; i < 10; ++i) at.append("k");
  for (Seq seq = 1; seq <= 10; ++seq) at.journal->outcome(seq, {model::Outcome::applied, {}, {}});
  at.journal->trim_below(6);
  for (int i = 0; i < 2000 && at.journal->stats().trimmed_below != 6; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(at.seqs() == std::vector<Seq>{6, 7, 8, 9, 10});
  CHECK(at.journal->head(5).error().code == Code::not_found);
  CHECK(at.journal->body(5).error().code == Code::not_found);
  CHECK_FALSE(at.journal->outcome_of(5).value());
  CHECK(at.journal->body(6));
  at.journal->drop_bodies_below(9);
  REQUIRE(at.journal->close());
  at.open();
  CHECK(at.seqs() == std::vector<Seq>{6, 7, 8, 9, 10});
  CHECK(at.journal->verify().value().problems.empty());
}

TEST_CASE("trims that come one by one are gathered, also after the first of them") {
  FakeClock clock;
  Metrics metrics;
  const auto store = store::make_memory_store();
  auto opened = Journal::open(*store, clock, metrics, {.reopen_every = Duration::zero()});
  REQUIRE(opened);
  const auto journal = std::move(*opened);
  const auto trimmed_to = [&](Seq seq) {
    for (int i = 0; i < 5000 && journal->stats().trimmed_below != seq; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return journal->stats().trimmed_below == seq;
  };
  for (int i = 0; i < 10; ++i) REQUIRE(append_and_wait(*journal, intent_of("k"), body_of("x")));
  journal->trim_below(5);
  clock.advance(trim_delay);
  REQUIRE(trimmed_to(5));
  // From here on the time stands, so what may go is too little and too new.
  const uint64_t commits = store->commits();
  for (Seq below = 6; below <= 205; ++below) {
    REQUIRE(append_and_wait(*journal, intent_of("k"), body_of("x")));
    journal->trim_below(below);
    if (below % 50 == 0) journal->drop_bodies_below(below);
  }
  CHECK(journal->stats().trimmed_below == 5);
  CHECK(store->commits() - commits == 200);
  clock.advance(trim_delay);
  CHECK(trimmed_to(205));
  CHECK(store->commits() - commits == 201);
}

TEST_CASE("collapsing drops bodies and keeps heads") {
  Fixture at;
  at.open();
  for (int i = 0; i < 5; ++i) at.append("k");
  at.journal->drop_bodies_below(4);
  for (int i = 0; i < 2000 && at.journal->body(3).has_value(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(at.journal->body(3).error().code == Code::not_found);
  CHECK(at.journal->body(4));
  CHECK(at.journal->head(3));
  CHECK(at.journal->verify().value().problems.empty());
}

TEST_CASE("appends after close are refused") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->close());
  CHECK(append_and_wait(*at.journal, intent_of("a"), body_of("b")).error().code == Code::precondition);
  CHECK_FALSE(at.journal->commit_rows({{"x", "a", "b"}}));
}

TEST_CASE("a journal destroyed with appends under way calls every one of them back") {
  Fixture at;
  at.open();
  at.store->hold_commits(true);
  Results<Seq> results;
  for (int i = 0; i < 50; ++i) at.journal->append(intent_of("x"), body_of("y"), results.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  std::thread release([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // either order of the two is right
    at.store->hold_commits(false);
  });
  at.journal.reset();
  release.join();
  REQUIRE(results.size() == 50);
  const auto all = results.wait(50);
  size_t acknowledged = 0;
  for (const auto& result : all) acknowledged += result.has_value();
  at.open();
  CHECK(at.seqs().size() == acknowledged);
}

TEST_CASE("whether the primary makes up keys is kept beside the class") {
  Fixture at;
  at.open();
  Results<Seq> results;
  for (const bool makes : {true, false}) {
    auto head = intent_of("a");
    head.cls = IntentClass::read_back;
    head.makes_keys = makes;
    at.journal->append(head, {}, results.next());
  }
  REQUIRE(results.wait(2).size() == 2);
  at.power_cut();
  at.open();
  for (const Seq seq : {1, 2}) {
    const auto head = at.journal->head(seq);
    REQUIRE(head);
    CHECK(head->makes_keys == (seq == 1));
    CHECK(head->cls == IntentClass::read_back);
    CHECK(head->keys == intent_of("a").keys);
  }
}

TEST_CASE("an empty body is not kept, and is missed only where one is needed") {
  Fixture at;
  at.open();
  Results<Seq> results;
  auto read_back = intent_of("a");
  read_back.cls = IntentClass::read_back;
  at.journal->append(read_back, {}, results.next());
  REQUIRE(results.wait(1).size() == 1);
  CHECK(at.journal->head(1)->cls == IntentClass::read_back);
  CHECK(at.journal->body(1).error().code == Code::not_found);
  REQUIRE(at.append("b", "payload") == 2);
  CHECK(at.journal->verify().value().problems.empty());
  at.power_cut();
  at.open();
  CHECK(at.journal->head(1)->keys == read_back.keys);
  CHECK(at.journal->body(2)->body == "payload");
  CHECK(at.journal->verify().value().problems.empty());
  // Of an image the body is the record itself.
  at.journal->append(intent_of("c"), {}, results.next());
  REQUIRE(results.wait(2).size() == 2);
  const auto problems = at.journal->verify().value().problems;
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("1 intents have no body") != std::string::npos);
}

TEST_CASE("two journals of one process have each their own figure of bytes") {
  Fixture at;
  at.options.labels = {{"migration", "one"}};
  at.open();
  const auto other_store = store::make_memory_store();
  Options other = at.options;
  other.labels = {{"migration", "two"}};
  const auto opened = Journal::open(*other_store, at.clock, at.metrics, other);
  REQUIRE(opened);
  const auto text = at.metrics.render();
  CHECK(text.find("vmproxy_journal_bytes{migration=\"one\"} ") != std::string::npos);
  CHECK(text.find("vmproxy_journal_bytes{migration=\"two\"} ") != std::string::npos);
}
