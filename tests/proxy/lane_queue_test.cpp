#include "proxy/lane_queue.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <map>

using vmproxy::proxy::Entry;
using vmproxy::proxy::LaneQueue;

namespace {

Entry entry(std::string key, uint64_t position, vmproxy::journal::Seq seq, bool image = false) {
  Entry e;
  e.collection = "c";
  e.key = std::move(key);
  e.position = position;
  e.owed = {position};
  e.image = image;
  e.seq = seq;
  if (seq != 0) e.seqs = {seq};
  return e;
}

bool always(const Entry&) {
  return true;
}

}  // namespace

TEST_CASE("the newest entry of a key takes the older one's place and finishes its intent") {
  LaneQueue queue;
  bool fresh = false;
  CHECK(queue.put(entry("a", 1, 10), &fresh).empty());
  CHECK(fresh);
  CHECK(queue.put(entry("a", 2, 11), &fresh) == std::vector<vmproxy::journal::Seq>{10});
  CHECK_FALSE(fresh);
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].seq == 11);
  CHECK(taken[0].owed == std::vector<uint64_t>{1});
}

TEST_CASE("entries are taken in order of their newest position") {
  LaneQueue queue;
  queue.put(entry("a", 1, 1), nullptr);
  queue.put(entry("b", 2, 2), nullptr);
  queue.put(entry("a", 3, 3), nullptr);
  const auto taken = queue.take(1, always);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].key == "b");
}

TEST_CASE("an entry that is ready is found behind any number that are not") {
  LaneQueue queue;
  for (uint64_t i = 1; i <= 20'000; ++i) queue.put(entry("r" + std::to_string(i), i, i), nullptr);
  queue.put(entry("image", 20'001, 20'001, true), nullptr);
  queue.put(entry("later", 20'002, 20'002, true), nullptr);
  const auto image = [](const Entry& e) { return e.image; };
  const auto taken = queue.take(1, image);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].key == "image");
  CHECK(queue.take(10, image).size() == 1);
  CHECK(queue.take(10, image).empty());
  CHECK(queue.take(1, always).at(0).key == "r1");
}

TEST_CASE("H61: an entry that supersedes a waiting READ waits for the same and is a READ") {
  LaneQueue queue;
  Entry waiting = entry("a", 1, 1);
  waiting.waits = {7};
  queue.put(waiting, nullptr);
  queue.put(entry("a", 2, 2, true), nullptr);
  CHECK(queue.take(10, [](const Entry& e) { return e.waits.empty(); }).empty());
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  CHECK_FALSE(taken[0].image);
  CHECK(taken[0].waits == std::vector<vmproxy::proxy::OpId>{7});
}

TEST_CASE("debts of a superseded entry are paid by the one that takes its place") {
  LaneQueue queue;
  Entry owing = entry("a", 1, 0);
  owing.debts.push_back({5, "c", "a", vmproxy::proxy::DebtReason::repair, {}});
  queue.put(owing, nullptr);
  queue.put(entry("a", 2, 2), nullptr);
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  REQUIRE(taken[0].debts.size() == 1);
  CHECK(taken[0].debts[0].id == 5);
}

TEST_CASE(
    "C6: a lost attempt on the replica is outlived by the image that waits; a late write of the primary is not") {
  using vmproxy::proxy::DebtReason;
  LaneQueue queue;
  queue.put(entry("a", 1, 10, true), nullptr);
  Entry debt = entry("a", 2, 0);
  debt.debts.push_back({7, "c", "a", DebtReason::zombie, {}});
  bool image = true;
  SECTION("an attempt") {}
  SECTION("a write that the primary may have executed late") {
    debt.debts.push_back({8, "c", "a", DebtReason::uncertain, {}});
    image = false;
  }
  const size_t debts = debt.debts.size();
  CHECK(queue.put(std::move(debt), nullptr).empty());
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].image == image);
  CHECK(taken[0].debts.size() == debts);
  CHECK(taken[0].seqs == std::vector<vmproxy::journal::Seq>{10});
}

TEST_CASE(
    "C6: a READ whose last write is journaled can be written from there, also under a debt of its key") {
  using Keys = std::vector<std::pair<std::string, std::string>>;
  LaneQueue queue;
  Entry read = entry("a", 1, 10);
  read.item = 3;
  read.journaled = true;
  Entry debt = entry("a", 2, 0);
  debt.debts.push_back({8, "c", "a", vmproxy::proxy::DebtReason::uncertain, {}});
  queue.put(std::move(read), nullptr);
  SECTION("the debt comes while it waits") {
    queue.put(std::move(debt), nullptr);
  }
  SECTION("the debt comes while it is read") {
    auto taken = queue.take(10, always);
    queue.put(std::move(debt), nullptr);
    queue.give_back(std::move(taken));
  }
  CHECK(queue.journaled() == Keys{{"c", "a"}});
  queue.use_journaled({{"c", "a"}, {"c", "another"}});
  CHECK(queue.journaled().empty());
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].image);
  CHECK(taken[0].seq == 10);
  CHECK(taken[0].item == 3);
  CHECK(taken[0].debts.size() == 1);
}

