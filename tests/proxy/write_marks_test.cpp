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
