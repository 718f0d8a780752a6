// Identity and content of records: what must neither meet nor get lost on the way.
#include <rapidcheck/catch.h>

#include "mapping/plan.h"
#include "tests/mapping/sides.h"
#include "tests/support/rig.h"

using namespace vmproxy::support;
namespace model = vmproxy::model;
namespace mapping = vmproxy::mapping;
namespace sides = vmproxy::sides;

TEST_CASE(
    "H12: keys that differ in case, width or kind are different everywhere, equal ones are equal bytes") {
  rc::prop("encode is injective", [](const std::string& a, const std::string& b, uint64_t n, int64_t m) {
    const std::vector<model::Key> keys{
        {"", {a}}, {"", {b}}, {a, {b}}, {b, {a}}, {"", {n}}, {"", {m}}, {"", {std::to_string(n)}}};
    for (const auto& left : keys) {
      for (const auto& right : keys)
        RC_ASSERT((left == right) == (model::encode(left) == model::encode(right)));
      RC_ASSERT(model::decode_key(model::encode(left)) == left);
    }
  });
  CHECK(model::encode(key_of("abc")) != model::encode(key_of("ABC")));
  CHECK(model::encode(key_of("abc")) != model::encode(key_of("abc ")));
  CHECK(model::encode({"", {uint64_t{7}}}) != model::encode(key_of("7")));
}

TEST_CASE("H12: every spelling of a UUID is one key") {
  const auto canonical = model::parse_uuid("0123abcd-4567-89ab-cdef-0123456789ab");
  REQUIRE(canonical);
  for (const char* text :
       {"0123ABCD-4567-89AB-CDEF-0123456789AB", "{0123abcd-4567-89ab-cdef-0123456789ab}",
        "urn:uuid:0123abcd-4567-89ab-cdef-0123456789ab", "0123abcd456789abcdef0123456789ab"}) {
    const auto parsed = model::parse_uuid(text);
    REQUIRE(parsed);
    CHECK(model::encode({"", {*parsed}}) == model::encode({"", {*canonical}}));
  }
}

TEST_CASE("H12: keys that differ only in case have their own entries, debts and records") {
  Rig rig;
  rig.start();
  rig.write("abc", 1);
  rig.uncertain(rig.begin("ABC", 2));
  REQUIRE(rig.quiet());
  CHECK(rig.target.rows() == FakeDriver::Rows{{"abc", 1}});
  CHECK(rig.dirty("ABC"));
  CHECK_FALSE(rig.dirty("abc"));
  rig.source.put("ABC", 2);
  rig.pass(seconds(60));
  CHECK(rig.eventually([&] { return rig.target.rows() == FakeDriver::Rows{{"abc", 1}, {"ABC", 2}}; }));
}

TEST_CASE(
    "H31: what the target cannot hold of a record comes back from it, or is counted by field, or is refused by name") {
  const std::vector<model::Object> contents{
      {{"null", nullptr}},
      {{"nested", model::Object{{"deep", model::Array{1, "two", nullptr}}}}},
      {{"list", model::Array{}}},
      {{"mixed", model::Array{1, "a", true}}},
      {{"large", uint64_t{18446744073709551615ull}}},
      {},
  };
  for (const auto& side : {sides::flat(), sides::json(), sides::everything()}) {
    auto plan = mapping::Plan::make(sides::collection(), sides::everything(), {"", "moved"}, side);
    REQUIRE(plan);
    for (const auto& metadata : contents) {
      model::Record record = record_of("a", 1);
      record.metadata = metadata;
      const auto counted = (*plan)->losses();
      const auto there = (*plan)->to_target(record);
      if (!there) {
        CHECK(there.error().code == vmproxy::Code::invalid);
        CHECK_FALSE(there.error().message.empty());
        continue;
      }
      const auto back = (*plan)->to_source(*there);
      REQUIRE(back);
      const bool same = back->metadata == record.metadata && back->document == record.document &&
                        back->vectors == record.vectors;
      CHECK((same || (*plan)->losses() != counted));
    }
  }
}

TEST_CASE("H31: a sparse vector that the target cannot hold is refused before anything is moved") {
  auto schema = sides::collection();
  schema.vectors.push_back({"sparse", model::VectorKind::sparse, 0, model::Metric::inner_product, {}});
  auto plan = mapping::Plan::make(schema, sides::everything(), {"", "moved"}, sides::json());
  REQUIRE_FALSE(plan);
  CHECK(plan.error().code == vmproxy::Code::unsupported);
  CHECK(plan.error().message.find("sparse") != std::string::npos);
}
