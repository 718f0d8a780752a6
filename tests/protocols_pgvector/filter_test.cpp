// What PostgreSQL selects is what model::evaluate says.
#include <catch2/catch.hpp>
#include <set>

#include "../mapping/generate.h"
#include "database.h"
#include "protocols/wire/json.h"

using namespace vmproxy;
using namespace vmproxy::testing;
using model::Filter;
using Kind = model::Filter::Kind;

namespace {

std::set<model::Key> selected(protocols::Driver& driver, const model::Schema& schema, const Filter& filter,
                              std::string* refusal = nullptr) {
  model::Query query;
  query.filter = filter;
  query.with_document = query.with_metadata = false;
  auto answer = driver.query(schema, query, soon());
  if (!answer && refusal != nullptr && answer.error().code == Code::unsupported) {
    *refusal = answer.error().message;
    return {};
  }
  std::set<model::Key> keys;
  for (const auto& record : good(std::move(answer)).records) keys.insert(record.key);
  return keys;
}

std::set<model::Key> expected(const std::vector<model::Record>& records, const Filter& filter) {
  std::set<model::Key> keys;
  for (const auto& record : records) {
    if (model::evaluate(filter, record)) keys.insert(record.key);
  }
  return keys;
}

std::string shown(const Filter& filter) {
  std::string out = "k" + std::to_string(static_cast<int>(filter.kind));
  if (filter.kind == Kind::literal) return protocols::wire::to_json(filter.value);
  if (filter.kind == Kind::field)
    return "field " + protocols::wire::to_json(filter.name) + protocols::wire::to_json(filter.path);
  if (filter.absent_matches) out += " absent_matches";
  if (!filter.numbers_by_value) out += " typed";
  for (const auto& child : filter.children) out += " (" + shown(child) + ")";
  return out;
}

// The first record on which both disagree, for people.
std::string disagreement(const std::vector<model::Record>& records, const std::set<model::Key>& found,
                         const Filter& filter) {
  for (const auto& record : records) {
    if (found.contains(record.key) == model::evaluate(filter, record)) continue;
    return std::string(found.contains(record.key) ? "found wrongly: " : "not found: ") +
           (record.metadata ? protocols::wire::to_json(*record.metadata) : "-") + " document " +
           record.document.value_or("-") + " filter " + shown(filter);
  }
  return "";
}

// 300 random records and `filters` random filters; at least `asked_min` of them must not be refused.
void agree(protocols::Driver& driver, const model::Schema& schema, const std::vector<model::Record>& records,
           uint64_t filters, size_t asked_min) {
  good(driver.upsert(schema, records, protocols::UpsertMode::replace, soon()));
  size_t asked = 0;
  for (uint64_t seed = 0; seed < filters; ++seed) {
    const Filter filter = generate::Generator(seed * 31 + 7).filter();
    std::string refusal;
    const auto found = selected(driver, schema, filter, &refusal);
    if (!refusal.empty()) {
      REQUIRE(refusal.starts_with("filter."));
      continue;
    }
    ++asked;
    INFO("seed " << seed);
    REQUIRE(disagreement(records, found, filter) == "");
  }
  CHECK(asked >= asked_min);
}

std::vector<model::Record> random_records(
    const std::function<void(model::Record&, generate::Generator&)>& change = {}) {
  std::vector<model::Record> records;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    generate::Generator make(seed + 1000);
    records.push_back(make.record());
    records.back().key.id.value = "id" + std::to_string(seed);
    if (change) change(records.back(), make);
  }
  return records;
}

}  // namespace

TEST_CASE("filters on dynamic metadata select what the model says") {
  const auto d = driver();
  agree(*d, fresh(*d, things("filters")), random_records(), 1500, 1200);
}

