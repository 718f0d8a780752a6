#include <thread>

#include "tests/journal/fixture.h"

using namespace vmproxy;
using namespace vmproxy::journal;

namespace {

std::vector<std::string> keys_of(Journal& journal, std::string_view table, std::string_view prefix = "",
                                 std::string_view from = "") {
  // A scan sees what is committed; this waits until everything put so far is.
  Results<void> flushed;
  journal.put_rows({}, flushed.next());
  REQUIRE(flushed.wait(1)[0]);
  std::vector<std::string> keys;
  auto scanned = journal.scan_rows(table, prefix, from, [&](auto key, auto) {
    keys.emplace_back(key);
    return true;
  });
  if (!scanned) FAIL(scanned.error().message);
  return keys;
}

}  // namespace

TEST_CASE("a row is seen as soon as it was put, also while the disk is busy with older ones") {
  Fixture at;
  at.open();
  at.journal->put_rows({{"d", "k", "one"}});
  at.store->hold_commits(true);
  Results<void> durable;
  at.journal->put_rows({{"d", "k", "two"}}, durable.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  at.journal->put_rows({{"d", "k", "three"}, {"d", "gone", "x"}});
  at.journal->put_rows({{"d", "gone", std::nullopt}});
  CHECK(at.journal->row("d", "k").value() == "three");
  CHECK_FALSE(at.journal->row("d", "gone").value());
  CHECK_FALSE(at.journal->row("t", "k").value());
  const auto exist = at.journal->rows_exist("d", {"k", "gone", "never"}).value();
  CHECK(exist == std::vector<bool>{true, false, false});
  at.store->hold_commits(false);
  durable.wait(1);
  CHECK(keys_of(*at.journal, "d") == std::vector<std::string>{"k"});
  CHECK(at.journal->row("d", "k").value() == "three");
}

TEST_CASE(
    "a scan of the latest rows sees what is on its way to the disk, in order, and not what is being erased") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->commit_rows(
      {{"d", "b", "old"}, {"d", "d", "old"}, {"d", "f", "old"}, {"dd", "x", "other table"}}));
  at.store->hold_commits(true);
  Results<void> durable;
  at.journal->put_rows({{"d", "a", "new"}, {"d", "b", std::nullopt}, {"d", "e", "new"}}, durable.next());
  while (at.store->waiting_commits() == 0) std::this_thread::yield();
  at.journal->put_rows(
      {{"d", "d", "newer"}, {"d", "e", std::nullopt}, {"d", "g", "new"}, {"c", "x", "other table"}});
  const auto seen = [&](std::string_view prefix, std::string_view from, size_t max) {
    std::string all;
    auto scanned = at.journal->scan_latest_rows("d", prefix, from, [&](auto key, auto value) {
      all += std::string(key) + "=" + std::string(value) + " ";
      return --max > 0;
    });
    if (!scanned) FAIL(scanned.error().message);
    return all;
  };
  CHECK(seen("", "", 9) == "a=new d=newer f=old g=new ");
  CHECK(seen("", "", 1) == "a=new ");
  CHECK(seen("", "", 2) == "a=new d=newer ");
  CHECK(seen("", "f", 9) == "f=old g=new ");
  CHECK(seen("g", "", 9) == "g=new ");
  at.store->hold_commits(false);
  durable.wait(1);
}

TEST_CASE("rows of one call are committed together and survive a power cut when durable") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->commit_rows({{"x", "a", "1"}, {"x", "b", "2"}}));
  at.power_cut();
  at.open();
  CHECK(at.journal->row("x", "a").value() == "1");
  CHECK(at.journal->row("x", "b").value() == "2");
}

TEST_CASE("a scan of rows keeps to its table, prefix and starting key, in order of keys") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->commit_rows({{"d", std::string("a\0k", 3), "1"},
                                   {"d", "a2", "2"},
                                   {"d", "b", "3"},
                                   {"d", "b\xff", "4"},
                                   {"d", "c", "5"},
                                   {"dd", "b", "other table"},
                                   {"c", "b", "other table"}}));
  CHECK(keys_of(*at.journal, "d") ==
        std::vector<std::string>{std::string("a\0k", 3), "a2", "b", "b\xff", "c"});
  CHECK(keys_of(*at.journal, "d", "b") == std::vector<std::string>{"b", "b\xff"});
  CHECK(keys_of(*at.journal, "d", "", "a2") == std::vector<std::string>{"a2", "b", "b\xff", "c"});
  CHECK(keys_of(*at.journal, "d", "b", "b\xff") == std::vector<std::string>{"b\xff"});
  CHECK(keys_of(*at.journal, "e").empty());
}

TEST_CASE("erasing rows by prefix hides pending ones at once and keeps those put afterwards") {
  Fixture at;
  at.open();
  REQUIRE(at.journal->commit_rows({{"c", "one", "1"}, {"c", "two", "2"}, {"c", "other", "3"}}));
  at.journal->put_rows({{"c", "oneself", "4"}});
  REQUIRE(at.journal->erase_rows("c", "one"));
  at.journal->put_rows({{"c", "one", "new"}});
  CHECK(at.journal->row("c", "one").value() == "new");
  CHECK_FALSE(at.journal->row("c", "oneself").value());
  CHECK(keys_of(*at.journal, "c") == std::vector<std::string>{"one", "other", "two"});
}

TEST_CASE("lazily put rows reach the store without anybody asking") {
  Fixture at;
  at.open();
  at.journal->put_rows({{"t", "k", ""}});
  std::optional<std::string> found;
  for (int i = 0; i < 2000; ++i) {
    at.crash();
    at.open();
    if (at.journal->row("t", "k").value()) break;
    at.journal->put_rows({{"t", "k", ""}});
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  CHECK(at.journal->row("t", "k").value() == "");
}

TEST_CASE("a blocking call from a journal callback is refused instead of waiting for itself") {
  Fixture at;
  at.open();
  Results<void> inside;
  at.journal->put_rows(
      {}, [&, done = inside.next()](Result<void>) { done(at.journal->commit_rows({{"x", "a", "1"}})); });
  const auto results = inside.wait(1);
  REQUIRE(results.size() == 1);
  CHECK(results[0].error().code == Code::internal);
}
