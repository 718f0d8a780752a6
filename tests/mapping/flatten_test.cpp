#include "mapping/flatten.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "generate.h"

using namespace vmproxy;
using mapping::Holds;
using model::Array;
using model::Object;
using model::Value;

TEST_CASE("nested metadata becomes dotted fields with tags") {
  const Object metadata{{"a", Object{{"b", 1}, {"c", Value()}}},
                        {"list", Array{1, "x"}},
                        {"big", UINT64_MAX},
                        {"dotted.name", 2.0}};
  const Object flat = mapping::flatten(metadata, Holds{});
  const Object expected{{"a~object", true},
                        {"a.b", 1},
                        {"a.c~null", true},
                        {"list~array", 2},
                        {"list.0", 1},
                        {"list.1", "x"},
                        {"big~u64", "18446744073709551615"},
                        {"dotted~.name", 2.0}};
  CHECK(flat == expected);
  CHECK(mapping::unflatten(flat).value() == metadata);
}

TEST_CASE("empty metadata and empty containers come back as they were") {
  for (const Object& metadata : {Object{}, Object{{"a", Object{}}}, Object{{"a", Array{}}},
                                 Object{{"", Object{}}}, Object{{"", Value()}}}) {
    CHECK(mapping::unflatten(mapping::flatten(metadata, Holds{})).value() == metadata);
  }
}

TEST_CASE("any metadata comes back exactly, whatever the target holds") {
  rc::prop("unflatten(flatten(x)) == x",
           [](uint64_t seed, bool objects, bool arrays, bool any, bool nulls, bool empty, bool u64) {
             const Holds target{objects, arrays || any, any, nulls, empty, u64};
             const Object metadata = generate::Generator(seed).object();
             const Object flat = mapping::flatten(metadata, target);
             const auto back = mapping::unflatten(flat);
             RC_ASSERT(back.has_value());
             RC_ASSERT(*back == metadata);
             for (const auto& [name, value] : flat) RC_ASSERT(target.fits(value));
           });
}

TEST_CASE("two different metadata never become the same flat fields") {
  rc::prop("flatten is injective", [](uint64_t one, uint64_t two) {
    const Object a = generate::Generator(one).object();
    const Object b = generate::Generator(two).object();
    RC_PRE(a != b);
    RC_ASSERT(mapping::flatten(a, Holds{}) != mapping::flatten(b, Holds{}));
  });
}

TEST_CASE("fields that were not written by flatten are refused, not guessed") {
  for (const Object& flat :
       {Object{{"a.b", 1}}, Object{{"a~array", 2}, {"a.0", 1}}, Object{{"a~array", int64_t{1} << 60}},
        Object{{"a~huh", 1}}, Object{{"a", 1}, {"a~null", true}}, Object{{"a~u64", "12"}},
        Object{{"a~array", -1}}, Object{{"a~array", 1}, {"a.x", 1}}}) {
    const auto back = mapping::unflatten(flat);
    REQUIRE_FALSE(back.has_value());
    CHECK(back.error().code == Code::invalid);
  }
}
