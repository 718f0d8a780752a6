// Keys of the source that have no form on the target.
#include "proxy/transfer.h"

#include "tests/support/rig.h"

using namespace vmproxy;
using namespace vmproxy::proxy;
using support::Call;
using support::key_of;

namespace {

// The target takes ids of at most four bytes, and has "a" and "b".
struct ShortIds {
  support::FakeDriver source, target;
  Transfer transfer{source, target};
  Collection collection;
  SystemClock clock;

  ShortIds() {
    target.caps.id_bytes_max = 4;
    const model::Schema schema = support::things();
    collection.name = schema.name;
    collection.key = "things";
    collection.plan = mapping::Plan::make(schema, source.caps, schema.name, target.caps).value();
    target.add_collection(collection.plan->target());
    target.put("a", 1);
    target.put("b", 1);
  }
  Deadline soon() { return clock.in(std::chrono::seconds(10)); }
};

}  // namespace

TEST_CASE("a key that has no form on the target has nothing to erase there") {
  ShortIds at;
  REQUIRE(at.collection.plan->key_to_target(key_of("too long")).has_error());
  const std::vector<model::Key> keys{key_of("too long"), key_of("a"), key_of("b")};
  at.target.refuse("b", Error(Code::invalid, "others refer to it"));
  const auto erased = at.transfer.erase(Side::target, at.collection, keys, at.soon());
  REQUIRE_FALSE(erased.has_error());
  REQUIRE(erased->refused.size() == 1);
  CHECK(erased->refused[0].index == 2);
  CHECK_FALSE(at.target.find("a"));
  CHECK(at.target.find("b") == 1);
  const auto calls = at.target.calls(Call::erase);
  const std::vector<model::Key> only{key_of("too long")};
  const auto nothing = at.transfer.erase(Side::target, at.collection, only, at.soon());
  REQUIRE_FALSE(nothing.has_error());
  CHECK(nothing->refused.empty());
  CHECK(at.target.calls(Call::erase) == calls);
}

TEST_CASE("a target that cannot be reached is no reason to take a delete for done") {
  ShortIds at;
  at.target.down(Error(Code::refused_connection, "away"));
  const std::vector<model::Key> keys{key_of("too long"), key_of("a")};
  const auto erased = at.transfer.erase(Side::target, at.collection, keys, at.soon());
  REQUIRE(erased.has_error());
  CHECK(erased.error().code == Code::refused_connection);
}

TEST_CASE("a key that has no form on the target is absent there, and the others are read") {
  ShortIds at;
  const std::vector<model::Key> keys{key_of("too long"), key_of("a"), key_of("b")};
  const auto found = at.transfer.read(Side::target, at.collection, keys, at.soon());
  REQUIRE_FALSE(found.has_error());
  CHECK(found->size() == 2);
  at.target.hide("b", Error(Code::precondition, "not loaded"));
  const auto each = at.transfer.read_each(Side::target, at.collection, keys, at.soon());
  REQUIRE_FALSE(each.has_error());
  CHECK(each->records.size() == 1);
  REQUIRE(each->refused.size() == 1);
  CHECK(each->refused[0].index == 2);
}
