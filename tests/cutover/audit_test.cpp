// The audit keeps the newest entries.
#include "cutover/audit.h"

#include <catch2/catch.hpp>

#include "tests/support/kept.h"

using namespace vmproxy;
using support::Kept;

namespace {

size_t rows_on_disk(Kept& at) {
  at.commit();
  return at.rows(journal::rows::audit);
}

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
  CHECK(rows_on_disk(at) == 3);
}

TEST_CASE(
    "what an earlier run left counts, and its last entry stays before what comes now, whatever the clock says") {
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
  CHECK(rows_on_disk(at) == 3);
}
