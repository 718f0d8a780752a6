#include "protocols/milvus/expression.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <functional>

#include "protocols/milvus/rows.h"
#include "tests/store/print_result.h"

using namespace vmproxy;
using namespace vmproxy::protocols::milvus;
using model::Filter;
using model::Record;
using model::Value;

namespace {

FieldSchema field(std::string name, DataType type, bool primary = false) {
  FieldSchema f;
  f.name = std::move(name);
  f.type = type;
  f.primary = primary;
  return f;
}

CollectionSchema books() {
  CollectionSchema schema;
  schema.fields = {field("id", DataType::int64, true), field("vector", DataType::float_vector),
                   field("title", DataType::varchar),  field("year", DataType::int32),
                   field("price", DataType::float64),  field("new", DataType::boolean),
                   field("info", DataType::json)};
  schema.fields.push_back(field("tags", DataType::array));
  schema.fields.back().element = DataType::varchar;
  schema.dynamic = true;
  return schema;
}

const Grammar recent = Grammar::of_version("v2.5.1");
const Grammar old = Grammar::of_version("v2.3.5-lite");

std::string refusal(std::string_view text, const Grammar& grammar = old) {
  const auto filter = parse_expression(text, books(), grammar);
  return filter ? "parsed" : filter.error().message;
}

Record book(int64_t n) {
  Record record;
  record.key = key_of(n);
  const char* colours[] = {"red", "green", "blue"};
  record.metadata = model::Object{{"title", "title " + std::to_string(n)},
                                  {"year", 1990 + n},
                                  {"price", static_cast<double>(n) / 4},
                                  {"new", n % 2 == 0},
                                  {"info", model::Object{{"colour", colours[n % 3]}, {"n", n}}},
                                  {"tags", model::Array{"a", "b" + std::to_string(n)}}};
  if (n % 4 != 0) (*record.metadata)["extra"] = n % 4 == 1 ? Value(n) : Value("dynamic " + std::to_string(n));
  return record;
}

std::vector<int64_t> matching(const Filter& filter) {
  std::vector<int64_t> ids;
  for (int64_t n = 1; n <= 24; ++n) {
    if (evaluate(filter, book(n))) ids.push_back(n);
  }
  return ids;
}

std::vector<int64_t> matching(std::string_view text, const Grammar& grammar = recent) {
  const auto filter = parse_expression(text, books(), grammar);
  INFO(text);
  if (!filter) FAIL(filter.error().message);
  return matching(*filter);
}

using Numbers = std::vector<int64_t>;

}  // namespace

TEST_CASE("expressions mean what Milvus 2.3.5 answered to them") {
  CHECK(matching("id in [1, 5, 700]") == Numbers{1, 5});
  CHECK(matching("1 < id < 5") == Numbers{2, 3, 4});
  CHECK(matching("5 >= id > 3") == Numbers{4, 5});
  CHECK(matching("not (id > 3)") == Numbers{1, 2, 3});
  CHECK(matching("id == 1 or title == 'title 7'") == Numbers{1, 7});
  CHECK(matching("title like 'title 1%'", old) == Numbers{1, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19});
  CHECK(matching("title like '%e 2_'") == Numbers{20, 21, 22, 23, 24});
  CHECK(matching("id % 5 == 2") == Numbers{2, 7, 12, 17, 22});
  CHECK(matching("price + 1 == 3.5") == Numbers{10});
  CHECK(matching("info['n'] > 22") == Numbers{23, 24});
  CHECK(matching("extra == 'dynamic 2'") == Numbers{2});
  CHECK(matching("id < 5 and exists extra") == Numbers{1, 2, 3});
  CHECK(matching("(not exists extra) and id < 5") == Numbers{4});
  CHECK(matching("id > 2 && id < 5 || id == 20") == Numbers{3, 4, 20});
  CHECK(matching("id > -1 and price == 0.25") == Numbers{1});
  CHECK(matching("array_contains(tags, 'b7')") == Numbers{7});
  CHECK(matching("array_length(tags) == 2").size() == 24);
  CHECK(matching("array_contains_any(tags, ['b1', 'b2', 'zz'])") == Numbers{1, 2});
  CHECK(matching("array_contains_all(tags, ['a', 'b3'])") == Numbers{3});
  CHECK(matching("tags[1] == 'b9'") == Numbers{9});
  CHECK(matching("$meta['extra'] == 5") == Numbers{5});
  CHECK(matching("year == 1990 + 2 * 3") == Numbers{6});
  CHECK(matching("id == 0x10") == Numbers{16});
  CHECK(matching("title == \"title \\x31\"") == Numbers{1});
  CHECK(matching("new and id < 5") == Numbers{2, 4});
  CHECK(matching("id == 1 or id == 2 and id == 3") == Numbers{1});
  CHECK(matching("extra is null and id < 9") == Numbers{4, 8});
  CHECK(matching("extra is not null and id < 5") == Numbers{1, 2, 3});
}

