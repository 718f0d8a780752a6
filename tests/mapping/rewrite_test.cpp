#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "generate.h"
#include "mapping/plan.h"
#include "sides.h"

using namespace vmproxy;
using model::Filter;
using Kind = model::Filter::Kind;

namespace {

std::unique_ptr<mapping::Plan> plan(const model::Capabilities& target,
                                    model::IdKind kind = model::IdKind::string) {
  return mapping::Plan::make(sides::collection(kind), sides::everything(), {"", "there"}, target).value();
}

model::Query query_with(Filter filter) {
  model::Query query;
  query.filter = std::move(filter);
  return query;
}

// Counts how many filters could be asked, so that the property does not pass because everything was refused.
void agrees(const model::Capabilities& target, size_t asked_min) {
  const auto p = plan(target);
  size_t asked = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    generate::Generator make(seed);
    const model::Record record = make.record();
    const Filter filter = make.filter();
    const auto there = p->to_target(query_with(filter));
    if (!there) {
      REQUIRE(there.error().code == Code::unsupported);
      REQUIRE(there.error().message.starts_with("filter."));
      continue;
    }
    const auto carried = p->to_target(record);
    if (!carried) continue;
    ++asked;
    INFO("seed " << seed);
    REQUIRE(model::evaluate(*there->filter, *carried) == model::evaluate(filter, record));
  }
  CHECK(asked >= asked_min);
}

}  // namespace

TEST_CASE("a rewritten filter selects the same records where only scalars can be held") {
  agrees(sides::flat(), 800);
}

TEST_CASE("a rewritten filter selects the same records where arrays of one type can be held") {
  auto target = sides::flat();
  target.metadata_arrays = true;
  agrees(target, 800);
}

TEST_CASE("a rewritten filter selects the same records where JSON can be held but documents cannot") {
  agrees(sides::json(), 1500);
}

TEST_CASE("a rewritten filter selects the same records where everything can be held") {
  agrees(sides::everything(), 3000);
}

TEST_CASE("filters on ids of another form match the same ids") {
  const auto target = sides::flat();
  for (const auto kind : {model::IdKind::u64, model::IdKind::i64, model::IdKind::uuid}) {
    const auto p = plan(target, kind);
    for (uint64_t seed = 0; seed < 500; ++seed) {
      generate::Generator make(seed);
      const model::Record record = make.record(kind);
      const auto literal = [&]() -> model::Value {
        const model::Id id = make.id(make.chance(80) ? kind : model::IdKind::string);
        if (const auto* u = std::get_if<uint64_t>(&id.value)) return *u;
        if (const auto* i = std::get_if<int64_t>(&id.value))
          return make.chance(20) ? model::Value(static_cast<double>(*i)) : model::Value(*i);
        return model::to_string(id);
      };
      const auto k = make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::in, Kind::not_in, Kind::less,
                                        Kind::less_equal, Kind::greater, Kind::greater_equal});
      const bool order = k != Kind::equal && k != Kind::not_equal && k != Kind::in && k != Kind::not_in;
      model::Value right =
          k == Kind::in || k == Kind::not_in ? model::Value(model::Array{literal(), literal()}) : literal();
      const Filter filter = Filter::make(k, Filter::record_id(), Filter::literal_of(std::move(right)));
      const auto there = p->to_target(query_with(filter));
      if (order && kind == model::IdKind::uuid) {
        REQUIRE_FALSE(there.has_value());
        CHECK(there.error().message.starts_with("filter.id:"));
        continue;
      }
      auto carried = record;
      carried.vectors[""] = model::DenseVector{1, 2, 3};
      INFO("seed " << seed << " kind " << static_cast<int>(kind));
      REQUIRE(model::evaluate(*there->filter, p->to_target(carried).value()) ==
              model::evaluate(filter, record));
    }
  }
}