TEST_CASE("an image that is being applied counts also when a READ of its key has come behind it") {
  LaneQueue queue;
  queue.put(entry("a", 1, 10, true), nullptr);
  CHECK(queue.images() == 1);
  const auto taken = queue.take(1, always);
  REQUIRE(taken.size() == 1);
  CHECK(queue.images() == 1);
  queue.put(entry("a", 2, 0), nullptr);
  CHECK(queue.images() == 1);
  queue.put(entry("a", 3, 11, true), nullptr);
  queue.put(entry("b", 4, 12, true), nullptr);
  CHECK(queue.images() == 2);
}

TEST_CASE(
    "a READ is written from the journal no more once a newer write of its key must be read, or it waits") {
  LaneQueue queue;
  Entry read = entry("a", 1, 10);
  read.journaled = true;
  Entry newer = entry("a", 2, 0);
  SECTION("a newer write") {
    newer = entry("a", 2, 11);
  }
  SECTION("it waits for one that names no keys") {
    newer.waits = {5};
  }
  SECTION("the primary has changed") {
    queue.put(std::move(read), nullptr);
    queue.demote_images();
    read = entry("b", 3, 12);
  }
  queue.put(std::move(read), nullptr);
  queue.put(std::move(newer), nullptr);
  CHECK(queue.journaled().empty());
  queue.use_journaled({{"c", "a"}});
  for (const Entry& taken : queue.take(10, always)) CHECK_FALSE(taken.image);
}

TEST_CASE(
    "C6: a write that was brought over stands for a READ that falls due later, while its intent is held") {
  using Keys = std::vector<std::pair<std::string, std::string>>;
  using vmproxy::proxy::Ledger;
  const auto held = [](const Entry&) { return std::optional(Ledger::Hold()); };
  const auto debt = [](uint64_t position) {
    Entry read = entry("a", position, 0);
    read.debts.push_back({position, "c", "a", vmproxy::proxy::DebtReason::uncertain, {}});
    return read;
  };
  LaneQueue queue;
  queue.put(entry("a", 1, 10, true), nullptr);
  const auto image = queue.take(10, always);
  SECTION("it is held") {
    queue.complete(image, held);
    queue.put(debt(2), nullptr);
    CHECK(queue.journaled() == Keys{{"c", "a"}});
    auto read = queue.take(10, always);
    CHECK(read.at(0).seq == 10);
    SECTION("through another READ") {
      queue.complete(read, held);
      queue.put(debt(3), nullptr);
      CHECK(queue.journaled() == Keys{{"c", "a"}});
    }
    SECTION("until one ends everything") {
      queue.complete(read);
      CHECK_FALSE(queue.has_journaled("c", "a"));
    }
  }
  SECTION("it is held no more when the READ waits already") {
    queue.put(debt(2), nullptr);
    CHECK(queue.has_journaled("c", "a"));
    queue.complete(image);
    CHECK_FALSE(queue.has_journaled("c", "a"));
    CHECK(queue.journaled().empty());
  }
  SECTION("a later write of its key is not in the journal") {
    queue.complete(image, held);
    Entry unknown = entry("a", 2, 0);
    unknown.unjournaled = true;
    queue.put(std::move(unknown), nullptr);
    queue.put(debt(3), nullptr);
    CHECK(queue.journaled().empty());
    queue.complete(queue.take(10, always), held);
    CHECK_FALSE(queue.has_journaled("c", "a"));
  }
  SECTION("a debt is all that is left of a later write") {
    queue.complete(image, held);
    Entry collapsed = debt(2);
    collapsed.debts[0].reason = vmproxy::proxy::DebtReason::collapsed;
    queue.put(std::move(collapsed), nullptr);
    CHECK(queue.journaled().empty());
  }
  SECTION("a later one is given up") {
    queue.complete(image, held);
    queue.put(entry("a", 2, 11), nullptr);
    CHECK(queue.remove([](const Entry& e) { return !e.image; }).size() == 1);
    CHECK_FALSE(queue.has_journaled("c", "a"));
  }
  SECTION("the primary has changed") {
    queue.complete(image, held);
    queue.demote_images();
    CHECK_FALSE(queue.has_journaled("c", "a"));
  }
  SECTION("its collection's life has ended") {
    queue.complete(image, held);
    queue.demote_images("another");
    CHECK(queue.has_journaled("c", "a"));
    queue.demote_images("c");
    CHECK_FALSE(queue.has_journaled("c", "a"));
  }
}

TEST_CASE("whoever is asked what stays of a write keeps nobody from putting another") {
  LaneQueue queue;
  queue.put(entry("a", 1, 10, true), nullptr);
  const auto image = queue.take(10, always);
  std::future<void> other;
  queue.complete(image, [&](const Entry&) {
    other = std::async(std::launch::async, [&] { queue.put(entry("b", 2, 11, true), nullptr); });
    CHECK(other.wait_for(std::chrono::seconds(5)) == std::future_status::ready);
    return std::optional<vmproxy::proxy::Ledger::Hold>();
  });
  other.get();
  CHECK(queue.size() == 1);
}

