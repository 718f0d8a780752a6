// Random filters and records for property tests.
#pragma once

#include <rapidcheck.h>

#include "model/filter.h"

namespace vmproxy::protocols::chroma::test {

using model::Array;
using model::Filter;
using model::Object;
using model::Value;

inline const std::vector<std::string>& field_names() {
  static const std::vector<std::string> names{"n", "s", "b", "l", "mixed"};
  return names;
}

inline Value any_scalar() {
  static const std::vector<Value> pool{-2,  -1,  0,   1,   2,   -1.5, -1.0, 0.0,  0.5,
                                       1.0, 1.5, 2.5, "x", "y", "",   "1",  true, false};
  return *rc::gen::elementOf(pool);
}

inline Value any_field_value() {
  static const std::vector<Value> lists{Array{1, 2}, Array{1.0, 1.5}, Array{"x", "y"}, Array{true}, Array{2}};
  return *rc::gen::inRange(0, 4) == 0 ? *rc::gen::elementOf(lists) : any_scalar();
}

inline Object any_metadata() {
  Object metadata;
  for (const auto& name : field_names()) {
    if (*rc::gen::inRange(0, 3) != 0) metadata[name] = any_field_value();
  }
  return metadata;
}

inline Array any_list() {
  Array list;
  for (int n = *rc::gen::inRange(0, 4); n > 0; --n) list.push_back(any_scalar());
  return list;
}

inline Filter any_filter(int depth) {
  using Kind = Filter::Kind;
  static const std::vector<Kind> comparisons{Kind::equal,
                                             Kind::not_equal,
                                             Kind::less,
                                             Kind::less_equal,
                                             Kind::greater,
                                             Kind::greater_equal,
                                             Kind::in,
                                             Kind::not_in,
                                             Kind::array_contains,
                                             Kind::array_contains_all,
                                             Kind::array_contains_any,
                                             Kind::contains_text,
                                             Kind::matches};
  if (depth > 0 && *rc::gen::inRange(0, 3) == 0) {
    std::vector<Filter> children;
    for (int n = *rc::gen::inRange(0, 3); n > 0; --n) children.push_back(any_filter(depth - 1));
    return *rc::gen::arbitrary<bool>() ? Filter::all(children) : Filter::any(children);
  }
  if (depth > 0 && *rc::gen::inRange(0, 5) == 0) return Filter::not_(any_filter(depth - 1));
  if (*rc::gen::inRange(0, 15) == 0) return Filter();
  const Kind kind = *rc::gen::elementOf(comparisons);
  const bool takes_list = kind == Kind::in || kind == Kind::not_in || kind == Kind::array_contains_all ||
                          kind == Kind::array_contains_any;
  const bool takes_text = kind == Kind::contains_text || kind == Kind::matches;
  Filter field = takes_text || *rc::gen::inRange(0, 6) == 0
                     ? Filter::document_text()
                     : Filter::field_of(*rc::gen::elementOf(field_names()));
  Value literal = takes_list   ? Value(any_list())
                  : takes_text ? Value(*rc::gen::element<std::string>("x", "lpha", "", "z y"))
                               : any_scalar();
  Filter filter = Filter::make(kind, std::move(field), Filter::literal_of(std::move(literal)));
  // Mostly what Chroma can say, sometimes what it cannot.
  filter.absent_matches = (kind == Kind::not_equal || kind == Kind::not_in) != (*rc::gen::inRange(0, 8) == 0);
  filter.numbers_by_value = *rc::gen::inRange(0, 3) != 0;
  return filter;
}

}  // namespace vmproxy::protocols::chroma::test
