// A PostgreSQL that answers with anything, towards the driver. The first byte of an input chooses what the driver is asked, the
// second whether the session begins as it should (else it is of the answers as well). The rest are the answers to its
// statements, piece by piece (next_piece), after which the server is gone. The first byte of an answer says what it is.
#include "driver_asked.h"
#include "protocols/pgvector/driver.h"
#include "protocols/pgvector/sqlstate.h"
#include "tests/protocols_pgvector/fake_postgres.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;
namespace server = testing::postgres;

namespace {

model::Schema books() {
  model::Schema schema;
  schema.name.name = "books";
  schema.id_name = "id";
  schema.vectors.push_back({"", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  schema.has_document = true;
  schema.dynamic = true;
  return schema;
}

// Of a session that begins as it should, and of the catalogue for whoever asks for records.
std::optional<std::string> as_it_should(std::string_view statement, bool knows_books) {
  const auto asks = [&](std::string_view part) { return statement.find(part) != std::string_view::npos; };
  if (asks("clock_timestamp()")) return server::table(1, {"1000.5"});
  if (asks("e.extversion")) return server::table(5, {"0.8.0", "public", "vector", "16385", "16390"});
  if (statement.starts_with("SET ")) return server::done();
  if (!knows_books) return std::nullopt;
  if (asks("format_type(a.atttypid")) {
    const auto column = [](std::string name, std::string type, std::string shown, std::string modifier) {
      return std::vector<server::Cell>{name, shown, type, "", modifier, "f", "f", "", "12", type};
    };
    std::vector<server::Cell> cells;
    for (const auto& one :
         {column("id", "text", "text", "-1"), column("embedding", "vector", "vector(2)", "2"),
          column("document", "text", "text", "-1"), column("metadata", "jsonb", "jsonb", "-1")})
      cells.insert(cells.end(), one.begin(), one.end());
    return server::table(10, cells);
  }
  if (asks("i.indisvalid THEN 't' ELSE 'f' END, CASE"))
    return server::table(6, {"pk", "id", "btree", "text_ops", "t", "t"});
  return std::nullopt;
}

// Messages of any kind, as long as they say: libpq takes the memory that one announces. It forgets the result that a T or t
// began when a t, G, H or W follows before C, E or I ends it (libpq 15: a leak of its own, of some 200 bytes and what it had
// read, that no caller can reach): those that would make it forget one are left out.
std::string messages(std::string_view piece) {
  const auto one_of = [](std::string_view types, char type) {
    return types.find(type) != std::string_view::npos;
  };
  std::string out;
  bool begun = false;
  while (piece.size() > 2) {
    const char type = piece[0];
    piece.remove_prefix(1);
    const auto content = fuzz::next_piece(piece);
    if (begun && one_of("tGHW", type)) continue;
    begun = one_of("Tt", type) || (begun && !one_of("CEI", type));
    out += server::message(type, std::string(content));
  }
  return out;
}

std::string answer(std::string_view piece) {
  if (piece.empty()) return {};
  const auto kind = static_cast<uint8_t>(piece[0]);
  piece.remove_prefix(1);
  if (kind == 'd') return server::done();
  if (kind == 'c') return server::copy_in();
  if (kind == 'e') return server::failed(piece.substr(0, 5), piece.substr(std::min<size_t>(piece.size(), 5)));
  if (kind == 'x') {
    // After them the server is gone.
    const std::string out = messages(piece);
    return out.empty() || out.ends_with(server::ready()) ? out + "Z" : out;
  }
  std::vector<server::Cell> cells;
  while (piece.size() >= 2) {
    const bool null = piece.starts_with("\xff\xff");
    if (null) piece.remove_prefix(2);
    cells.push_back(null ? std::nullopt : server::Cell(fuzz::next_piece(piece)));
  }
  return server::table(kind % 16, cells);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  auto rest = fuzz::text_of(data, size).substr(2);
  const char what = static_cast<char>(data[0]);
  const bool orderly = data[1] % 2 == 0;
  const bool knows_books = what != 'd' && what != 'l' && what != 'm';
  auto& postgres = testing::FakePostgres::instance();
  bool in_doubt = false;  // a write was sent, and the server is gone
  postgres.version(orderly ? std::optional<std::string>("15.0") : std::nullopt);
  postgres.answer([&](std::string_view statement) -> std::string {
    if (orderly) {
      if (auto right = as_it_should(statement, knows_books)) return std::move(*right);
    }
    const std::string said = answer(fuzz::next_piece(rest));
    const bool writes = statement.empty() || statement.starts_with("INSERT") ||
                        statement.starts_with("DELETE") ||
                        statement.find("; CREATE TABLE") != std::string_view::npos;
    in_doubt = in_doubt || (writes && said.empty());
    return said;
  });
  SystemClock clock;
  Endpoint endpoint;
  endpoint.url = postgres.url();
  pgvector::PgvectorDriver driver(pgvector::parse_address(endpoint).value(), clock, 1);
  const std::vector<model::Record> records{fuzz::record_of("one"), fuzz::record_of("two")};
  const std::vector<model::Key> keys{records[0].key, records[1].key};
  const auto error = fuzz::ask(driver, books(), keys, records, what, clock.in(std::chrono::seconds(5)));
  postgres.answer(nullptr);
  must(!error || error->code != Code::timeout, "a server that hung up is not waited for");
  must(!in_doubt || (error && !error->surely_not_done()), "a write without an answer may have been done");
  const auto state = fuzz::text_of(data, size).substr(0, 5);
  must(!pgvector::is_fault_of_a_record(state) || Error(pgvector::code_of(state), "").surely_not_done(),
       "a record is at fault only where nothing was done");
  return 0;
}
