// Answers that no honest PostgreSQL gives, or gives in the wrong moment. Found by reading and by tests/fuzz (pgvector_answers).
#include <catch2/catch.hpp>

#include "fake_postgres.h"
#include "protocols/pgvector/driver.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using namespace vmproxy::protocols::pgvector;
namespace server = vmproxy::testing::postgres;

namespace {

// What a server says when asked for these; everything else is done and has no rows.
struct Said {
  std::string clock = "1000.5", type = "16385", modifier = "2", rows = "12", key = "id", dimension = "2";
};

std::string answer(const Said& said, std::string_view statement) {
  const auto asks = [&](std::string_view part) { return statement.find(part) != std::string_view::npos; };
  if (asks("clock_timestamp()")) return server::table(1, {said.clock});
  if (asks("e.extversion")) return server::table(5, {"0.8.0", "public", "vector", said.type, "16390"});
  if (asks("pg_is_in_recovery")) return server::table(4, {"db", "false", "off", "1"});
  if (asks("format_type(a.atttypid")) {
    return server::table(
        10, {"id",        "text",   "text",   "", "-1",          "t", "f", "", said.rows, "text",
             "embedding", "vector", "vector", "", said.modifier, "f", "f", "", said.rows, "vector"});
  }
  if (asks("i.indisprimary")) return server::table(6, {"pk", said.key, "btree", "text_ops", "t", "t"});
  if (asks("vector_dims")) return server::table(2, {said.dimension, said.dimension});
  return server::done();
}

// Asks a driver of that server; the error of the call, which must not throw.
template <class Ask>
Error error_of(const Said& said, Ask ask) {
  auto& postgres = testing::FakePostgres::instance();
  postgres.answer([said](std::string_view statement) { return answer(said, statement); });
  Endpoint endpoint;
  endpoint.url = postgres.url();
  SystemClock clock;
  PgvectorDriver driver(parse_address(endpoint).value(), clock, 1);
  const auto result = ask(driver, clock.in(std::chrono::seconds(20)));
  return result ? Error(Code::internal, "no error") : result.error();
}

const auto describe = [](PgvectorDriver& driver, Deadline deadline) {
  return driver.describe({"", "things"}, deadline);
};
const auto version = [](PgvectorDriver& driver, Deadline deadline) {
  return driver.describe_server(deadline);
};

void check_names(const Error& error, const std::string& part) {
  INFO(error.message);
  CHECK(error.message.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("a server whose answers are numbers is described") {
  CHECK(error_of({}, describe).message == "no error");
  CHECK(error_of({}, version).message == "no error");
  CHECK(error_of({.modifier = "-1", .rows = "1e+06"}, describe).message == "no error");
}

TEST_CASE("what the catalogue says and is no number is an error that quotes it") {
  for (const char* no : {"", "many", "2x", "99999999999", " 2"}) {
    const Error error = error_of({.modifier = no}, describe);
    CHECK(error.code == Code::corrupt);
    check_names(error, "things.embedding");
    check_names(error, "'" + std::string(no) + "'");
  }
  const Error rows = error_of({.rows = "few"}, describe);
  CHECK(rows.code == Code::corrupt);
  check_names(rows, "'few'");
}

TEST_CASE("a session that begins with what is no number is no connection, and the error quotes it") {
  for (const char* no : {"", "noon", "nan", "inf", "1000.5 or so"}) {
    const Error error = error_of({.clock = no}, version);
    CHECK(error.code == Code::refused_connection);
    check_names(error, "clock");
    check_names(error, "'" + std::string(no) + "'");
  }
  for (const char* no : {"", "-1", "4294967296", "vector"}) {
    const Error error = error_of({.type = no}, version);
    CHECK(error.code == Code::refused_connection);
    check_names(error, "'" + std::string(no) + "'");
  }
}

TEST_CASE("a dimension that is no number ends the building of an index with an error that quotes it") {
  model::Schema schema;
  schema.name.name = "things";
  schema.vectors.push_back({});
  const Error error = error_of(
      {.modifier = "-1", .dimension = "two"},
      [&](PgvectorDriver& driver, Deadline deadline) { return driver.build_indexes(schema, deadline); });
  CHECK(error.code == Code::corrupt);
  check_names(error, "'two'");
}

// The columns and the key are two questions: somebody may have altered the table in between.
TEST_CASE("a primary key of a column that the table did not have is an error") {
  const Error error = error_of({.key = "made_since"}, describe);
  CHECK(error.code == Code::precondition);
  check_names(error, "made_since");
}

TEST_CASE("a server that does not say its version is asked all the same") {
  auto& postgres = testing::FakePostgres::instance();
  postgres.version(std::nullopt);
  const Error error = error_of({}, version);
  postgres.version("15.0");
  CHECK(error.message == "no error");
}
