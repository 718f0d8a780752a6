#include "mapping/plan.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "generate.h"
#include "mapping/equality.h"
#include "sides.h"

using namespace vmproxy;
using mapping::Plan;
using model::IdKind;

namespace {

std::unique_ptr<Plan> make(const model::Schema& schema, const model::Capabilities& target,
                           const model::Capabilities& source = sides::everything()) {
  return Plan::make(schema, source, {"", "there"}, target).value();
}

// Every record either comes back exactly or is refused with a reason.
void round_trips(const model::Schema& schema, const model::Capabilities& target, bool with_partition) {
  const auto plan = make(schema, target);
  size_t carried = 0;
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    generate::Generator generate(seed);
    model::Record record = generate.record(schema.id_kind);
    if (with_partition) record.key.partition = generate.one_of<std::string>({"", "p", "a:b", "%"});
    const auto there = plan->to_target(record);
    if (!there) {
      REQUIRE(there.error().code == Code::invalid);
      continue;
    }
    ++carried;
    const auto back = plan->to_source(*there);
    INFO("seed " << seed << (back ? "" : back.error().message));
    REQUIRE(back.has_value());
    INFO(mapping::difference(record, *back, false).value_or(""));
    REQUIRE_FALSE(mapping::difference(record, *back, false));
    REQUIRE(plan->key_to_source(plan->key_to_target(record.key).value()).value() == record.key);
  }
  CHECK(carried > 1000);
}

}  // namespace

TEST_CASE("records come back from every kind of target exactly") {
  for (const auto kind : {IdKind::string, IdKind::u64, IdKind::i64, IdKind::uuid}) {
    for (const auto& target : {sides::everything(), sides::flat(), sides::json()})
      round_trips(sides::collection(kind), target, false);
  }
}

TEST_CASE("partitions survive in targets that have none") {
  auto schema = sides::collection(IdKind::i64);
  schema.partitions = {"p", "a:b"};
  round_trips(schema, sides::everything(), true);
  round_trips(schema, sides::flat(), true);
}

TEST_CASE("declared fields go where they can and come back") {
  auto schema = sides::collection();
  for (const char* name : {"a", "b", "document"}) {
    model::Field field;
    field.name = name;
    field.kind = model::FieldKind::string;
    schema.fields.push_back(field);
  }
  schema.fields[1].nullable = false;
  for (const auto& target : {sides::everything(), sides::flat(), sides::json()}) {
    const auto plan = make(schema, target);
    model::Record record;
    record.key.id.value = std::string("x");
    record.vectors[""] = model::DenseVector{1, 2, 3};
    record.document = "the document";
    record.metadata =
        model::Object{{"a", "x"}, {"b", "y"}, {"document", "z"}, {"other.thing", model::Object{{"k", 1}}}};
    const auto there = plan->to_target(record).value();
    CHECK_FALSE(mapping::difference(record, plan->to_source(there).value(), false));
  }
  CHECK(make(schema, sides::everything())->target().fields.size() == 2);
  CHECK(make(schema, sides::json())->target().fields.size() == 1);
  CHECK(make(schema, sides::flat())->target().fields.empty());
}

TEST_CASE("fields that are named as one of ours come back from a query that names them") {
  model::Schema schema = sides::collection();
  schema.dynamic = schema.has_document = false;
  schema.partitions = {"p"};
  model::Field field;
  field.name = "partition";
  field.kind = model::FieldKind::string;
  field.nullable = false;
  schema.fields.push_back(field);
  const auto plan = make(schema, sides::flat());
  model::Record record;
  record.key.id.value = std::string("x");
  record.key.partition = "p";
  record.vectors[""] = model::DenseVector{1, 2, 3};
  record.metadata = model::Object{{"partition", "north"}};
  model::Query asked;
  asked.fields = std::vector<std::string>{"partition"};
  auto there = plan->to_target(record).value();
  // A target that is told which fields gives those.
  if (const auto fields = plan->to_target(asked).value().fields) {
    std::erase_if(*there.metadata,
                  [&](const auto& member) { return !std::ranges::count(*fields, member.first); });
  }
  model::QueryResult answer;
  answer.records.push_back(there);
  CHECK(plan->to_source(answer, asked).value().records[0].metadata == record.metadata);
}

TEST_CASE("a null in a declared field that only knows absence is counted, not dropped in silence") {
  auto schema = sides::collection();
  schema.fields.push_back({});
  schema.fields[0].name = "price";
  schema.fields[0].kind = model::FieldKind::float64;
  const auto plan = make(schema, sides::everything());
  model::Record record;
  record.key.id.value = std::string("x");
  record.metadata = model::Object{{"price", nullptr}};
  CHECK_FALSE(plan->to_target(record)->metadata);
  CHECK(plan->losses() == std::map<std::string, uint64_t>{{"metadata.price: null", 1}});
}

