#include "proxy/in_flight.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>

using vmproxy::proxy::InFlight;

TEST_CASE("a write alone on its key is not overlapped") {
  InFlight table;
  const auto op = table.begin_keyed("c", {"a", "b"});
  const auto ended = table.end_keyed(op);
  CHECK(ended.overlapped == std::vector<bool>{false, false});
  CHECK(ended.waits.empty());
  CHECK(table.size() == 0);
}

TEST_CASE("H5: both of two overlapping writes are overlapped, on the shared key only") {
  InFlight table;
  const auto first = table.begin_keyed("c", {"a", "b"});
  const auto second = table.begin_keyed("c", {"b"});
  CHECK(table.end_keyed(first).overlapped == std::vector<bool>{false, true});
  // The first has ended, but they did overlap.
  CHECK(table.end_keyed(second).overlapped == std::vector<bool>{true});
}

TEST_CASE("a window is open also while it is about no key") {
  InFlight table;
  CHECK_FALSE(table.any_window());
  const auto broad = table.begin_broad("c");
  CHECK_FALSE(table.any_window());
  const auto window = table.open_collection_window("c", {});
  table.end_broad(broad);
  CHECK(table.any_window());
  table.close_collection_window(window);
  CHECK_FALSE(table.any_window());
  table.open_window("c", "a");
  CHECK(table.any_window());
  table.close_window("c", "a");
  CHECK_FALSE(table.any_window());
}

TEST_CASE("writes of the same key in different collections do not overlap") {
  InFlight table;
  const auto first = table.begin_keyed("c", {"a"});
  const auto second = table.begin_keyed("d", {"a"});
  CHECK(table.end_keyed(first).overlapped == std::vector<bool>{false});
  CHECK(table.end_keyed(second).overlapped == std::vector<bool>{false});
}

TEST_CASE("the same key twice in one batch is overlapped with itself") {
  InFlight table;
  const auto op = table.begin_keyed("c", {"a", "b", "a"});
  CHECK(table.end_keyed(op).overlapped == std::vector<bool>{true, false, true});
}

TEST_CASE(
    "H38: a write registered while a key's window is open is overlapped, also when it ends after the window") {
  InFlight table;
  table.open_window("c", "a");
  const auto op = table.begin_keyed("c", {"a"});
  table.close_window("c", "a");
  CHECK(table.end_keyed(op).overlapped == std::vector<bool>{true});
  const auto later = table.begin_keyed("c", {"a"});
  CHECK(table.end_keyed(later).overlapped == std::vector<bool>{false});
}

TEST_CASE("a window that opens over a write in flight overlaps it") {
  InFlight table;
  const auto op = table.begin_keyed("c", {"a"});
  table.open_window("c", "a");
  CHECK(table.end_keyed(op).overlapped == std::vector<bool>{true});
}

TEST_CASE("windows of one key nest") {
  InFlight table;
  table.open_window("c", "a");
  table.open_window("c", "a");
  table.close_window("c", "a");
  CHECK(table.busy("c", "a"));
  table.close_window("c", "a");
  CHECK_FALSE(table.busy("c", "a"));
}

TEST_CASE("a predicate overlaps every keyed write from its enumeration on, and reads their keys again") {
  InFlight table;
  const auto before = table.begin_keyed("c", {"a"});
  const auto predicate = table.begin_broad("c");
  const auto during = table.begin_keyed("c", {"b"});
  const auto ended = table.end_keyed(during);
  CHECK(ended.overlapped == std::vector<bool>{true});
  CHECK(ended.waits == std::vector<vmproxy::proxy::OpId>{predicate});
  auto keys = table.end_broad(predicate).keys;
  std::sort(keys.begin(), keys.end());
  CHECK(keys == std::vector<std::string>{"a", "b"});
  const auto first = table.end_keyed(before);
  CHECK(first.overlapped == std::vector<bool>{true});
  CHECK(first.waits.empty());  // the predicate has ended: nothing to wait for
}

TEST_CASE("a predicate takes over the keys whose windows are open when its enumeration begins") {
  InFlight table;
  table.open_window("c", "w");
  const auto predicate = table.begin_broad("c");
  CHECK(table.end_broad(predicate).keys == std::vector<std::string>{"w"});
}

TEST_CASE("H42: a delete by filter begins where the oldest write in flight on its collection does") {
  InFlight table;
  uint64_t from = 9;
  table.end_broad(table.begin_broad("c", &from));
  CHECK(from == 9);
  const auto before = table.begin_keyed("c", {}, 5);  // its keys are made by the primary
  (void)table.begin_keyed("c", {"a"}, 7);
  (void)table.begin_keyed("d", {"a"}, 3);
  table.end_broad(table.begin_broad("c", &from));
  CHECK(from == 5);
  (void)table.end_keyed(before);
  from = 9;
  table.end_broad(table.begin_broad("c", &from));
  CHECK(from == 7);
}

