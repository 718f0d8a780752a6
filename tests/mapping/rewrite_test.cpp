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
      const auto k = make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::in, Kind::not_in, Kind::less});
      model::Value right =
          k == Kind::in || k == Kind::not_in ? model::Value(model::Array{literal(), literal()}) : literal();
      const Filter filter = Filter::make(k, Filter::record_id(), Filter::literal_of(std::move(right)));
      const auto there = p->to_target(query_with(filter));
      if (k == Kind::less) {
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
