// What becomes of suspects when the primary changes: the one they are about is the replica then.
#include "journal/rows.h"
#include "tests/support/move.h"

using namespace vmproxy::support;

namespace {

// Ready, with one key whose last write the source may still execute at any time.
struct Doubtful {
  Move move;
  Doubtful() {
    move.source.caps.max_exec = std::nullopt;
    move.source.put("a", 1);
  }
  void ready() {
    move.ready();
    move.write_uncertain("a", 2);
    move.clock.advance(seconds(31));
    REQUIRE(move.eventually([&] { return move.status().suspect == 1; }));
    REQUIRE(move.quiet());
  }
};

}  // namespace

TEST_CASE(
    "H48: after a promotion the late effect of a doubtful write is mended, and its suspect is gone for good") {
  Doubtful at;
  at.ready();
  REQUIRE(at.move.promote());
  CHECK(at.move.status().suspect == 0);
  bool restarts = false;
  SECTION("at once") {}
  SECTION("after a crash") {
    restarts = true;
  }
  if (restarts) {
    at.move.linger();  // rows of the journal become durable
    at.move.crash();
    at.move.start();
  } else {
    REQUIRE(at.move.quiet());
  }
  at.move.source.put("a", 2);  // the old primary executes it after all
  at.move.clock.advance(seconds(61));
  CHECK(at.move.eventually([&] { return at.move.source.find("a") == 1; }));
  REQUIRE(at.move.quiet());
  CHECK(at.move.status().suspect == 0);
  CHECK(at.move.target.find("a") == 1);
}

TEST_CASE("H48: a kill right behind the promotion's COMMIT leaves no suspect as it was") {
  Doubtful at;
  at.ready();
  auto& journal = *at.move.journal;
  std::vector<vmproxy::journal::Row> suspects;
  REQUIRE(journal.scan_latest_rows(
      vmproxy::journal::rows::suspects, "", "", [&](std::string_view row, std::string_view) {
        suspects.push_back({std::string(vmproxy::journal::rows::suspects), std::string(row), ""});
        return true;
      }));
  REQUIRE(suspects.size() == 1);
  REQUIRE(at.move.promote());
  at.move.clock.advance(seconds(61));
  REQUIRE(at.move.quiet());
  REQUIRE(at.move.eventually([&] { return at.move.context().mirror.written().count() == 0; }));
  // The disk as it was: the new primary is committed, and nobody has looked at the suspects.
  REQUIRE(journal.commit_rows(std::move(suspects)));
  at.move.crash();
  at.move.start();
  at.move.source.put("a", 2);  // the old primary executes it after all
  at.move.clock.advance(seconds(61));
  CHECK(at.move.eventually([&] { return at.move.source.find("a") == 1; }));
  REQUIRE(at.move.quiet());
  CHECK(at.move.status().suspect == 0);
}

TEST_CASE("H48: a rollback before that was mended finds the suspect again") {
  Doubtful at;
  at.ready();
  REQUIRE(at.move.promote());
  REQUIRE(at.move.rollback());
  at.move.clock.advance(seconds(61));
  CHECK(at.move.eventually([&] { return at.move.status().suspect == 1; }));
}

TEST_CASE("H48: where reads of the new primary settle nothing either, a suspect stays one") {
  Doubtful at;
  at.move.target.caps.max_exec = std::nullopt;
  at.ready();
  REQUIRE(at.move.promote());
  at.move.clock.advance(seconds(61));
  REQUIRE(at.move.quiet());
  CHECK(at.move.status().suspect == 1);
}
