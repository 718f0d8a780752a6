// What needs no server.
#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <tuple>

#include "../mapping/generate.h"
#include "protocols/pgvector/address.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/filter_sql.h"
#include "protocols/pgvector/half.h"
#include "protocols/pgvector/json_cell.h"
#include "protocols/pgvector/pgvector.h"
#include "protocols/pgvector/sqlstate.h"
#include "tests/store/print_result.h"

using namespace vmproxy;
using namespace vmproxy::protocols::pgvector;

TEST_CASE("the schema is taken out of the url and everything else is left to libpq") {
  const auto parsed = [](const std::string& url) {
    protocols::Endpoint endpoint;
    endpoint.url = url;
    return parse_address(endpoint);
  };
  CHECK(parsed("postgresql://h/db")->schema == "public");
  CHECK(parsed("postgresql://h/db")->url == "postgresql://h/db");
  const auto address =
      parsed("postgresql://user:secret@h:5433/db?sslmode=require&schema=my%20app&connect_timeout=3").value();
  CHECK(address.schema == "my app");
  CHECK(address.url == "postgresql://user:secret@h:5433/db?sslmode=require&connect_timeout=3");
  CHECK(address.shown == "postgresql://h:5433/db");
  CHECK(parsed("postgresql://h/db?schema=s")->url == "postgresql://h/db");
  for (const char* wrong : {"http://h/db", "", "postgresql://h/db?nonsense=1", "postgresql://h/db?schema="}) {
    const auto result = parsed(wrong);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::invalid);
    CHECK(result.error().message.find("postgresql://user@host") != std::string::npos);
  }
}

namespace {

// A table with a text id and dynamic metadata.
Table books() {
  Table table;
  table.schema = "public";
  table.name = "books";
  for (const auto& [name, type, codec] :
       {std::tuple("id", "text", Codec::text), std::tuple("metadata", "jsonb", Codec::jsonb)}) {
    Column column;
    column.name = name;
    column.type = type;
    column.codec = codec;
    table.columns.push_back(column);
  }
  table.id = 0;
  table.metadata = 1;
  return table;
}

}  // namespace

TEST_CASE("the text of a filter grows with its path, and a path has its limit") {
  const auto at = [](size_t steps) {
    const auto field = model::Filter::field_of("a", std::vector<model::Value>(steps, model::Value(0)));
    const auto filter = model::Filter::make(model::Filter::Kind::equal, field, model::Filter::literal_of(1));
    std::vector<Parameter> parameters;
    return filter_sql(books(), filter, parameters);
  };
  CHECK(at(40).value().size() < 10'000);
  CHECK(at(64).has_value());
  const auto refused = at(65);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("filter.depth: "));
  model::Filter lengths = model::Filter::field_of("a");
  for (int i = 0; i < 40; ++i) {
    model::Filter longer;
    longer.kind = model::Filter::Kind::array_length;
    longer.children.push_back(std::move(lengths));
    lengths = std::move(longer);
  }
  std::vector<Parameter> parameters;
  const auto nested = model::Filter::make(model::Filter::Kind::equal, lengths, model::Filter::literal_of(1));
  CHECK(filter_sql(books(), nested, parameters).value().size() < 10'000);
}

TEST_CASE("a list of constants is one argument where it can be, and is refused where it would be too many") {
  const auto among = [](const model::Filter& left, std::vector<Parameter>& parameters) {
    model::Array names;
    for (int i = 0; i < 70'000; ++i) names.emplace_back("name " + std::to_string(i));
    return filter_sql(books(),
                      model::Filter::make(model::Filter::Kind::in, left, model::Filter::literal_of(names)),
                      parameters);
  };
  std::vector<Parameter> parameters;
  REQUIRE(among(model::Filter::record_id(), parameters).has_value());
  CHECK(parameters.size() == 1);
  parameters.clear();
  const auto refused = among(model::Filter::field_of("a"), parameters);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Code::unsupported);
  CHECK(refused.error().message.starts_with("filter.size: "));
}

TEST_CASE("a sparse vector whose indices do not ascend within its dimension is corrupt") {
  const auto cell = [](uint32_t dimension, const std::vector<uint32_t>& indices) {
    std::string bytes;
    const auto add = [&](uint32_t n) {
      for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(n >> shift & 0xff);
    };
    for (const uint32_t n : {dimension, static_cast<uint32_t>(indices.size()), 0u}) add(n);
    for (const uint32_t n : indices) add(n);
    for (size_t i = 0; i < indices.size(); ++i) add(0x3f800000);  // 1.0
    return sparsevec_of(bytes);
  };
  REQUIRE(cell(10, {0, 3, 9}).has_value());
  CHECK(cell(10, {0, 3, 9})->indices == std::vector<uint32_t>{0, 3, 9});
  CHECK(cell(10, {}).has_value());
  const std::vector<std::vector<uint32_t>> wrong = {{3, 0}, {3, 3}, {10}, {0, 0xffffffff}};
  for (const auto& indices : wrong) {
    const auto vector = cell(10, indices);
    REQUIRE_FALSE(vector.has_value());
    CHECK(vector.error().code == Code::corrupt);
  }
}

TEST_CASE("half precision rounds to nearest, ties to even, over the whole range") {
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const float value = from_half(static_cast<uint16_t>(half));
    if (std::isnan(value)) continue;
    REQUIRE(to_half(value) == half);
  }
  CHECK(to_half(1.0F + 0x1p-11F) == to_half(1.0F));  // a tie goes to the even one
  CHECK(to_half(1.0F + 3 * 0x1p-11F) == to_half(1.0F + 0x1p-9F));
  CHECK(std::isinf(from_half(to_half(65520))));
  CHECK(from_half(to_half(65519)) == 65504);
  CHECK(from_half(to_half(0x1p-25F)) == 0);
  CHECK(from_half(to_half(0x1.8p-24F)) == 0x1p-23F);
}