TEST_CASE("filters on typed columns select what the model says") {
  const auto d = driver();
  auto schema = things("typed_filters");
  using K = model::FieldKind;
  const auto field = [&](const char* name, K kind, K element = K::json) {
    model::Field f;
    f.name = name;
    f.kind = kind;
    f.element = element;
    schema.fields.push_back(f);
  };
  field("a", K::int64), field("b", K::string), field("c", K::float64), field("a.b", K::boolean),
      field("0", K::array, K::int64), field("a~", K::json);
  const auto records = random_records([](model::Record& record, generate::Generator& make) {
    record.metadata.emplace();
    const auto set = [&](const char* name, model::Value value) {
      if (make.chance(80)) record.metadata->emplace(name, std::move(value));
    };
    set("a", make.integer()), set("b", make.text()), set("c", make.real()), set("a.b", make.chance(50)),
        set("a~", make.value(2)), set("document", make.value(2));
    model::Array integers;
    for (size_t i = make.below(4); i > 0; --i) integers.push_back(make.integer());
    set("0", integers);
  });
  schema = fresh(*d, schema);
  // A double that no 64-bit integer meets, so that evaluate's rounding is not asked about.
  agree(*d, schema, records, 1500, 1000);
}

TEST_CASE("filters on ids of every kind select what the model says") {
  const auto d = driver();
  for (const auto kind :
       {model::IdKind::string, model::IdKind::u64, model::IdKind::i64, model::IdKind::uuid}) {
    const auto schema = fresh(*d, things("id_filters", kind));
    std::map<model::Key, model::Record> by_key;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      auto record = generate::Generator(seed).record(kind);
      by_key.emplace(record.key, record);
    }
    std::vector<model::Record> records;
    for (auto& [key, record] : by_key) records.push_back(record);
    good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
    for (uint64_t seed = 0; seed < 200; ++seed) {
      generate::Generator make(seed);
      const auto literal = [&]() -> model::Value {
        const model::Id id = make.id(make.chance(70) ? kind : model::IdKind::string);
        if (const auto* u = std::get_if<uint64_t>(&id.value)) return *u;
        if (const auto* i = std::get_if<int64_t>(&id.value)) return *i;
        return model::to_string(id);
      };
      const auto k = make.one_of<Kind>(
          {Kind::equal, Kind::not_equal, Kind::less, Kind::greater_equal, Kind::in, Kind::not_in});
      model::Value right = literal();
      if (k == Kind::in || k == Kind::not_in) right = model::Array{literal(), literal()};
      auto filter = Filter::make(k, Filter::record_id(), Filter::literal_of(std::move(right)));
      filter.numbers_by_value = make.chance(70);
      INFO("seed " << seed << " kind " << static_cast<int>(kind));
      REQUIRE(selected(*d, schema, filter) == expected(records, filter));
    }
  }
}

TEST_CASE(
    "arithmetic on integer columns selects what the model says, overflow and division by zero included") {
  const auto d = driver();
  auto schema = things("arithmetic");
  for (const char* name : {"a", "b"}) {
    model::Field field;
    field.name = name;
    field.kind = model::FieldKind::int64;
    schema.fields.push_back(field);
  }
  schema = fresh(*d, schema);
  const auto records = random_records([](model::Record& record, generate::Generator& make) {
    record.metadata.emplace();
    if (make.chance(90)) record.metadata->emplace("a", make.integer());
    if (make.chance(90)) record.metadata->emplace("b", make.integer());
  });
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  for (uint64_t seed = 0; seed < 200; ++seed) {
    generate::Generator make(seed);
    const std::function<Filter(int)> operand = [&](int depth) -> Filter {
      if (depth == 0 || make.chance(40))
        return make.chance(60) ? Filter::field_of(make.chance(50) ? "a" : "b")
                               : Filter::literal_of(make.integer());
      const auto kind =
          make.one_of<Kind>({Kind::add, Kind::subtract, Kind::multiply, Kind::divide, Kind::modulo});
      return Filter::make(kind, operand(depth - 1), operand(depth - 1));
    };
    const auto kind = make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::less, Kind::greater_equal});
    Filter left = Filter::make(make.one_of<Kind>({Kind::add, Kind::modulo, Kind::divide, Kind::multiply}),
                               Filter::field_of("a"), operand(2));
    Filter filter = Filter::make(kind, std::move(left), Filter::literal_of(make.integer()));
    filter.absent_matches = make.chance(30);
    INFO("seed " << seed);
    REQUIRE(disagreement(records, selected(*d, schema, filter), filter) == "");
  }
}

