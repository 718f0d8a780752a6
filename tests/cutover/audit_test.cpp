// The audit keeps the newest entries.
#include "cutover/audit.h"

#include <catch2/catch.hpp>

#include "base/fake_clock.h"
#include "journal/rows.h"
#include "store/memory_store.h"
#include "tests/store/print_result.h"

using namespace vmproxy;

namespace {

struct Kept {
  FakeClock clock;
  Metrics metrics;
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;

  Kept() {
    auto opened = journal::Journal::open(*store, clock, metrics, {});
    if (!opened) FAIL(opened.error().message);
    journal = std::move(*opened);
  }
  size_t rows_on_disk() {
    REQUIRE(journal->commit_rows({}));
    size_t rows = 0;
    REQUIRE(journal->scan_rows(journal::rows::audit, "", "", [&](auto, auto) {
      ++rows;
      return true;
    }));
    return rows;
  }
};

std::vector<std::string> actions(const cutover::Audit& audit) {
  const auto entries = audit.list();
  if (!entries) FAIL(entries.error().message);
  std::vector<std::string> found;
  for (const auto& entry : *entries) found.push_back(entry.object().at("action").string());
  return found;
}

}  // namespace

TEST_CASE("the newest entries are kept, in order, in the list and on disk") {
  Kept at;
  cutover::Audit audit(*at.journal, at.clock, 3);
  for (int i = 0; i < 5; ++i) audit.note({"ann", "", {}}, std::to_string(i), "ok");
  CHECK(actions(audit) == std::vector<std::string>{"2", "3", "4"});
  CHECK(at.rows_on_disk() == 3);
}

TEST_CASE("what an earlier run left counts, and its last entry stays before what comes now, whatever the clock says") {
  Kept at;
  at.clock.advance(std::chrono::hours(1));
  {
    cutover::Audit earlier(*at.journal, at.clock, 100);
    for (int i = 0; i < 5; ++i) earlier.note({"ann", "", {}}, std::to_string(i), "ok");
  }
  FakeClock behind;  // by an hour
  cutover::Audit audit(*at.journal, behind, 3);
  CHECK(actions(audit) == std::vector<std::string>{"2", "3", "4"});
  audit.note({"ann", "", {}}, "5", "ok");
  CHECK(actions(audit) == std::vector<std::string>{"3", "4", "5"});
  CHECK(at.rows_on_disk() == 3);
}