TEST_CASE("numeric holds every u64") {
  for (const uint64_t number : {0ULL, 1ULL, 9999ULL, 10000ULL, 12345678ULL, 100000000ULL, 1ULL << 63,
                                10000000000000000000ULL, ~0ULL}) {
    CHECK(u64_of_numeric(numeric_of(number)).value() == number);
  }
  CHECK_FALSE(u64_of_numeric("x").has_value());
  CHECK_FALSE(u64_of_numeric(std::string("\0\1\0\4\0\0\0\0\x26\x0f", 10)).has_value());  // 9999 * 10000^4
}

TEST_CASE("numbers in JSON text come back as they were") {
  rc::prop("value_of_jsonb(jsonb_bytes(x)) == x", [](uint64_t seed) {
    const model::Value value = generate::Generator(seed).value();
    RC_ASSERT(value_of_jsonb(jsonb_bytes(value).value()).value() == value);
  });
  CHECK(decimal(1.0) == "1.0");
  CHECK(decimal(1e18) == "1000000000000000000.0");
  CHECK(decimal(0x1p63) == "9223372036854775808.0");
}

TEST_CASE("text that PostgreSQL cannot hold is recognised") {
  CHECK_FALSE(text_fault("plain, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80"));
  for (const std::string& text :
       {std::string("\0", 1), std::string("\xff"), std::string("\xc0\x80"), std::string("\xed\xa0\x80"),
        std::string("\xe2\x82"), std::string("\xf5\x80\x80\x80"), std::string("a\x80")}) {
    CHECK(text_fault(text));
  }
}

TEST_CASE("SQLSTATE classes say whether a write may have happened") {
  for (const char* state :
       {"23505", "22001", "42P01", "40001", "40P01", "57014", "53100", "25006", "28P01", "42501"}) {
    CHECK(Error(code_of(state), "").surely_not_done());
  }
  for (const char* state : {"57P01", "57P02", "08006", "XX000", "58030", "40003", "99999", ""}) {
    CHECK_FALSE(Error(code_of(state), "").surely_not_done());
  }
  CHECK(is_fault_of_a_record("23514"));
  CHECK_FALSE(is_fault_of_a_record("22012"));
  CHECK_FALSE(is_fault_of_a_record("57014"));
}

TEST_CASE("names of collections become table names that are legal and each its own") {
  SystemClock clock;
  protocols::Endpoint endpoint;
  endpoint.url = "postgresql://h/db";
  const auto driver = system().make_driver(endpoint, clock).value();
  const auto name = [&](const std::string& space, const std::string& n) {
    return driver->name_for({space, n}).name;
  };
  CHECK(name("", "things") == "things");
  CHECK(name("default_tenant/default_database", "things") == "things");
  CHECK(name("acme/app", "things") == "acme/app/things");
  const std::string a(100, 'a');
  CHECK(name("", a).size() == 63);
  CHECK(name("", a) != name("", a + "b"));
  CHECK(name("", a) == name("", a));
  CHECK(name("", std::string(30, 'x') +
                     std::string("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
                                 "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"))
            .size() <= 63);
}
