// Quarantine over a restart: what this version cannot read is never as good as not there.
#include "proxy/quarantine.h"

#include "model/codec.h"
#include "tests/support/fake_driver.h"
#include "tests/support/kept.h"

using namespace vmproxy;
using namespace vmproxy::support;
using proxy::Quarantine;

namespace {

struct Desk : Kept {
  Desk() {
    Quarantine quarantine(*journal, clock);
    REQUIRE(quarantine.restore());
    quarantine.add("things", model::encode(key_of("a")), "too large", record_of("a", 2),
                   journal::Side::target);
    commit();
  }
};

}  // namespace

TEST_CASE("a change in quarantine that this version cannot read is said so, and is no change that is gone") {
  Desk desk;
  std::vector<std::string> words;
  Code code = Code::unsupported;
  SECTION("it has the format of another version") {
    desk.write_format(journal::rows::quarantine, 9);
    words = {"a change in quarantine", "format 9", "Use the vmproxy that wrote it"};
  }
  SECTION("it was refused by a side that there is not") {
    desk.rewrite(journal::rows::quarantine,
                 [](std::string row) { return row.replace(row.size() - 1, 1, "\2"); });
    words = {"a change in quarantine", "journal verify"};
    code = Code::corrupt;
  }
  SECTION("it is no write, no delete and not unread") {
    // Which it is stands before the record, and the record before the side, the last byte.
    const size_t record = [] {
      model::Writer writer;
      writer.record(record_of("a", 2));
      return writer.take().size();
    }();
    desk.rewrite(journal::rows::quarantine, [&](const std::string& row) {
      return row.substr(0, row.size() - record - 2) + '\3' + row.back();
    });
    words = {"a change in quarantine", "journal verify"};
    code = Code::corrupt;
  }
  SECTION("it was refused at a time that no clock shows") {
    desk.rewrite(journal::rows::quarantine, [](std::string row) {
      // The time stands behind three texts, each with its length in one byte.
      size_t at = 1;
      for (int text = 0; text < 3; ++text) at += 1 + static_cast<uint8_t>(row.at(at));
      return row.replace(at, 8, std::string(7, '\xff') + '\x7f');
    });
    words = {"a change in quarantine", "journal verify"};
    code = Code::corrupt;
  }
  SECTION("it is damaged") {
    desk.cut(journal::rows::quarantine);
    words = {"a change in quarantine", "journal verify"};
    code = Code::corrupt;
  }
  Quarantine quarantine(*desk.journal, desk.clock);
  const auto restored = quarantine.restore();
  REQUIRE_FALSE(restored);
  CHECK(restored.error().code == code);
  CHECK(says_all(restored.error(), words));
}

TEST_CASE("a change in quarantine holds its key after a restart, too") {
  Desk desk;
  Quarantine quarantine(*desk.journal, desk.clock);
  REQUIRE(quarantine.restore());
  CHECK(quarantine.count() == 1);
  CHECK(quarantine.holds("things", model::encode(key_of("a"))));
  quarantine.freeze_others_than(journal::Side::source);
  CHECK(quarantine.at_risk("things", model::encode(key_of("a"))));
}

TEST_CASE("the number of a change that has left the quarantine is no other's, after a restart neither") {
  Desk desk;
  uint64_t gone = 0;
  {
    Quarantine quarantine(*desk.journal, desk.clock);
    REQUIRE(quarantine.restore());
    gone = quarantine.list(1)->front().number;
    quarantine.remove({gone});
    desk.commit();
  }
  Quarantine quarantine(*desk.journal, desk.clock);
  REQUIRE(quarantine.restore());
  quarantine.add("things", model::encode(key_of("b")), "too large", std::nullopt, journal::Side::target);
  CHECK(quarantine.list(1)->front().number > gone);
}