TEST_CASE(
    "arithmetic on ids that are text in the target is about the number that they say, in partitions too") {
  auto source = sides::collection(model::IdKind::i64);
  source.partitions = {"", "a:b", "1"};
  const auto p = mapping::Plan::make(source, sides::everything(), {"", "there"}, sides::flat()).value();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    generate::Generator make(seed);
    model::Record record = make.record(model::IdKind::i64);
    record.key.id.value = make.chance(50) ? make.integer() : static_cast<int64_t>(make.below(20)) - 10;
    record.key.partition = make.one_of<std::string>({"", "a:b", "1"});
    record.vectors[""] = model::DenseVector{1, 2, 3};
    const auto sign = make.one_of<Kind>({Kind::add, Kind::multiply, Kind::modulo});
    const auto k = make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::less, Kind::greater_equal});
    const int64_t by = static_cast<int64_t>(make.below(5)) + 1;
    Filter left = make.chance(30) ? Filter::record_id()
                                  : Filter::make(sign, Filter::record_id(), Filter::literal_of(by));
    Filter filter = Filter::make(k, std::move(left), Filter::literal_of(make.integer()));
    if (make.chance(30)) filter = Filter::not_(std::move(filter));
    const auto there = p->to_target(query_with(filter));
    INFO("seed " << seed);
    REQUIRE(there.has_value());
    REQUIRE(model::evaluate(*there->filter, p->to_target(record).value()) == model::evaluate(filter, record));
  }
}

TEST_CASE(
    "fields that the source declares are held in one form: no filter on them asks whether they are there") {
  auto source = sides::collection();
  using model::FieldKind;
  source.fields = {{"year", FieldKind::int32, FieldKind::json, 0, false},
                   {"price", FieldKind::float64, FieldKind::json, 0, false},
                   {"fresh", FieldKind::boolean, FieldKind::json, 0, false},
                   {"title", FieldKind::string, FieldKind::json, 64, false},
                   {"maybe", FieldKind::int64, FieldKind::json, 0, true}};
  const auto p = mapping::Plan::make(source, sides::everything(), {"", "there"}, sides::flat()).value();
  const auto mentions = [](const auto& self, const Filter& filter, auto wrong) -> bool {
    if (wrong(filter)) return true;
    for (const auto& child : filter.children) {
      if (self(self, child, wrong)) return true;
    }
    return false;
  };
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    generate::Generator make(seed);
    model::Record record;
    record.key.id.value = std::string("k");
    record.vectors[""] = model::DenseVector{1, 2, 3};
    record.metadata.emplace();
    (*record.metadata)["year"] = make.integer();
    (*record.metadata)["price"] = make.chance(10) ? model::Value(std::nan("")) : model::Value(make.real());
    (*record.metadata)["fresh"] = make.chance(50);
    (*record.metadata)["title"] = make.text();
    if (make.chance(70))
      (*record.metadata)["maybe"] = make.chance(50) ? model::Value(make.integer()) : nullptr;
    const auto name = make.one_of<std::string>({"year", "price", "fresh", "title", "maybe"});
    const auto k = make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::in, Kind::not_in, Kind::less,
                                      Kind::less_equal, Kind::greater, Kind::greater_equal});
    const bool list = k == Kind::in || k == Kind::not_in;
    Filter filter = Filter::make(
        k, Filter::field_of(name),
        Filter::literal_of(list ? model::Value(model::Array{make.scalar(), make.scalar()}) : make.scalar()));
    filter.absent_matches = make.chance(30);
    if (make.chance(30)) filter = Filter::not_(std::move(filter));
    if (make.chance(10)) {
      filter = Filter();
      filter.kind = make.one_of<Kind>({Kind::exists, Kind::is_null});
      filter.children.push_back(Filter::field_of(name));
    }
    const auto there = p->to_target(query_with(filter));
    INFO("seed " << seed);
    REQUIRE(there.has_value());
    REQUIRE(model::evaluate(*there->filter, p->to_target(record).value()) == model::evaluate(filter, record));
    if (name == "maybe") continue;
    // Nor is it asked for by "not": of integers the other order is.
    CHECK_FALSE(mentions(mentions, *there->filter, [&](const Filter& f) {
      return f.kind == Kind::exists || f.kind == Kind::is_null ||
             (f.kind == Kind::negate && name == "year" && f.children[0].kind >= Kind::less &&
              f.children[0].kind <= Kind::greater_equal && f.children[0].children[1].value.is_number());
    }));
  }
}
