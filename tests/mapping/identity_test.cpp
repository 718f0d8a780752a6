#include "mapping/identity.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "generate.h"
#include "sides.h"

using namespace vmproxy;
using model::Id;
using model::IdKind;

TEST_CASE("every id comes back from every kind that takes it") {
  rc::prop("convert(convert(id, k), id.kind) == id", [](uint64_t seed) {
    generate::Generator make(seed);
    const auto from = make.one_of<IdKind>({IdKind::u64, IdKind::i64, IdKind::uuid, IdKind::string});
    const auto to = make.one_of<IdKind>({IdKind::u64, IdKind::i64, IdKind::uuid, IdKind::string});
    const Id id = make.id(from);
    const auto there = mapping::convert(id, to);
    if (!there) {
      RC_ASSERT(to != IdKind::string);
      RC_ASSERT(there.error().code == Code::invalid);
      return;
    }
    RC_ASSERT(there->kind() == to);
    RC_ASSERT(mapping::convert(*there, from).value() == id);
  });
}

TEST_CASE("texts that are not the canonical form of a number have no place among integers") {
  for (const char* text : {"07", "+7", " 7", "7 ", "7.0", "", "18446744073709551616", "-0"}) {
    CHECK_FALSE(mapping::convert(Id{std::string(text)}, IdKind::u64).has_value());
  }
  CHECK(mapping::convert(Id{std::string("18446744073709551615")}, IdKind::u64).value() == Id{UINT64_MAX});
  CHECK_FALSE(mapping::convert(Id{UINT64_MAX}, IdKind::i64).has_value());
  CHECK_FALSE(mapping::convert(Id{int64_t{-1}}, IdKind::u64).has_value());
  CHECK_FALSE(
      mapping::convert(Id{std::string("ABCDEF00-0000-0000-0000-000000000000")}, IdKind::uuid).has_value());
}

TEST_CASE("a target's kinds of id decide how ids travel") {
  CHECK(mapping::rule_for_ids(IdKind::u64, sides::everything())->kind == IdKind::u64);
  CHECK(mapping::rule_for_ids(IdKind::u64, sides::json())->kind == IdKind::string);
  CHECK(mapping::rule_for_ids(IdKind::uuid, sides::flat())->kind == IdKind::string);
  model::Capabilities integers;
  integers.id_u64 = true;
  CHECK_FALSE(mapping::rule_for_ids(IdKind::string, integers)->total);
  const auto refused = mapping::rule_for_ids(IdKind::uuid, integers);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("id.kind:"));
}

TEST_CASE("partition and id share one text without meeting another pair") {
  const std::vector<std::string> parts{"", ":", "%", "a", "a:b", "%3A", "%25", "a%", ":a", "3A"};
  std::map<std::string, std::pair<std::string, std::string>> seen;
  for (const auto& partition : parts) {
    for (const auto& id : parts) {
      const auto text = mapping::join_partition(partition, id);
      CHECK(seen.emplace(text, std::pair{partition, id}).second);
      CHECK(mapping::split_partition(text).value() == std::pair{partition, id});
    }
  }
  CHECK_FALSE(mapping::split_partition("no separator").has_value());
  CHECK_FALSE(mapping::split_partition("a%zz:b").has_value());
}
