#include <catch2/catch.hpp>
#include <cmath>

#include "filters.h"
#include "protocols/chroma/base64.h"
#include "protocols/chroma/collection.h"
#include "protocols/chroma/records.h"
#include "protocols/chroma/where.h"
#include "protocols/wire/json.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::chroma;
using namespace vmproxy::protocols::chroma::test;

namespace {

std::string refusal(const std::string& base64) {
  const auto decoded = decode_base64_floats(base64);
  return decoded ? "taken" : decoded.error().message;
}

Value any_where(int depth) {
  static const std::vector<std::string> operators{"$eq",  "$ne", "$gt",  "$gte",      "$lt",
                                                  "$lte", "$in", "$nin", "$contains", "$not_contains"};
  if (depth > 0 && *rc::gen::inRange(0, 2) == 0) {
    Array children;
    for (int n = *rc::gen::inRange(0, 3); n > 0; --n) children.push_back(any_where(depth - 1));
    return Object{{*rc::gen::arbitrary<bool>() ? "$and" : "$or", std::move(children)}};
  }
  const std::string op = *rc::gen::elementOf(operators);
  Value operand = any_scalar();
  if (op == "$in" || op == "$nin") {
    Array list{operand};
    list.push_back(operand);
    operand = std::move(list);
  }
  return Object{{*rc::gen::elementOf(field_names()), Object{{op, std::move(operand)}}}};
}

std::string code_of(const Filter& filter) {
  const auto printed = print_filter(filter);
  return printed ? "taken" : printed.error().message.substr(0, printed.error().message.find(':'));
}

Filter compare(Filter::Kind kind, const char* field, Value literal) {
  return Filter::make(kind, Filter::field_of(field), Filter::literal_of(std::move(literal)));
}

}  // namespace

TEST_CASE("embeddings survive base64 bit by bit") {
  CHECK(rc::check([] {
    model::DenseVector vector;
    for (const auto bits : *rc::gen::arbitrary<std::vector<uint32_t>>()) {
      const float x = std::bit_cast<float>(bits);
      if (std::isfinite(x)) vector.push_back(x);
    }
    std::string text;
    append_base64_floats(text, vector);
    const auto again = decode_base64_floats(text);
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == vector);
  }));
}

TEST_CASE("damaged base64 is refused in the server's words") {
  CHECK(refusal("AACAPwAAAEA=") == "taken");
  CHECK(refusal("") == "taken");
  CHECK(refusal("AACAPw") == "Invalid base64 string: Invalid padding");
  CHECK(refusal("A") == "Invalid base64 string: Invalid input length: 1");
  CHECK(refusal("AACA Pw==") == "Invalid base64 string: Invalid symbol 32, offset 4.");
  CHECK(refusal("AACAPx==") == "Invalid base64 string: Invalid last symbol 120, offset 5.");
  CHECK(refusal("AACAPw===") == "Invalid base64 string: Invalid symbol 61, offset 6.");
  CHECK(refusal("=AAA") == "Invalid base64 string: Invalid symbol 61, offset 0.");
  CHECK(refusal("AAA=") ==
        "Invalid byte length: 2 bytes cannot be converted to f32 values (must be divisible by 4)");
  CHECK(refusal("AACAfwAAwH8=") == "Non-finite float value at embedding index 0: inf");
}

TEST_CASE("any text given as base64 is decoded or refused, never worse") {
  CHECK(rc::check([] {
    std::string text = *rc::gen::container<std::string>(
        rc::gen::element('A', 'z', '/', '+', '=', '-', '\n', '\0', '\xff', '9'));
    (void)decode_base64_floats(text);
  }));
}

TEST_CASE("a where clause means the same after it went through the model") {
  CHECK(rc::check([] {
    const Value where = any_where(3);
    const auto filter = parse_where(where);
    if (!filter) {
      RC_ASSERT(filter.error().message == "Invalid where clause");
      return;
    }
    const auto printed = print_filter(*filter);
    RC_ASSERT(printed.has_value());
    RC_ASSERT(printed->on_id.empty());
    const auto again = printed->where ? parse_where(*printed->where) : Result<Filter>(Filter());
    RC_ASSERT(again.has_value());
    for (int i = 0; i < 5; ++i) {
      model::Record record;
      record.metadata = any_metadata();
      RC_ASSERT(evaluate(*filter, record) == evaluate(*again, record));
    }
  }));
}