TEST_CASE("two fields compare as the model says") {
  const auto d = driver();
  const auto schema = fresh(*d, things("two_fields"));
  const auto records = random_records();
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  for (uint64_t seed = 0; seed < 150; ++seed) {
    generate::Generator make(seed);
    auto filter = Filter::make(make.one_of<Kind>({Kind::equal, Kind::not_equal, Kind::less, Kind::less_equal,
                                                  Kind::greater, Kind::greater_equal}),
                               make.field(), make.chance(80) ? make.field() : Filter::document_text());
    filter.absent_matches = make.chance(30);
    INFO("seed " << seed);
    REQUIRE(selected(*d, schema, filter) == expected(records, filter));
  }
}

TEST_CASE("regular expressions on documents and fields select what the model says") {
  const auto d = driver();
  const auto schema = fresh(*d, things("regexes"));
  const std::vector<std::string> texts{
      "",          "abc",    "a.c", "a\nc", "ABC",  "word", "a word here", "swordfish", "x_1",
      "tab\there", "line\n", "a]b", "a-b",  "10.5", "aaaa", "{}",          "(x)"};
  std::vector<model::Record> records;
  for (const auto& text : texts) {
    records.push_back(record("id" + std::to_string(records.size())));
    records.back().document = text;
    records.back().metadata = model::Object{{"t", text}, {"n", 1}};
  }
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  for (const char* pattern : {"abc",
                              "a.c",
                              "^a",
                              "c$",
                              "^$",
                              "(^|[^a-z])word($|[^a-z])",
                              "\\d",
                              "\\D",
                              "[0-9A-Za-z_]+",
                              "[^0-9A-Za-z_]",
                              "\\s",
                              "\\S",
                              "[a-c]+$",
                              "[^a-z]",
                              "a{3,}",
                              "(a|w)o",
                              "a\\.c",
                              "[\\]\\-]",
                              "^(?:a|x)_?",
                              "[\\d.]+",
                              "\\t",
                              "\\n",
                              "x?",
                              "\\(x\\)",
                              "\\{\\}",
                              "",
                              "a|",
                              "[.]"}) {
    for (const auto& left : {Filter::document_text(), Filter::field_of("t"), Filter::field_of("n")}) {
      const auto filter = Filter::make(Kind::matches, left, Filter::literal_of(pattern));
      INFO(pattern);
      REQUIRE(selected(*d, schema, filter) == expected(records, filter));
    }
  }
  std::string refusal;
  selected(*d, schema, Filter::make(Kind::matches, Filter::document_text(), Filter::literal_of("(?i)abc")),
           &refusal);
  CHECK(refusal.starts_with("filter.matches: "));
}

// The model's own expressions are ASCII; these are the answers of Chroma 1.5.9.
TEST_CASE("digits and white space in documents are Unicode's") {
  const auto d = driver();
  const auto schema = fresh(*d, things("regex_unicode"));
  const std::vector<std::string> texts{"7",        "\u0663",   "\U0001D7CF", "a\u00A0b",
                                       "a\u2003b", "a\u200Bb", "\u00B2"};
  std::vector<model::Record> records;
  for (const auto& text : texts) {
    records.push_back(record("id" + std::to_string(records.size())));
    records.back().document = text;
  }
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  const std::pair<const char*, std::vector<size_t>> rows[] = {
      {"^\\d$", {0, 1, 2}}, {"^\\D$", {6}}, {"^[\\d\\s]$", {0, 1, 2}},
      {"a\\sb", {3, 4}},    {"a\\Sb", {5}}, {"^a[^\\s]b$", {5}}};
  for (const auto& [pattern, places] : rows) {
    INFO(pattern);
    std::set<model::Key> wanted;
    for (const size_t place : places) wanted.insert(records[place].key);
    const auto filter = Filter::make(Kind::matches, Filter::document_text(), Filter::literal_of(pattern));
    CHECK(selected(*d, schema, filter) == wanted);
  }
}