TEST_CASE("an entry that comes while its key is being applied is applied after it") {
  LaneQueue queue;
  queue.put(entry("a", 1, 1), nullptr);
  auto first = queue.take(10, always);
  bool fresh = false;
  CHECK(queue.put(entry("a", 2, 2), &fresh).empty());
  CHECK(fresh);  // the one being applied does not stand for it
  queue.complete(first);
  CHECK(queue.size() == 1);
  CHECK(queue.has("c", "a"));
}

TEST_CASE("what could not be applied goes under a newer entry of the same key") {
  LaneQueue queue;
  Entry owing = entry("a", 1, 1);
  owing.debts.push_back({5, "c", "a", vmproxy::proxy::DebtReason::zombie, {}});
  queue.put(owing, nullptr);
  auto first = queue.take(10, always);
  queue.put(entry("a", 2, 2), nullptr);
  CHECK(queue.give_back(std::move(first)) == std::vector<vmproxy::journal::Seq>{1});
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].seq == 2);
  CHECK(taken[0].debts.size() == 1);
  CHECK(taken[0].owed == std::vector<uint64_t>{2, 1});
}

TEST_CASE("an image of an older epoch becomes a READ") {
  LaneQueue queue;
  queue.put(entry("a", 1, 1, true), nullptr);
  queue.demote_images();
  CHECK_FALSE(queue.take(1, always).at(0).image);
}

TEST_CASE("what is being applied is seen as it was taken, unless a newer entry of its key is queued") {
  using Seen = std::map<std::string, bool>;  // key -> an image
  LaneQueue queue;
  const auto seen = [&queue] {
    Seen all;
    queue.visit([&all](const std::string& collection, const std::string& key, bool image, bool) {
      CHECK(collection == "c");
      CHECK(all.emplace(key, image).second);
    });
    return all;
  };
  queue.put(entry("image", 1, 1, true), nullptr);
  queue.put(entry("read", 2, 2), nullptr);
  CHECK(seen() == Seen{{"image", true}, {"read", false}});
  CHECK(queue.reading() == 0);
  auto taken = queue.take(10, always);
  CHECK(seen() == Seen{{"image", true}, {"read", false}});
  CHECK(queue.reading() == 1);
  for (Entry& e : taken) e.image = false;  // whatever becomes of them
  queue.put(entry("read", 3, 3, true), nullptr);
  CHECK(seen() == Seen{{"image", true}, {"read", true}});
  queue.give_back(std::move(taken));
  CHECK(queue.reading() == 0);
  CHECK(seen() == Seen{{"image", false}, {"read", true}});
}

TEST_CASE("what is given back twice is owed once, and what was completed not at all") {
  LaneQueue queue;
  queue.put(entry("a", 1, 1, true), nullptr);
  queue.put(entry("b", 2, 2), nullptr);
  queue.put(entry("done", 3, 3), nullptr);
  const auto taken = queue.take(10, always);
  REQUIRE(taken.size() == 3);
  queue.complete({taken[2]});
  CHECK_FALSE(queue.is_applying(taken[2]));
  CHECK(queue.is_applying(taken[0]));
  CHECK(queue.give_back({taken[0]}).empty());
  queue.put(entry("b", 4, 4), nullptr);
  CHECK(queue.give_back(taken) == std::vector<vmproxy::journal::Seq>{2});
  CHECK(queue.give_back(taken).empty());
  CHECK(queue.size() == 2);
  const auto again = queue.take(10, always);
  REQUIRE(again.size() == 2);
  CHECK(again[0].key == "a");
  CHECK(again[0].image);
  CHECK(again[0].owed == std::vector<uint64_t>{1});
  CHECK(again[0].seqs == std::vector<vmproxy::journal::Seq>{1});
  CHECK(again[1].seq == 4);
  CHECK(again[1].owed == std::vector<uint64_t>{4, 2});
}

TEST_CASE("C6: an image that was being applied outlives a lost attempt that falls due meanwhile") {
  using vmproxy::proxy::DebtReason;
  LaneQueue queue;
  queue.put(entry("a", 1, 10, true), nullptr);
  const auto taken = queue.take(10, always);
  Entry debt = entry("a", 2, 0);
  debt.debts.push_back({7, "c", "a", DebtReason::zombie, {}});
  queue.put(std::move(debt), nullptr);
  CHECK(queue.give_back(taken).empty());
  const auto again = queue.take(10, always);
  REQUIRE(again.size() == 1);
  CHECK(again[0].image);
  CHECK(again[0].seq == taken[0].seq);
  CHECK(again[0].seqs == std::vector<vmproxy::journal::Seq>{10});
  CHECK(again[0].debts.size() == 1);
}
