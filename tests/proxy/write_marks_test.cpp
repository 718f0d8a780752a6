#include "proxy/write_marks.h"

#include <catch2/catch.hpp>
#include <memory>
#include <vector>

using vmproxy::model::Key;
using vmproxy::proxy::WriteMarks;

TEST_CASE("a mark tells of entries that came since, and says nothing while one is coming") {
  const auto marks = std::make_unique<WriteMarks>();
  const Key key{"", {std::string("a")}};
  const std::vector<Key> keys{key};
  const auto before = marks->of({"", "c"}, keys);
  const auto of_collection = marks->of({"", "c"}, {});
  const auto of_other = marks->of({"", "d"}, {});
  REQUIRE(before);
  REQUIRE(of_collection);
  {
    const WriteMarks::Coming coming(*marks, "c", vmproxy::model::encode(key));
    CHECK_FALSE(marks->of({"", "c"}, keys));
    CHECK_FALSE(marks->of({"", "c"}, {}));
    CHECK(marks->of({"", "d"}, {}) == of_other);
  }
  CHECK(marks->of({"", "c"}, keys).has_value());
  CHECK(marks->of({"", "c"}, keys) != before);
  CHECK(marks->of({"", "c"}, {}) != of_collection);
}

TEST_CASE("several keys come at once, or any of a collection when nobody knows which") {
  const auto marks = std::make_unique<WriteMarks>();
  const Key a{"", {std::string("a")}}, b{"", {std::string("b")}}, c{"", {std::string("c")}};
  const std::vector<std::string> both{vmproxy::model::encode(a), vmproxy::model::encode(b)};
  const std::vector<Key> last{c};
  const auto before = marks->of({"", "c"}, last);
  REQUIRE(before);
  {
    const WriteMarks::Coming coming(*marks, "c", both);
    for (const auto& key : both) CHECK(marks->coming("c", key));
    CHECK_FALSE(marks->coming("c", vmproxy::model::encode(c)));
    CHECK_FALSE(marks->coming("d", both[0]));
    CHECK(marks->of({"", "c"}, last) == before);
  }
  for (const auto& key : both) CHECK_FALSE(marks->coming("c", key));
  {
    const WriteMarks::Coming coming(*marks, "c");
    CHECK(marks->coming("c", vmproxy::model::encode(c)));
    CHECK_FALSE(marks->of({"", "c"}, last));
    CHECK_FALSE(marks->coming("d", both[0]));
  }
  CHECK_FALSE(marks->coming("c", vmproxy::model::encode(c)));
  CHECK(marks->of({"", "c"}, last) != before);
}
