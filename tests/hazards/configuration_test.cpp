// A start with another configuration than the last run's: what the state promises was promised of other collections, other
// names, or other databases (docs/decisions/0014).
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/target_backend.h"
#include "tests/support/move.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;

namespace {

void include_only(Move& move, const std::string& name) {
  move.options.included = [name](const vmproxy::model::CollectionName& collection) {
    return collection.name == name;
  };
}

void include_all(Move& move) {
  move.options.included = [](const vmproxy::model::CollectionName&) { return true; };
}

// Of two collections one is moved.
void one_of_two(Move& move) {
  move.source.put("a", 1);
  move.source.add_collection(things("other"));
  move.source.put("other", "theirs", 1);
  include_only(move, "things");
}

std::string gap_of(Move& move) {
  const auto gaps = move.journal->gaps();
  return gaps && !gaps->empty() ? gaps->front().what : "";
}

}  // namespace

TEST_CASE(
    "H15: a collection that a later configuration includes, or calls otherwise, is copied before anything moves on") {
  Move move;
  one_of_two(move);
  move.ready();
  move.write("b", 2);
  REQUIRE(move.quiet());
  REQUIRE(move.migration->cutover(10, {}));
  move.crash();
  std::string named, on_target;
  SECTION("included") {
    include_all(move);
    named = on_target = "other";
  }
  SECTION("another name") {
    move.options.names["things"] = "renamed";
    named = on_target = "renamed";
  }
  move.start();
  CHECK(move.status().state == "mirroring");
  CHECK(move.status().reads_percent == 0);
  CHECK(move.status().rolled_back_reason.find(named) != std::string::npos);
  CHECK(gap_of(move).find(named) != std::string::npos);
  CHECK(says(move.promote(), named));
  CHECK(says(move.migration->cutover(20, {}), named));
  CHECK(move.primary() == "source");
  move.clock.advance(seconds(61));
  REQUIRE(move.reaches("ready"));
  CHECK(move.status().gaps == 0);
  CHECK_FALSE(move.target.rows(on_target).empty());
  CHECK(move.target.rows(on_target) == move.source.rows(on_target == "other" ? "other" : "things"));
  CHECK(move.promote());
}

TEST_CASE("what the application makes and drops while the proxy runs is no change of the configuration") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.source.add_collection(things("made"));
  REQUIRE(move.context().collections.refresh(move.clock.in(seconds(1))));
  move.crash();
  move.start();
  CHECK(move.status().state == "ready");
  CHECK(move.status().gaps == 0);
}

TEST_CASE("a collection that is no longer included holds up none of the others") {
  Move move;
  one_of_two(move);
  include_all(move);
  move.ready();
  move.crash();
  include_only(move, "things");
  move.start();
  CHECK(move.status().state == "ready");
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.promote());
}

TEST_CASE("a target at another address: nothing there is taken for ours, and everything is compared again") {
  Move move;
  move.options.target_place = {"fake", "http://here"};
  move.source.put("a", 1);
  move.ready();
  move.crash();
  move.options.target_place.address = "http://there";
  SECTION("it is another database, and empty") {
    move.target.drop_collection("things");
    move.start();
    CHECK(gap_of(move).find("http://there") != std::string::npos);
    CHECK_FALSE(move.promote());
  }
  SECTION("what it holds is somebody's: a person says whether it is the former one") {
    move.target.put("theirs", 7);
    move.start();
    CHECK_FALSE(move.promote());
    REQUIRE(move.eventually([&] { return !move.status().work.problem.empty(); }));
    CHECK(move.status().work.problem.find("--force target_not_empty") != std::string::npos);
    CHECK(move.target.rows().size() == 2);
    REQUIRE(move.migration->start("ready", {"operator", "", {"target_not_empty"}}));
  }
  move.clock.advance(seconds(61));
  REQUIRE(move.reaches("ready"));
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE(
    "a state that did not keep the values of an address's parameters is compared without them, and keeps them from then on") {
  Move move;
  move.options.target_place = {"fake", "http://here?schema=a"};
  move.source.put("a", 1);
  move.ready();
  vmproxy::model::Writer row;  // format 1
  row.u8(1);
  for (const auto* text : {"", "", "fake", "http://here?schema=***"}) row.bytes(text);
  REQUIRE(move.journal->commit_rows({{std::string(vmproxy::journal::rows::state), "places", row.take()}}));
  move.crash();
  move.start();
  CHECK(gap_of(move).empty());
  CHECK(move.status().state == "ready");
  move.crash();
  move.options.target_place.address = "http://here?schema=b";
  move.start();
  CHECK(gap_of(move).find("http://here?schema=b now and was http://here?schema=a") != std::string::npos);
  CHECK_FALSE(move.promote());
}

TEST_CASE(
    "once the target is the primary a configuration that leaves something behind is refused, and nothing is changed") {
  Move move;
  one_of_two(move);
  move.options.target_place = move.options.source_place = {"fake", "http://here"};
  move.ready();
  REQUIRE(move.promote());
  move.crash();
  std::string named;
  SECTION("included") {
    include_all(move);
    named = "'other'";
  }
  SECTION("no longer included") {
    include_only(move, "other");
    named = "'things'";
  }
  SECTION("another name") {
    move.options.names["things"] = "renamed";
    named = "'renamed'";
  }
  SECTION("another system") {
    move.options.target_place.system = "another";
    named = "another";
  }
  SECTION("another database, which has not got it") {
    move.options.target_place.address = "http://there";
    move.target.drop_collection("things");
    named = "http://there";
  }
  CHECK(says(move.try_start(), named));
  move.crash();
  include_only(move, "things");
  move.options.names.clear();
  move.options.target_place = {"fake", "http://here"};
  if (!move.target.has_collection("things")) move.target.add_collection(things());
  move.start();
  CHECK(move.primary() == "target");
  CHECK(move.status().gaps == 0);
}

TEST_CASE(
    "once the target is the primary neither its new address nor what the application makes keeps it from starting") {
  Move move;
  one_of_two(move);
  move.options.target_place = move.options.source_place = {"fake", "http://here"};
  include_all(move);
  move.ready();
  REQUIRE(move.promote());
  vmproxy::proxy::TargetBackend backend(move.context(), move.context().routing.get(), "test",
                                        move.clock.in(seconds(10)));
  vmproxy::model::SchemaChange change;
  change.kind = vmproxy::model::SchemaChange::Kind::create_collection;
  change.schema = things("made");
  REQUIRE(backend.change(change));
  change.kind = vmproxy::model::SchemaChange::Kind::drop_collection;
  change.name = {"", "other"};
  REQUIRE(backend.change(change));
  move.crash();
  move.options.target_place.address = "http://there";
  uint64_t gaps = 0;
  SECTION("it answers") {}
  SECTION("it does not") {
    move.target.down(Error(Code::refused_connection, "away"));
  }
  SECTION("the source has another address, too: it may be another database, so the way back is not open") {
    move.options.source_place.address = "http://elsewhere";
    gaps = 1;
  }
  move.start();
  CHECK(move.primary() == "target");
  CHECK(move.status().gaps == gaps);
}
