#include "proxy/debts.h"

#include <catch2/catch.hpp>
#include <set>

#include "tests/support/kept.h"

using namespace vmproxy;
using proxy::Debt;
using proxy::DebtReason;
using proxy::Debts;

namespace {

struct Desk : support::Kept {
  std::unique_ptr<Debts> debts;

  explicit Desk(size_t waiting_max) : debts(std::make_unique<Debts>(*journal, clock, waiting_max)) {}
  void add(const std::vector<std::string>& keys, DebtReason reason = DebtReason::repair,
           Duration window = Duration::zero()) {
    std::vector<Debt> list;
    for (const auto& key : keys) list.push_back({0, "c", key, reason, window});
    debts->add(list);
  }
  size_t committed() { return rows(journal::rows::debts); }
};

std::set<std::string> keys_of(const std::vector<Debt>& debts) {
  std::set<std::string> keys;
  for (const auto& debt : debts) keys.insert(debt.key);
  return keys;
}
using Keys = std::set<std::string>;

}  // namespace

TEST_CASE("a debt whose removal is not on disk yet is not handed out again") {
  Desk desk(2);
  desk.add({"a", "b", "c", "d"});
  desk.commit();
  const auto first = desk.debts->due(10);
  CHECK(keys_of(first) == Keys{"a", "b"});
  desk.debts->paid(first);
  REQUIRE(desk.committed() == 4);  // still there
  CHECK_FALSE(desk.debts->owed("c", "a").value());
  CHECK(desk.debts->owed("c", "d").value());
  const auto second = desk.debts->due(10);
  CHECK(keys_of(second) == Keys{"c", "d"});
  desk.debts->paid(second);
  CHECK(desk.debts->count() == 0);
  CHECK(desk.debts->due(10).empty());
  desk.commit();
  CHECK(desk.committed() == 0);
}

TEST_CASE("a debt that is not on disk yet is owed and handed out like any other") {
  Desk desk(2);
  desk.add({"a", "b", "c", "d", "e"});
  REQUIRE(desk.committed() == 0);
  CHECK(desk.debts->owed("c", "e").value());
  CHECK_FALSE(desk.debts->owed("c", "f").value());
  Keys all;
  for (int i = 0; i < 3; ++i) {
    const auto some = desk.debts->due(2);
    for (const auto& debt : some) CHECK(all.insert(debt.key).second);
    desk.debts->paid(some);
  }
  CHECK(all == Keys{"a", "b", "c", "d", "e"});
  CHECK(desk.debts->count() == 0);
}

TEST_CASE("a debt on a disk that cannot be read is not taken for one that there is not") {
  Desk desk(1);
  desk.add({"a", "b"});
  desk.commit();
  desk.store->fail_reads("");
  CHECK(desk.debts->owed("c", "a").value());  // in memory
  for (const char* key : {"b", "f"}) {
    const auto owed = desk.debts->owed("c", key);
    REQUIRE_FALSE(owed);
    CHECK(owed.error().code == Code::io);
  }
  desk.store->fail_reads({});
  CHECK(desk.debts->owed("c", "b").value());
  CHECK_FALSE(desk.debts->owed("c", "f").value());
}

TEST_CASE("debts on disk fall due while a window is open") {
  Desk desk(2);
  desk.add({"w"}, DebtReason::uncertain, std::chrono::seconds(60));
  desk.add({"a", "b", "c"});
  Keys all;
  for (int i = 0; i < 3; ++i) {
    const auto some = desk.debts->due(10);
    for (const auto& debt : some) all.insert(debt.key);
    desk.debts->paid(some);
  }
  CHECK(all == Keys{"a", "b", "c"});
  CHECK(desk.debts->count() == 1);
}

TEST_CASE("every debt is found when all are asked for, those in memory, on disk, and on their way there") {
  Desk desk(2);
  desk.add({"a", "b", "c"});
  desk.commit();
  desk.add({"d", "e"});
  const auto some = desk.debts->due(1);
  desk.debts->paid(some);
  const auto rest = desk.debts->take_all_but(DebtReason::uncertain);
  CHECK(rest.size() == 4);
  Keys all = keys_of(rest);
  CHECK(all.insert(some.at(0).key).second);
  CHECK(all == Keys{"a", "b", "c", "d", "e"});
}

TEST_CASE("it is known by when all debts of one reason have fallen due, wherever they stand") {
  using std::chrono::seconds;
  Desk desk(2);
  CHECK_FALSE(desk.debts->last_due(DebtReason::zombie));
  desk.add({"a"}, DebtReason::zombie, seconds(10));
  desk.clock.advance(seconds(3));
  desk.add({"b", "c", "d"}, DebtReason::zombie, seconds(10));  // some on disk only
  const TimePoint last = desk.clock.in(seconds(10));
  desk.add({"e"}, DebtReason::repair, seconds(60));
  auto found = desk.debts->last_due(DebtReason::zombie);
  REQUIRE(found);
  CHECK(*found == last);
  desk.clock.advance(seconds(10));
  const auto all = desk.debts->take_all_but(DebtReason::uncertain);
  found = desk.debts->last_due(DebtReason::zombie);
  REQUIRE(found);  // handed out is not paid
  CHECK(*found == last);
  desk.debts->paid(all);
  CHECK_FALSE(desk.debts->last_due(DebtReason::zombie));
}

TEST_CASE("debts of a format that is not known are refused with its number and stay, damaged ones as such") {
  Desk desk(10);
  desk.add({"a", "b"});
  const auto no_visit = [](const Debt&) {};
  SECTION("a later format") {
    desk.write_format(journal::rows::debts, 9);
    const auto restored = Debts(*desk.journal, desk.clock, 10).restore(no_visit);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().code == Code::unsupported);
    CAPTURE(restored.error().message);
    CHECK(support::says_all(restored.error(),
                            {"debt", "format 9", "up to 1", "Use the vmproxy that wrote it"}));
    CHECK(desk.committed() == 2);
  }
  SECTION("cut short") {
    desk.cut(journal::rows::debts);
    const auto restored = Debts(*desk.journal, desk.clock, 10).restore(no_visit);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().code == Code::corrupt);
    CHECK(support::says_all(restored.error(), {"vmproxy journal verify"}));
  }
  SECTION("a window that is longer than any migration") {
    desk.rewrite(journal::rows::debts, [](std::string row) { return row.replace(2, 8, 8, '\xff'); });
    const auto restored = Debts(*desk.journal, desk.clock, 10).restore(no_visit);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().code == Code::corrupt);
  }
  SECTION("this format") {
    desk.write_format(journal::rows::debts, 1);
    Debts again(*desk.journal, desk.clock, 10);
    REQUIRE(again.restore(no_visit));
    CHECK(again.count() == 2);
  }
}