TEST_CASE("H42: a collection's window collects what is written while it is open") {
  InFlight table;
  const auto window = table.open_collection_window("c", {"old"});
  const auto op = table.begin_keyed("c", {"new"});
  const auto ended = table.end_keyed(op);
  CHECK(ended.overlapped == std::vector<bool>{true});
  CHECK(ended.waits.empty());  // a window is not waited for: it may be long
  auto keys = table.close_collection_window(window);
  std::sort(keys.begin(), keys.end());
  CHECK(keys == std::vector<std::string>{"new", "old"});
  const auto later = table.begin_keyed("c", {"new"});
  CHECK(table.end_keyed(later).overlapped == std::vector<bool>{false});
}

TEST_CASE("keys that a write learned of only at its end overlap like those it began with") {
  InFlight table;
  const auto op = table.begin_keyed("c", {"old"});
  const auto other = table.begin_keyed("c", {"made"});
  const auto predicate = table.begin_broad("c");
  const auto window = table.open_collection_window("c", {});
  table.add_keys(op, {"made", "also"});
  const auto ended = table.end_keyed(op);
  CHECK(ended.overlapped == std::vector<bool>{true, true, true});
  CHECK(ended.waits == std::vector<vmproxy::proxy::OpId>{predicate});
  CHECK(table.end_keyed(other).overlapped == std::vector<bool>{true});
  for (auto keys : {table.end_broad(predicate).keys, table.close_collection_window(window)}) {
    std::sort(keys.begin(), keys.end());
    CHECK(keys == std::vector<std::string>{"also", "made", "old"});
  }
  CHECK(table.size() == 0);
  CHECK_FALSE(table.busy("c", "made"));
}

TEST_CASE("a key that a write learned of, and nobody else writes, is not overlapped") {
  InFlight table;
  const auto op = table.begin_keyed("c", {});
  table.add_keys(op, {"made"});
  CHECK(table.busy("c", "made"));
  CHECK(table.end_keyed(op).overlapped == std::vector<bool>{false});
}

TEST_CASE(
    "a broad op is alone only when no other write was under way, might still be executed, or has begun since") {
  InFlight table;
  SECTION("nobody") {
    const auto op = table.begin_broad("c");
    CHECK(table.alone(op));
    table.end_broad(op);
    CHECK_FALSE(table.alone(op));
  }
  SECTION("a write of another collection that ends first") {
    const auto other = table.begin_keyed("d", {"a"});
    const auto op = table.begin_broad("c");
    table.end_keyed(other);
    CHECK_FALSE(table.alone(op));
  }
  SECTION("a write that came and went") {
    const auto op = table.begin_broad("c");
    table.end_keyed(table.begin_keyed("d", {"a"}));
    CHECK_FALSE(table.alone(op));
  }
  SECTION("an open window") {
    table.open_window("d", "a");
    CHECK_FALSE(table.alone(table.begin_broad("c")));
  }
  SECTION("a window that is closed") {
    table.open_window("d", "a");
    table.close_window("d", "a");
    CHECK(table.alone(table.begin_broad("c")));
  }
  SECTION("a write without an op, before") {
    auto passing = std::make_unique<InFlight::Passing>(table);
    const auto op = table.begin_broad("c");
    passing.reset();
    CHECK_FALSE(table.alone(op));
    table.end_broad(op);
    CHECK(table.alone(table.begin_broad("c")));
  }
  SECTION("a write without an op, meanwhile") {
    const auto op = table.begin_broad("c");
    InFlight::Passing first(table);
    const InFlight::Passing moved(std::move(first));
    CHECK_FALSE(table.alone(op));
  }
}

TEST_CASE("H53: what open windows are about is a window's own key, and what was written in a collection's") {
  using Keys = std::vector<std::pair<std::string, std::string>>;
  InFlight table;
  CHECK(table.in_windows(10).empty());
  table.begin_keyed("c", {"in flight"});
  table.open_window("c", "a");
  table.open_window("c", "a");
  const auto window = table.open_collection_window("d", {"b"});
  table.end_keyed(table.begin_keyed("d", {"written"}));
  table.begin_broad("c");  // an op like others, no window
  CHECK(table.in_windows(10) == Keys{{"c", "a"}, {"d", "b"}, {"d", "written"}});
  table.open_window("e", "own");
  CHECK(table.in_windows(2) == Keys{{"c", "a"}, {"e", "own"}});
  CHECK(table.in_windows(3).size() == 3);
  table.close_window("e", "own");
  table.close_window("c", "a");
  CHECK(table.in_windows(1) == Keys{{"c", "a"}});
  table.close_window("c", "a");
  table.close_collection_window(window);
  CHECK(table.in_windows(10).empty());
}
