// What is in quarantine is found again by the next run, or says why not.
#include "proxy/quarantine.h"

#include "model/codec.h"
#include "tests/support/fake_driver.h"
#include "tests/support/kept.h"

namespace vmproxy::proxy {
namespace {

using journal::Side;
using support::key_of;
using support::record_of;

struct Ward : support::Kept {
  Ward() {
    Quarantine quarantine(*journal, clock);
    REQUIRE(quarantine.restore());
    quarantine.add("things", key("a"), "too large", record_of("a", 1), Side::source);
    quarantine.add_unread("things", key("b"), "only the former primary had this", Side::target);
    commit();
  }
  static std::string key(const std::string& id) { return model::encode(key_of(id)); }
  Result<void> restored() {
    Quarantine next(*journal, clock);
    return next.restore();
  }
};

}  // namespace

TEST_CASE("what is in quarantine of a format that is not known is refused with its number and stays") {
  Ward ward;
  ward.write_format(journal::rows::quarantine, 9);
  const auto restored = ward.restored();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().code == Code::unsupported);
  CAPTURE(restored.error().message);
  CHECK(support::says_all(restored.error(),
                          {"quarantine", "format 9", "up to 3", "Use the vmproxy that wrote it"}));
  CHECK(ward.rows(journal::rows::quarantine) == 2);
}

TEST_CASE("a damaged row of the quarantine is refused as such") {
  Ward ward;
  ward.cut(journal::rows::quarantine);
  const auto restored = ward.restored();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().code == Code::corrupt);
  CHECK(support::says_all(restored.error(), {"vmproxy journal verify"}));
}

TEST_CASE("what is in quarantine is there again, with whose refusal it was, also from an older format") {
  Ward ward;
  SECTION("this format") {
    Quarantine next(*ward.journal, ward.clock);
    REQUIRE(next.restore());
    CHECK(next.count() == 2);
    CHECK(next.number_of("things", Ward::key("a"), Side::source) == 1);
    CHECK(next.number_of("things", Ward::key("b"), Side::target) == 2);
  }
  SECTION("the first: without the primary, which was the source") {
    ward.rewrite(journal::rows::quarantine, [](std::string value) {
      value.pop_back();
      value.at(0) = 1;
      return value;
    });
    Quarantine next(*ward.journal, ward.clock);
    REQUIRE(next.restore());
    CHECK(next.number_of("things", Ward::key("a"), Side::source) == 1);
    CHECK(next.number_of("things", Ward::key("b"), Side::source) == 2);
  }
}

}  // namespace vmproxy::proxy
