// The share of a collection that a copy was at, and how far: a driver's own bytes, out of the journal. The first byte of an input
// chooses the driver; range and cursor follow (next_piece).
#include "driver_asked.h"
#include "hurried_clock.h"
#include "milvus_books.h"
#include "protocols/chroma/driver.h"
#include "protocols/milvus/driver.h"
#include "protocols/pgvector/driver.h"
#include "tests/protocols_pgvector/fake_postgres.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

struct Kept {
  ScanRange range;
  std::string cursor;
};

// What is read of an empty collection. `asked`: calls for records so far.
void scan(Driver& driver, const model::Schema& schema, Kept kept, const size_t& asked, Deadline deadline) {
  for (size_t pages = 0;; ++pages) {
    must(pages <= kept.range.bytes.size() + 1, "a range comes to its end");
    const auto page = driver.scan(schema, kept.range, kept.cursor, 2, {}, deadline);
    if (!page) {
      must(!page.error().message.empty(), "an error says why");
      must(page.error().code != Code::corrupt || pages > 0 || asked == 0,
           "nothing is read by a damaged range");
      return;
    }
    must(page->records.empty(), "no records where there are none");
    if (page->done) return;
    must(page->cursor != kept.cursor, "a page goes on from the one before");
    kept.cursor = page->cursor;
  }
}

void chroma_scan(Kept kept) {
  size_t asked = 0;
  chroma::ChromaDriver driver(
      {},
      [&](const net::Request& request, Deadline) -> Result<net::Response> {
        if (request.method == "GET") {
          return net::Response{200, {}, R"({"id":"7","name":"things","tenant":"t","database":"d"})", {}};
        }
        ++asked;
        return net::Response{200, {}, R"({"ids":[]})", {}};
      },
      {"t", "d"}, {});
  model::Schema schema;
  schema.name = {"t/d", "things"};
  schema.vectors.push_back({});
  scan(driver, schema, std::move(kept), asked, TimePoint::max());
}

void milvus_scan(Kept kept) {
  static const model::Schema schema = milvus::to_schema(fuzz::books_shown());
  static const std::string described = encode(fuzz::books_shown().described);
  fuzz::HurriedClock clock;
  size_t asked = 0;
  milvus::MilvusDriver driver(milvus::Client({},
                                             [&](const std::string& path, const net::Headers&,
                                                 const std::string&, Deadline) -> Result<std::string> {
                                               if (path.ends_with("/DescribeCollection")) return described;
                                               if (path.ends_with("/Query")) ++asked;
                                               return std::string("\x0a\0",
                                                                  2);  // a success, and nothing with it
                                             }),
                              "default", clock);
  scan(driver, schema, std::move(kept), asked, clock.in(std::chrono::seconds(1)));
}

void pgvector_scan(Kept kept) {
  namespace server = testing::postgres;
  auto& postgres = testing::FakePostgres::instance();
  size_t asked = 0;
  postgres.answer([&](std::string_view statement) {
    const auto asks = [&](std::string_view part) { return statement.find(part) != std::string_view::npos; };
    if (asks("clock_timestamp()")) return server::table(1, {"1000.5"});
    if (asks("e.extversion")) return server::table(5, {"0.8.0", "public", "vector", "16385", "16390"});
    if (asks("format_type(a.atttypid"))
      return server::table(10, {"id", "text", "text", "", "-1", "t", "f", "", "12", "text"});
    if (asks("i.indisprimary")) return server::table(6, {"pk", "id", "btree", "text_ops", "t", "t"});
    asked += asks("LIMIT");
    return server::done();
  });
  SystemClock clock;
  Endpoint endpoint;
  endpoint.url = postgres.url();
  pgvector::PgvectorDriver driver(pgvector::parse_address(endpoint).value(), clock, 1);
  model::Schema schema;
  schema.name.name = "things";
  scan(driver, schema, std::move(kept), asked, clock.in(std::chrono::seconds(5)));
  postgres.answer(nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  auto rest = fuzz::text_of(data, size).substr(1);
  Kept kept;
  kept.range.bytes = fuzz::next_piece(rest);
  kept.cursor = fuzz::next_piece(rest);
  switch (data[0]) {
    case 'c': chroma_scan(std::move(kept)); break;
    case 'm': milvus_scan(std::move(kept)); break;
    default: pgvector_scan(std::move(kept));
  }
  return 0;
}