TEST_CASE("places in arrays select what the model says, whatever is there") {
  const auto d = driver();
  const auto schema = fresh(*d, things("places"));
  const model::Array inner{1, "x", nullptr, model::Array{7}};
  model::Array deep{1};
  for (int i = 0; i < 3; ++i) deep = model::Array{0, std::move(deep)};
  const std::vector<model::Value> values{5,
                                         "text",
                                         nullptr,
                                         true,
                                         model::Array(),
                                         model::Array{1, 2},
                                         model::Array{inner, inner},
                                         model::Object{{"0", 1}},
                                         model::Array{nullptr, 1},
                                         deep,
                                         model::Array{model::Object{{"b", inner}}, 2}};
  std::vector<model::Record> records;
  for (const auto& value : values) {
    records.push_back(record("id" + std::to_string(records.size())));
    records.back().metadata = model::Object{{"a", value}};
  }
  records.push_back(record("without"));
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  const std::vector<model::Value> steps{0, 1, 3, "b", "0", INT32_MAX};
  std::vector<std::vector<model::Value>> paths{{}};
  for (size_t from = 0, length = 1; length <= 3; ++length) {
    for (const size_t end = paths.size(); from < end; ++from) {
      for (const auto& step : steps) {
        auto path = paths[from];
        path.push_back(step);
        paths.push_back(std::move(path));
      }
    }
  }
  for (const auto& path : paths) {
    const Filter field = Filter::field_of("a", path);
    Filter exists, null;
    exists.kind = Kind::exists;
    null.kind = Kind::is_null;
    exists.children = null.children = {field};
    for (const auto& filter : {exists, null, Filter::make(Kind::equal, field, Filter::literal_of(1)),
                               Filter::make(Kind::in, field, Filter::literal_of(model::Array{"x", 7, 1}))}) {
      INFO(shown(filter));
      REQUIRE(selected(*d, schema, filter) == expected(records, filter));
    }
  }
}

TEST_CASE("filters that cannot be said exactly are refused with a stable code first") {
  const auto d = driver();
  const auto schema = fresh(*d, things("refused_filters"));
  const auto code = [&](const Filter& filter) {
    std::string refusal;
    selected(*d, schema, filter, &refusal);
    return refusal.substr(0, refusal.find(':'));
  };
  CHECK(
      code(Filter::make(Kind::equal, Filter::make(Kind::power, Filter::field_of("a"), Filter::literal_of(1)),
                        Filter::literal_of(2))) == "filter.arithmetic");
  CHECK(code(Filter::make(Kind::equal, Filter::make(Kind::add, Filter::field_of("a"), Filter::literal_of(1)),
                          Filter::literal_of(2))) == "filter.arithmetic");
  CHECK(code(Filter::make(Kind::less, Filter::field_of("a"), Filter::literal_of(NAN))) == "filter.value");
  CHECK(code(Filter::make(Kind::equal, Filter::field_of("a"), Filter::literal_of(std::string("\0", 1)))) ==
        "filter.value");
  CHECK(code(Filter::make(Kind::equal, Filter::literal_of(1), Filter::field_of("a"))) == "filter.operand");
  Filter deep = Filter::make(Kind::equal, Filter::field_of("a"), Filter::literal_of(1));
  for (int i = 0; i < 300; ++i) deep = Filter::not_(std::move(deep));
  CHECK(code(deep) == "filter.depth");
}

TEST_CASE("get gives ids in byte order with limit and offset, and count agrees") {
  const auto d = driver();
  const auto schema = fresh(*d, things("paging"));
  std::vector<model::Record> records;
  for (const char* id : {"b", "B", "a", "\xc3\xa9", "Z", "10", "9", "a1", "_"}) {
    records.push_back(record(id));
    records.back().metadata = model::Object{{"k", 1}, {"other", 2}};
  }
  good(d->upsert(schema, records, protocols::UpsertMode::replace, soon()));
  std::vector<std::string> ids;
  for (const auto& r : records) ids.push_back(std::get<std::string>(r.key.id.value));
  std::ranges::sort(ids);
  model::Query query;
  query.limit = 4;
  query.offset = 2;
  query.fields = std::vector<std::string>{"k"};
  const auto answer = good(d->query(schema, query, soon()));
  REQUIRE(answer.records.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(std::get<std::string>(answer.records[i].key.id.value) == ids[i + 2]);
    CHECK(answer.records[i].metadata == model::Object{{"k", 1}});
    CHECK(answer.records[i].vectors.empty());
  }
  query.kind = model::Query::Kind::count;
  CHECK(good(d->query(schema, query, soon())).count == 9);
  query.keys = std::vector{record("a").key, record("nobody").key, record("9").key};
  CHECK(good(d->query(schema, query, soon())).count == 2);
}