TEST_CASE("records without a dynamic field match != and not in, and no other comparison") {
  CHECK(matching("extra != 5 and id < 6") == Numbers{1, 2, 3, 4});
  CHECK(matching("extra not in [5] and id < 6") == Numbers{1, 2, 3, 4});
  CHECK(matching("not (extra > 3) and id < 6") == Numbers{1, 2, 3, 4});
  CHECK(matching("extra < 100 and id < 6") == Numbers{1, 5});
}

TEST_CASE("a FLOAT column is compared as float32, as Milvus does") {
  auto schema = books();
  schema.fields.push_back(field("score", DataType::float32));
  schema.fields.push_back(field("scores", DataType::array));
  schema.fields.back().element = DataType::float32;
  Record record = book(1);
  const double kept = 0.1f;  // 0.10000000149011612
  for (const char* name : {"score", "price", "extra"}) (*record.metadata)[name] = kept;
  (*record.metadata)["info"] = model::Object{{"score", kept}};
  (*record.metadata)["scores"] = model::Array{kept};
  const auto matches = [&](std::string_view text, const Templates& templates = {}) {
    INFO(text);
    const auto filter = parse_expression(text, schema, recent, templates);
    REQUIRE(filter.has_value());
    // Printed for a Milvus it means the same.
    const auto printed = print_expression(*filter, schema, recent);
    REQUIRE(printed.has_value());
    const auto again = parse_expression(*printed, schema, recent);
    REQUIRE(again.has_value());
    CHECK(evaluate(*again, record) == evaluate(*filter, record));
    return evaluate(*filter, record);
  };
  for (const char* text : {"score == 0.1", "0.1 == score", "score in [7, 0.1]", "score <= 0.1",
                           "score >= 0.1", "0.1 <= score <= 0.1", "0.3 > score >= 0.1", "not (score > 0.1)",
                           "score < 1e300", "score > -1e300", "score != 1e300", "score < 9007199254740993"})
    CHECK(matches(text));
  for (const char* text : {"score != 0.1", "score not in [0.1]", "score > 0.1", "0.1 < score",
                           "0.1 < score < 0.3", "score < 0.1", "score == 1e300"})
    CHECK_FALSE(matches(text));
  CHECK(matches("score == {low}", {{"low", 0.1}}));
  CHECK(matches("score in {list}", {{"list", model::Array{0.1}}}));
  // Compared as double: DOUBLE columns, JSON, elements of arrays.
  for (const char* text : {"price > 0.1", "extra > 0.1", "info['score'] > 0.1", "info['score'] not in [0.1]",
                           "scores[0] > 0.1", "scores[0] not in [0.1]"})
    CHECK(matches(text));

  (*record.metadata)["score"] = 16777216.0;  // what is kept of 16777217
  CHECK(matches("score == 16777217"));
  CHECK(matches("score in [16777217]"));
  CHECK_FALSE(matches("score < 16777217"));
  (*record.metadata)["score"] = 0.0;
  CHECK(matches("score == 1e-300"));
}

