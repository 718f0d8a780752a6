// The rows of a validation's pass when another version wrote them, or when they are damaged.
#include "validation/pass_rows.h"

#include "tests/support/kept.h"

using namespace vmproxy;
using journal::Side;
using support::says_all;
using validation::PassRows;
using validation::RangeName;

namespace {

constexpr std::string_view table = journal::rows::validation;
const RangeName first_range{"things", Side::source, 0};

struct Passed : support::Kept {
  PassRows of_pass{*journal};
};

void check_unknown(const Error& error, const std::string& what, int format) {
  CAPTURE(error.message);
  CHECK(error.code == Code::unsupported);
  CHECK(says_all(error, {"validation", what + " of the last pass has format " + std::to_string(format),
                         "up to 1", "Use the vmproxy that wrote it", "start the validation again"}));
}

}  // namespace

TEST_CASE("a pass's rows of a format that is not known are refused with its number") {
  Passed at;
  SECTION("ranges") {
    REQUIRE(at.of_pass.commit_ranges("things", Side::source, {}));
    REQUIRE(at.of_pass.ranges("things", Side::source).value() == 0u);
    at.write_format(table, 9);
    const auto ranges = at.of_pass.ranges("things", Side::source);
    REQUIRE_FALSE(ranges);
    check_unknown(ranges.error(), "ranges", 9);
  }
  SECTION("progress") {
    REQUIRE(at.of_pass.commit(first_range, {"cursor", false, {}}));
    REQUIRE(at.of_pass.progress(first_range).value().cursor == "cursor");
    at.write_format(table, 9);
    const auto progress = at.of_pass.progress(first_range);
    REQUIRE_FALSE(progress);
    check_unknown(progress.error(), "progress", 9);
  }
  SECTION("findings") {
    at.of_pass.put(first_range, {}, 0, {{"things", "a", "missing", ""}});
    at.commit();
    REQUIRE(at.of_pass.findings(10).value().size() == 1);
    at.write_format(table, 9);
    const auto findings = at.of_pass.findings(10);
    REQUIRE_FALSE(findings);
    check_unknown(findings.error(), "findings", 9);
  }
}

TEST_CASE("a pass's rows that are cut short are refused as damaged") {
  Passed at;
  REQUIRE(at.of_pass.commit_ranges("things", Side::source, {}));
  at.of_pass.put(first_range, {"cursor", false, {}}, 0, {{"things", "a", "missing", ""}});
  at.cut(table);
  const auto damaged = [](const Error& error) {
    CAPTURE(error.message);
    CHECK(error.code == Code::corrupt);
    CHECK(says_all(error, {"cannot be read", "start the validation again"}));
  };
  const auto ranges = at.of_pass.ranges("things", Side::source);
  REQUIRE_FALSE(ranges);
  damaged(ranges.error());
  const auto progress = at.of_pass.progress(first_range);
  REQUIRE_FALSE(progress);
  damaged(progress.error());
  const auto findings = at.of_pass.findings(10);
  REQUIRE_FALSE(findings);
  damaged(findings.error());
}

TEST_CASE("what a version wrote that is not known does not keep a new pass from beginning") {
  Passed at;
  REQUIRE(at.of_pass.begin("1", "all").value() == false);
  REQUIRE(at.of_pass.commit_ranges("things", Side::source, {}));
  at.write_format(table, 9);
  REQUIRE(at.of_pass.begin("2", "all").value() == false);
  CHECK_FALSE(at.of_pass.ranges("things", Side::source).value());
}