TEST_CASE("a where clause is no deeper than the JSON that it came in") {
  const auto nested = [](int levels, const std::string& leaf) {
    std::string text, end;
    for (int i = 0; i < levels; ++i) {
      text += i % 2 == 0 ? R"({"$and":[)" : R"({"$or":[)";
      end += "]}";
    }
    return wire::parse_json(text + leaf + end);
  };
  CHECK_FALSE(nested(100'000, R"({"a":1})").has_value());
  const auto where = nested(60, R"({"a":1})");
  REQUIRE(where.has_value());
  const auto filter = parse_where(*where);
  REQUIRE(filter.has_value());
  CHECK(print_filter(*filter).has_value());
  const auto document = nested(60, R"({"$contains":"x"})");
  REQUIRE(document.has_value());
  CHECK(parse_where_document(*document).has_value());
}

TEST_CASE("what Chroma cannot say is refused with a stable code") {
  using Kind = Filter::Kind;
  Filter strict = compare(Kind::less, "a", 1);
  strict.numbers_by_value = false;
  CHECK(code_of(strict) == "filter.number_types");
  CHECK(code_of(compare(Kind::less, "a", "x")) == "filter.order");
  CHECK(code_of(Filter::not_(compare(Kind::less, "a", 1))) == "filter.not_order");
  CHECK(code_of(compare(Kind::not_equal, "a", 1)) == "filter.absent");
  CHECK(code_of(compare(Kind::equal, "a", Array{1})) == "filter.literal");
  CHECK(code_of(compare(Kind::equal, "a", 1e300)) == "filter.number_range");
  CHECK(code_of(compare(Kind::equal, "$a", 1)) == "filter.field_name");
  CHECK(code_of(compare(Kind::like, "a", "x%")) == "filter.like");
  CHECK(code_of(compare(Kind::contains_text, "a", "x")) == "filter.field_text");
  CHECK(code_of(Filter::make(Kind::equal, Filter::field_of("a", {Value("b")}), Filter::literal_of(1))) ==
        "filter.path");
  CHECK(code_of(Filter::make(Kind::equal, Filter::field_of("a"), Filter::field_of("b"))) == "filter.operand");
  Filter exists;
  exists.kind = Kind::exists;
  exists.children.push_back(Filter::field_of("a"));
  CHECK(code_of(exists) == "filter.exists");
  const Filter on_id = Filter::make(Kind::greater, Filter::record_id(), Filter::literal_of("m"));
  CHECK(code_of(on_id) == "taken");
  CHECK(code_of(Filter::all({on_id, compare(Kind::equal, "a", 1)})) == "taken");
  CHECK(code_of(Filter::any({on_id, compare(Kind::equal, "a", 1)})) == "filter.id");
}

TEST_CASE("answers that are cut short or out of step are errors") {
  const std::string whole =
      R"({"ids":["a","b"],"embeddings":[[1,2],[3,4]],"documents":["x",null],"metadatas":[null,{"k":1}],"uris":null})";
  const auto records = parse_records(whole, "");
  REQUIRE(records.has_value());
  REQUIRE(records->size() == 2);
  CHECK((*records)[0].document == "x");
  CHECK((*records)[1].metadata == Object{{"k", 1}});
  for (size_t i = 0; i < whole.size(); ++i) {
    CHECK(!parse_records(whole.substr(0, i), "").has_value());
    CHECK(!parse_ids(whole.substr(0, i)).has_value());
    CHECK(!parse_hits(whole.substr(0, i), "").has_value());
  }
  CHECK(!parse_records(R"({"ids":["a"],"documents":["x","y"]})", "").has_value());
  CHECK(!parse_records(R"({"documents":["x"],"ids":["a"]})", "").has_value());
  CHECK(!parse_hits(R"({"ids":[["a"]],"distances":[[1],[2]]})", "").has_value());
  CHECK(!parse_hits(R"({"ids":[["a"]],"distances":[[1,2]]})", "").has_value());
  const auto hits = parse_hits(R"({"ids":[["a"],[]],"distances":[[null],[]],"embeddings":null})", "");
  REQUIRE(hits.has_value());
  CHECK(std::isnan((*hits)[0][0].distance));
}

TEST_CASE("tenants with slashes keep their place") {
  for (const std::string tenant : {"plain", "a/b", "100%", "%2F"}) {
    const auto place = place_of(space_path(tenant, "database"));
    REQUIRE(place.has_value());
    CHECK(place->tenant == tenant);
    CHECK(place->database == "database");
  }
  CHECK(!place_of("tenant").has_value());
}

TEST_CASE("content is asked for with its documents unless they are not wanted") {
  GetBody body;
  body.by_ids = true;
  body.ids = {"a"};
  body.parts = ReadParts{false, true};
  CHECK(get_body(body) == R"({"ids":["a"],"include":["documents","metadatas","uris"]})");
  body.parts.documents = false;
  CHECK(get_body(body) == R"({"ids":["a"],"include":["metadatas","uris"]})");
}
