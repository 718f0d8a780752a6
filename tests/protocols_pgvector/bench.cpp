// bench_pgvector [records] [dimension]: how fast records go in and come out, and the two ways of writing side
// by side.
#include <cstdio>
#include <thread>

#include "base/random.h"
#include "database.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/row.h"

using namespace vmproxy;
using namespace vmproxy::testing;
using protocols::UpsertMode;

namespace {

double seconds_of(const std::function<void()>& work) {
  const auto begin = the_clock().now();
  work();
  return std::chrono::duration<double>(the_clock().now() - begin).count();
}

void report(const char* what, size_t records, double seconds) {
  std::printf("%-44s %9.0f records/s\n", what, static_cast<double>(records) / seconds);
  std::fflush(stdout);
}

// The way that the driver does not take for replacing: COPY into a temporary table, then INSERT .. SELECT
// from it.
void write_by_staging(std::span<const model::Record> records, const model::Schema& schema, size_t batch) {
  using namespace protocols::pgvector;
  protocols::Endpoint endpoint;
  endpoint.url = url();
  const auto address = parse_address(endpoint).value();
  const auto connection = Connection::open(address, the_clock(), soon()).value();
  const auto deadline = soon(std::chrono::minutes(5));
  const Table table = look_up(*connection, "public", schema.name.name, &schema, deadline).value().value();
  good(connection->script("CREATE TEMP TABLE staging AS SELECT * FROM public.bench LIMIT 0", deadline));
  const auto columns = written_columns(table);
  for (size_t at = 0; at < records.size(); at += batch) {
    std::vector<std::string> pieces(1, std::string("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19));
    for (const auto& r : records.subspan(at, std::min(batch, records.size() - at))) {
      if (pieces.back().size() > 256 << 10) pieces.emplace_back();
      put_int(pieces.back(), static_cast<int16_t>(columns.size()));
      pieces.back() += to_row(table, columns, r)->cells;
    }
    put_int(pieces.back(), int16_t{-1});
    good(connection->script("BEGIN", deadline));
    good(connection->copy_in("COPY staging FROM STDIN (FORMAT binary)", pieces, deadline));
    good(connection->script(
        "INSERT INTO public.bench SELECT * FROM staging ON CONFLICT (id) DO UPDATE SET embedding = "
        "excluded.embedding,"
        " document = excluded.document, metadata = excluded.metadata; TRUNCATE staging; COMMIT",
        deadline));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::stoul(argv[1]) : 50'000;
  const auto dimension = static_cast<uint32_t>(argc > 2 ? std::stoul(argv[2]) : 384);
  const auto d = driver();
  const auto schema = fresh(*d, things("bench", model::IdKind::string, dimension));
  Random random(1);
  std::vector<model::Record> records;
  for (size_t i = 0; i < count; ++i) {
    char id[32];
    std::snprintf(id, sizeof id, "record-%08zu", i * 7919 % count);
    records.push_back(record(id, model::DenseVector(dimension)));
    for (auto& x : std::get<model::DenseVector>(records.back().vectors[""]))
      x = static_cast<float>(random.unit());
    records.back().document = "a short text about record " + std::to_string(i);
    records.back().metadata = model::Object{{"number", static_cast<int64_t>(i)}, {"kind", "bench"}};
  }
  const auto write = [&](UpsertMode mode, size_t batch, size_t limit, size_t threads = 1) {
    std::vector<std::thread> workers;
    for (size_t t = 0; t < threads; ++t) {
      workers.emplace_back([&, t] {
        for (size_t at = t * batch; at < limit; at += batch * threads) {
          good(d->upsert(schema, std::span(records).subspan(at, std::min(batch, limit - at)), mode,
                         soon(std::chrono::minutes(1))));
        }
      });
    }
    for (auto& worker : workers) worker.join();
  };
  for (const size_t batch : {1, 10, 100, 1000, 5000}) {
    const size_t part = std::min(count, std::max<size_t>(batch * 10, 300));
    for (const auto mode : {UpsertMode::insert_only, UpsertMode::replace}) {
      sql("TRUNCATE bench");
      const std::string what =
          std::string(mode == UpsertMode::insert_only ? "insert_only, COPY" : "replace, unnest") +
          ", new, batches of " + std::to_string(batch);
      report(what.c_str(), part, seconds_of([&] { write(mode, batch, part); }));
    }
  }
  for (const size_t batch : {1, 10, 100, 1000, 5000}) {
    const size_t part = std::min(count, std::max<size_t>(batch * 10, 300));
    sql("TRUNCATE bench");
    const std::string what = "replace, staging table, new, batches of " + std::to_string(batch);
    report(what.c_str(), part,
           seconds_of([&] { write_by_staging(std::span(records).first(part), schema, batch); }));
  }
  for (const size_t threads : {1, 2}) {
    sql("TRUNCATE bench");
    report(threads == 1 ? "insert_only, all, batches of 1000, 1 thread"
                        : "insert_only, all, batches of 1000, 2 threads",
           count, seconds_of([&] { write(UpsertMode::insert_only, 1000, count, threads); }));
  }
  report("replace of what exists, batches of 1000", count,
         seconds_of([&] { write(UpsertMode::replace, 1000, count); }));
  sql("VACUUM ANALYZE bench");
  for (const size_t threads : {1, 2}) {
    const auto ranges = good(d->plan_scan(schema, threads, soon()));
    std::atomic<size_t> seen{0};
    const double seconds = seconds_of([&] {
      std::vector<std::thread> workers;
      for (const auto& range : ranges) {
        workers.emplace_back([&] {
          std::string cursor;
          for (bool done = false; !done;) {
            const auto page = good(d->scan(schema, range, cursor, 1000, {}, soon(std::chrono::minutes(1))));
            cursor = page.cursor;
            done = page.done;
            seen += page.records.size();
          }
        });
      }
      for (auto& worker : workers) worker.join();
    });
    report(threads == 1 ? "scan, pages of 1000, 1 thread" : "scan, pages of 1000, 2 threads", seen, seconds);
  }
  std::vector<model::Key> keys;
  for (const auto& r : records) keys.push_back(r.key);
  report("read by keys, 1000 at a time", std::min<size_t>(count, 20'000), seconds_of([&] {
           for (size_t at = 0; at < std::min<size_t>(count, 20'000); at += 1000) {
             (void)good(d->read(schema, std::span(keys).subspan(at, std::min<size_t>(1000, count - at)), {},
                                soon()));
           }
         }));
  const auto search = [&](const char* what, size_t times) {
    model::Query query;
    query.kind = model::Query::Kind::search;
    report(what, times, seconds_of([&] {
             for (size_t i = 0; i < times; ++i) {
               query.vectors = {records[i].vectors.at("")};
               (void)good(d->query(schema, query, soon()));
             }
           }));
  };
  search("searches that read every row", 20);
  const double built = seconds_of([&] { good(d->build_indexes(schema, soon(std::chrono::minutes(10)))); });
  std::printf("%-44s %9.1f s\n", "index built", built);
  search("searches by index", 500);
  sql("DROP TABLE bench");
}
