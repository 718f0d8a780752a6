// The copy's rows when another version wrote them, or when they are damaged.
#include "backfill/checkpoints.h"

#include "tests/support/kept.h"

using namespace vmproxy;
using backfill::Checkpoints;
using journal::rows::checkpoints;
using support::says_all;

namespace {

const model::CollectionName things{"", "things"};

struct Copied : support::Kept {
  Checkpoints of_copy{*journal, 3};
};

const std::vector<std::string> what_to_do{"up to 1", "Use the vmproxy that wrote it",
                                          "abandon the migration and start it again"};

}  // namespace

TEST_CASE("a copy's plan of a format that is not known is refused with its number, a damaged one as such") {
  Copied at;
  REQUIRE(at.of_copy.commit_plan(things, {7, 8, 9, 0}, {}));
  REQUIRE(at.of_copy.plan(things).value()->mapping_hash == 7);
  SECTION("a later format") {
    at.write_format(checkpoints, 9);
    const auto plan = at.of_copy.plan(things);
    REQUIRE_FALSE(plan);
    CHECK(plan.error().code == Code::unsupported);
    CAPTURE(plan.error().message);
    CHECK(says_all(plan.error(), {"'things'", "plan has format 9"}));
    CHECK(says_all(plan.error(), what_to_do));
  }
  SECTION("cut short") {
    at.cut(checkpoints);
    const auto plan = at.of_copy.plan(things);
    REQUIRE_FALSE(plan);
    CHECK(plan.error().code == Code::corrupt);
    CHECK(says_all(plan.error(), {"plan cannot be read", "abandon the migration"}));
  }
}

TEST_CASE("how far a copy came, in a format that is not known, is refused with its number, damage as such") {
  Copied at;
  REQUIRE(at.of_copy.commit(things, 5, {"cursor", false, {}}));
  REQUIRE(at.of_copy.progress(things, 5).value().cursor == "cursor");
  SECTION("a later format") {
    at.write_format(checkpoints, 200);
    const auto progress = at.of_copy.progress(things, 5);
    REQUIRE_FALSE(progress);
    CHECK(progress.error().code == Code::unsupported);
    CAPTURE(progress.error().message);
    CHECK(says_all(progress.error(), {"'things'", "checkpoint of range 5 has format 200"}));
    CHECK(says_all(progress.error(), what_to_do));
  }
  SECTION("cut short") {
    at.cut(checkpoints);
    const auto progress = at.of_copy.progress(things, 5);
    REQUIRE_FALSE(progress);
    CHECK(progress.error().code == Code::corrupt);
    CHECK(says_all(progress.error(), {"checkpoint of range 5 cannot be read"}));
  }
}