TEST_CASE("refusals are worded as Milvus 2.3.5 words them") {
  const auto behind = [](const std::string& text, const std::string& error) {
    return "cannot parse expression: " + text + ", error: " + error;
  };
  CHECK(refusal("id >") == behind("id >", "line 1:4 no viable alternative at input '>'"));
  CHECK(refusal("title > 5") ==
        behind(
            "title > 5",
            "comparisons between VarChar, element_type: None and Int64 elementType: None are not supported"));
  CHECK(refusal("year == \"a\"") ==
        behind(
            "year == \"a\"",
            "comparisons between Int32, element_type: None and VarChar elementType: None are not supported"));
  CHECK(refusal("year > 2.5") == behind("year > 2.5", "cannot cast value to Int32, value: float_val:2.5 "));
  CHECK(refusal("info == 1") == behind("info == 1", "can not comparisons jsonField directly"));
  for (const std::string text : {"'abc' like 'a%'", "(extra + 1) like 'a%'"})
    CHECK(refusal(text) == behind(text, "like operation on complicated expr is unsupported"));
  CHECK(refusal("true") == "predicate is not a boolean expression: true, data type: Bool");
  CHECK(refusal("not year == 2") ==
        behind("not year == 2", "not op can only be applied on boolean expression"));
  CHECK(refusal("-year == -2") == behind("-year == -2", "unexpected op: -"));
  CHECK(refusal("title like '%1'") ==
        behind("title like '%1'",
               "unsupported pattern: %1, only prefix pattern match like ab% and equal match like "
               "ab(no wildcards) are supported"));
  CHECK(refusal("word in ['日本','d'e\"f']") ==
        behind("word in ['日本','d'e\"f']", "line 1:18 token recognition error at: '\"f']'"));
  CHECK(refusal("exists extra and id < 4") ==
        behind("exists extra and id < 4", "'and' can only be used between boolean expressions"));
  CHECK(refusal("exists title") ==
        behind("exists title", "exists oerations are only supportted on json field, got:VarChar"));
  auto closed = books();
  closed.dynamic = false;
  CHECK(parse_expression("nothing == 1", closed, old).error().message ==
        behind("nothing == 1", "field nothing not exist"));
  CHECK(parse_expression("text_match(title, 'a')", books(), recent).error().code == Code::unsupported);
}