TEST_CASE("a null in a declared json field is a value and is carried") {
  auto schema = sides::collection();
  schema.fields.push_back({});
  schema.fields[0].name = "payload";
  schema.fields[0].nullable = false;
  const auto plan = make(schema, sides::everything());
  model::Record record;
  record.key.id.value = std::string("x");
  record.metadata = model::Object{{"payload", nullptr}};
  CHECK(plan->to_target(record)->metadata == record.metadata);
  CHECK(plan->losses().empty());
}

TEST_CASE("what cannot be carried at all is refused with a code first") {
  const auto code = [](const model::Schema& schema, const model::Capabilities& target) {
    const auto made = Plan::make(schema, sides::everything(), {"", "there"}, target);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == Code::unsupported);
    return made.error().message.substr(0, made.error().message.find(':'));
  };
  auto schema = sides::collection();
  schema.vectors.push_back({});
  schema.vectors[1].name = "second";
  CHECK(code(schema, sides::flat()) == "vector.fields");
  schema = sides::collection();
  schema.vectors[0].kind = model::VectorKind::sparse;
  CHECK(code(schema, sides::flat()) == "vector.sparse");
  schema.vectors[0].kind = model::VectorKind::binary;
  CHECK(code(schema, sides::flat()) == "vector.binary");
  schema = sides::collection();
  auto small = sides::flat();
  small.dimension_max = 2;
  CHECK(code(schema, small) == "vector.dimension");
  model::Capabilities integers;
  integers.id_u64 = true;
  CHECK(code(sides::collection(IdKind::uuid), integers) == "id.kind");
}

TEST_CASE("records that do not fit are refused with the field named") {
  auto target = sides::flat();
  target.id_bytes_max = 4;
  const auto plan = make(sides::collection(), target);
  model::Record record;
  record.key.id.value = std::string("abcde");
  record.vectors[""] = model::DenseVector{1, 2, 3};
  CHECK(plan->to_target(record).error().message.find("id: 5 bytes") != std::string::npos);
  record.key.id.value = std::string("abc");
  record.vectors.clear();
  CHECK(plan->to_target(record).error().message.find("vector: absent") != std::string::npos);
  record.vectors["unknown"] = model::DenseVector{1};
  CHECK(plan->to_target(record).error().message.find("vector.unknown") != std::string::npos);
}

TEST_CASE("for a target that holds everything nothing changes but the name and the index") {
  auto schema = sides::collection();
  const auto plan = make(schema, sides::everything());
  CHECK(plan->target().name.name == "there");
  CHECK(plan->ids_injective());
  for (const auto& note : plan->notes()) {
    CHECK((note.kind == mapping::Note::Kind::carried || note.field == "vector.index"));
  }
}

TEST_CASE("the hash follows the mapping and ignores what a source shows in passing") {
  auto schema = sides::collection();
  const auto hash = make(schema, sides::everything())->hash();
  schema.native = model::Object{{"rows", 17}};
  schema.vectors[0].dimension = 0;
  schema.incarnation = 5;
  CHECK(make(schema, sides::everything())->hash() == hash);
  CHECK(make(schema, sides::flat())->hash() != hash);
  schema.vectors[0].metric = model::Metric::cosine;
  CHECK(make(schema, sides::everything())->hash() != hash);
}

TEST_CASE("an answer is cut to what the query asked for") {
  const auto plan = make(sides::collection(), sides::json());
  model::Record record;
  record.key.id.value = std::string("x");
  record.vectors[""] = model::DenseVector{1, 2, 3};
  record.document = "text";
  record.metadata = model::Object{{"a", 1}, {"b", 2}};
  model::Query asked;
  asked.fields = std::vector<std::string>{"a"};
  const auto there = plan->to_target(asked).value();
  CHECK_FALSE(there.fields);
  model::QueryResult answer;
  answer.records.push_back(plan->to_target(record).value());
  const auto here = plan->to_source(answer, asked).value();
  CHECK(here.records[0].metadata == model::Object{{"a", 1}});
  CHECK(here.records[0].document == "text");
  asked.with_document = false;
  asked.with_metadata = false;
  const auto bare = plan->to_source(answer, asked).value();
  CHECK_FALSE(bare.records[0].document);
  CHECK_FALSE(bare.records[0].metadata);
}