TEST_CASE("what cannot be an expression is refused, never a crash") {
  for (const char* text : {"",
                           "(",
                           ")",
                           "id in",
                           "id in [",
                           "id in [1",
                           "id not",
                           "1 <",
                           "==",
                           "'",
                           "\"\\",
                           "id == 'a",
                           "$meta",
                           "$meta[",
                           "info[",
                           "info['a'",
                           "id == {x",
                           "exists",
                           "exists 1",
                           "json_contains(",
                           "json_contains(info)",
                           "json_contains(info,",
                           "array_length(",
                           "array_length(id) == 1",
                           "like",
                           "id like 'a%'",
                           "5 like 'a'",
                           "99999999999999999999",
                           "id == 99999999999999999999",
                           "1 == 1",
                           "1",
                           "id",
                           "[1]",
                           "id in 5",
                           "1 in [1]",
                           "id % 0 == 1",
                           "id / 0 == 1",
                           "a b",
                           "id == 1 2",
                           "id is null",
                           "year ** 2 == 4",
                           "vector == 1",
                           "\xff\xfe",
                           "title == '\n'",
                           "info[1.5] == 2",
                           "0b2 == 1",
                           "09 == id",
                           "'a' == 'b' == 'c'"}) {
    INFO(text);
    CHECK_FALSE(parse_expression(text, books(), old).has_value());
  }
  CHECK_FALSE(parse_expression(std::string(100'000, '('), books(), old).has_value());
  std::string nots;
  for (int i = 0; i < 50'000; ++i) nots += "not ";
  CHECK_FALSE(parse_expression(nots + "(id > 1)", books(), old).has_value());
  std::string minus(50'000, '-');
  CHECK_FALSE(parse_expression("id == " + minus + "1", books(), old).has_value());
}

TEST_CASE("operators in a row are bounded as nesting is, whatever makes them nest") {
  const auto times = [](int n, std::string_view piece) {
    std::string text;
    for (int i = 0; i < n; ++i) text += piece;
    return text;
  };
  for (const std::string& text :
       {"id" + times(100'000, " + 1") + " == 5", "id" + times(100'000, " * 1") + " == 5",
        "id == id" + times(100'000, " - 1"), "id" + times(100'000, " in []"),
        "id" + times(100'000, " not in []"), "$meta[\"a\"]" + times(100'000, " == $meta[\"a\"]"),
        "$meta[\"a\"]" + times(100'000, " < $meta[\"a\"]"),
        // 25 rows of 60 each, one in the other.
        times(25, "(") + "id" + times(25, times(60, " + 1") + ")") + " == 5",
        // A row of 90 within 30 conditions.
        times(15, "((") + "id" + times(90, " + 1") + " == 5" + times(15, ") and id == 1) or id == 2")}) {
    INFO(text.substr(0, 60));
    const auto filter = parse_expression(text, books(), recent);
    REQUIRE_FALSE(filter.has_value());
    CHECK(filter.error().code == Code::invalid);
    CHECK(filter.error().message.ends_with("the expression is nested too deeply"));
  }
  CHECK(parse_expression("id" + times(50, " + 1") + " == 5", books(), recent).has_value());
  // What does not nest may be as long as it likes.
  const auto any = parse_expression("id == 2" + times(50'000, " or id + 1 == 4"), books(), recent);
  REQUIRE(any.has_value());
  CHECK(matching(*any) == Numbers{2, 3});
  const auto all = parse_expression("id < 3" + times(50'000, " and id + 1 > 2"), books(), recent);
  REQUIRE(all.has_value());
  CHECK(matching(*all) == Numbers{2});
  const auto list = parse_expression("id in [1" + times(100'000, ", 3") + "]", books(), recent);
  REQUIRE(list.has_value());
  CHECK(matching(*list) == Numbers{1, 3});
  const auto sum = parse_expression("id == 1" + times(50'000, " + 1"), books(), recent);  // worked out
  REQUIRE(sum.has_value());
}

TEST_CASE("whether an array has an element has no words") {
  const auto filter = parse_expression("tags[5] is null", books(), recent);
  REQUIRE(filter.has_value());
  CHECK(matching(*filter).size() == 24);
  const auto printed = print_expression(*filter, books(), recent);
  REQUIRE_FALSE(printed.has_value());
  CHECK(printed.error().message.starts_with("filter.element: "));
}

TEST_CASE("ranges within ranges do not double") {
  // A template without a value is a constant that compares with everything.
  const Templates templates{{"t", Value()}};
  std::string text = "id";
  for (int i = 0; i < 16; ++i) text = "({t} < " + text + " < {t})";
  const std::function<size_t(const Filter&)> nodes = [&](const Filter& filter) {
    size_t count = 1;
    for (const auto& child : filter.children) count += nodes(child);
    return count;
  };
  const auto filter = parse_expression(text, books(), recent, templates);
  if (filter) CHECK(nodes(*filter) < 100);
  CHECK(matching(*parse_expression("1 < id < 4", books(), recent)) == Numbers{2, 3});
}

TEST_CASE("an expression of more words than are read is unsupported, with a code and without its text") {
  std::string text = "id in [1";
  for (int i = 0; i < 499'990; ++i) text += ",1";
  REQUIRE(parse_expression(text + "]", books(), recent).has_value());
  for (int i = 0; i < 20; ++i) text += ",1";
  const auto filter = parse_expression(text + "]", books(), recent);
  REQUIRE_FALSE(filter.has_value());
  CHECK(filter.error().code == Code::unsupported);
  CHECK(filter.error().message.starts_with("filter.size: "));
  CHECK(filter.error().message.size() < 200);
}

TEST_CASE("a path of more steps than are read is unsupported, with a code") {
  std::string text = "info";
  for (int i = 0; i < 64; ++i) text += "[0]";
  CHECK(parse_expression(text + " == 1", books(), recent).has_value());
  CHECK(refusal(text + "[0] == 1").starts_with("filter.depth: "));
}

TEST_CASE("templates stand for their values") {
  const Templates templates{{"low", 3}, {"ids", model::Array{1, 5}}, {"name", "title 2"}};
  CHECK(matching(*parse_expression("id < {low}", books(), recent, templates)) == Numbers{1, 2});
  CHECK(matching(*parse_expression("id in {ids} or title == {name}", books(), recent, templates)) ==
        Numbers{1, 2, 5});
  CHECK_FALSE(parse_expression("id < {high}", books(), recent, templates).has_value());
  // A value that was not set is null, which nothing can be computed with.
  const Templates nothing{{"t", Value()}};
  for (const char* text :
       {"{t} + 1 == id", "2 ** {t} == id", "id == 1 % {t}", "-{t} == id", "{t} * {t} == id"}) {
    INFO(text);
    const auto filter = parse_expression(text, books(), recent, nothing);
    REQUIRE_FALSE(filter.has_value());
    CHECK(filter.error().code == Code::invalid);
  }
}

namespace {

rc::Gen<Value> scalar() {
  return rc::gen::oneOf(rc::gen::map(rc::gen::inRange<int>(-3, 30), [](int n) { return Value(n); }),
                        rc::gen::map(rc::gen::inRange<int>(-8, 40), [](int n) { return Value(n / 4.0); }),
                        rc::gen::element(Value("dynamic 2"), Value("title 3"), Value("red"),
                                         Value("it's \"q\" \\ \n"), Value("")),
                        rc::gen::map(rc::gen::arbitrary<bool>(), [](bool b) { return Value(b); }));
}

rc::Gen<Filter> subject() {
  return rc::gen::element(Filter::record_id(), Filter::field_of("title"), Filter::field_of("year"),
                          Filter::field_of("price"), Filter::field_of("new"), Filter::field_of("extra"),
                          Filter::field_of("nothing"), Filter::field_of("info", {"colour"}),
                          Filter::field_of("info", {"n"}), Filter::field_of("info", {"none", "deep"}),
                          Filter::field_of("extra", {"deep"}));
}

rc::Gen<Filter> leaf() {
  using Kind = Filter::Kind;
  auto comparison = rc::gen::apply(
      [](Kind kind, Filter left, Value right, bool absent) {
        Filter f = Filter::make(kind, std::move(left), Filter::literal_of(std::move(right)));
        f.absent_matches = absent;
        return f;
      },
      rc::gen::element(Kind::equal, Kind::not_equal, Kind::less, Kind::less_equal, Kind::greater,
                       Kind::greater_equal),
      subject(), scalar(), rc::gen::arbitrary<bool>());
  auto membership = rc::gen::apply(
      [](Kind kind, Filter left, std::vector<Value> values, bool absent) {
        Filter f = Filter::make(kind, std::move(left),
                                Filter::literal_of(model::Array(values.begin(), values.end())));
        f.absent_matches = absent;
        return f;
      },
      rc::gen::element(Kind::in, Kind::not_in), subject(), rc::gen::container<std::vector<Value>>(scalar()),
      rc::gen::arbitrary<bool>());
  auto presence = rc::gen::apply(
      [](Kind kind, Filter field) {
        Filter f;
        f.kind = kind;
        f.children.push_back(std::move(field));
        return f;
      },
      rc::gen::just(Kind::exists),
      rc::gen::element(Filter::field_of("extra"), Filter::field_of("nothing"),
                       Filter::field_of("info", {"n"})));
  return rc::gen::oneOf(comparison, membership, presence);
}

rc::Gen<Filter> tree(int depth) {
  if (depth == 0) return leaf();
  auto inner = [depth] { return rc::gen::lazy([depth] { return tree(depth - 1); }); };
  return rc::gen::oneOf(
      leaf(), rc::gen::map(inner(), [](Filter f) { return Filter::not_(std::move(f)); }),
      rc::gen::map(rc::gen::pair(inner(), inner()),
                   [](std::pair<Filter, Filter> p) { return Filter::all({p.first, p.second}); }),
      rc::gen::map(rc::gen::pair(inner(), inner()),
                   [](std::pair<Filter, Filter> p) { return Filter::any({p.first, p.second}); }));
}

}  // namespace

TEST_CASE("a filter that is printed and parsed again matches the same records") {
  rc::prop("round trip", [] {
    const Filter filter = *tree(3);
    const auto text = print_expression(filter, books(), recent);
    RC_ASSERT(text.has_value());
    const auto again = parse_expression(*text, books(), recent);
    if (!again) RC_FAIL(*text + " -> " + again.error().message);
    if (matching(*again) != matching(filter)) RC_FAIL(*text);
  });
}

TEST_CASE("a member of $meta is never taken for the declared field of its name") {
  for (const char* text : {"$meta[\"year\"] == 2000", "$meta[\"id\"] > 0", "exists $meta[\"title\"]",
                           "$meta[\"info\"][\"n\"] < 9", "extra == 1 or $meta[\"year\"] >= 0"}) {
    INFO(text);
    const auto filter = parse_expression(text, books(), recent);
    REQUIRE_FALSE(filter.has_value());
    CHECK(filter.error().code == Code::unsupported);
    CHECK(filter.error().message.starts_with("filter.meta: "));
  }
  CHECK(matching("year == 1995") == Numbers{5});
}

TEST_CASE("an expression that is parsed, printed and parsed again stays the same") {
  for (const char* text :
       {"id > 3 and year <= 2000", "title like \"title 1%\" or price > 2.5", "extra not in [1, 2]",
        "json_contains(info[\"list\"], 3)", "array_contains_any(tags, [\"a\"])", "array_length(tags) > 1",
        "not (info[\"n\"] + 1 == 5)", "(exists extra) and id in [1, 2]", "extra is null", "year % 2 == 0",
        "5 > id", "$meta[\"id#\"] == 3"}) {
    INFO(text);
    const auto once = parse_expression(text, books(), recent);
    REQUIRE(once.has_value());
    const auto printed = print_expression(*once, books(), recent);
    REQUIRE(printed.has_value());
    const auto twice = parse_expression(*printed, books(), recent);
    INFO(*printed);
    REQUIRE(twice.has_value());
    CHECK(*print_expression(*twice, books(), recent) == *printed);
    CHECK(matching(*once) == matching(*twice));
  }
}

TEST_CASE("filters that Milvus cannot answer exactly are refused with a code") {
  const auto code = [](const Filter& filter, const Grammar& grammar) {
    const auto text = print_expression(filter, books(), grammar);
    return text ? *text : text.error().message.substr(0, text.error().message.find(':'));
  };
  using Kind = Filter::Kind;
  const auto text = [](Kind kind, const char* pattern) {
    return Filter::make(kind, Filter::field_of("title"), Filter::literal_of(pattern));
  };
  CHECK(code(text(Kind::matches, "a.*"), recent) == "filter.regex");
  CHECK(code(text(Kind::contains_text, "a%b"), recent) == "(title like \"%a\\\\%b%\")");
  CHECK(code(text(Kind::contains_text, "ab"), old) == "filter.like");
  CHECK(code(text(Kind::like, "ab%"), old) == "(title like \"ab%\")");
  CHECK(code(text(Kind::like, "a_%"), old) == "filter.like");
  CHECK(code(Filter::make(Kind::equal, Filter::document_text(), Filter::literal_of("a")), recent) ==
        "filter.document");
  CHECK(code(Filter::make(Kind::equal, Filter::field_of("x"), Filter::literal_of(Value())), recent) ==
        "filter.literal");
  CHECK(code(Filter::make(Kind::equal, Filter::field_of("x"), Filter::literal_of(UINT64_MAX)), recent) ==
        "filter.u64");
  Filter deep = Filter::record_id();
  deep = Filter::make(Kind::equal, deep, Filter::literal_of(1));
  for (int i = 0; i < 5000; ++i) deep = Filter::not_(std::move(deep));
  CHECK(code(deep, recent) == "filter.depth");
}

TEST_CASE("random text never breaks the parser") {
  rc::prop("noise", [](const std::string& noise) {
    static const char* pieces[] = {"id",    " in ", "[", "]",     "(",    ")",     "1", "'a'", " and ",
                                   " not ", "==",   "<", "$meta", "info", "\"x\"", "-", "%",   "exists "};
    (void)parse_expression(noise, books(), old);
    std::string text;
    for (const char c : noise) text += pieces[static_cast<uint8_t>(c) % std::size(pieces)];
    (void)parse_expression(text, books(), recent);
  });
}
