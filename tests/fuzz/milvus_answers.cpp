// A Milvus that answers with anything, towards the driver. The first byte of an input chooses what the driver is asked; the
// rest are the answers to its calls, piece by piece (next_piece), after which the server is gone.
#include "milvus_books.h"
#include "model/codec.h"
#include "protocols/milvus/driver.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

// Whoever waits has waited.
class HurriedClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override { return WallTime(std::chrono::hours(1)); }
  bool wait_until(std::unique_lock<std::mutex>&, std::condition_variable&, TimePoint deadline,
                  const std::function<bool()>& done) override {
    if (!done()) now_ = std::max(now_, deadline);
    return done();
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
};

void must_keep(const model::Record& record) {
  const std::string bytes = model::encode_record(record);
  must(model::encode_record(model::decode_record(bytes).value()) == bytes, "a record can be kept");
}

void ask(milvus::MilvusDriver& driver, const model::Schema& schema, char what, Deadline deadline) {
  model::Query query;
  query.collection = schema.name;
  query.with_vectors = true;
  query.limit = 10;
  const std::vector<model::Key> keys{milvus::key_of(1), milvus::key_of(2, "more")};
  switch (what) {
    case 'g': query.kind = model::Query::Kind::get; break;
    case 'c': query.kind = model::Query::Kind::count; break;
    case 's':
      query.kind = model::Query::Kind::search;
      query.vector_name = "vector";
      query.vectors = {model::DenseVector{1, 2}, model::DenseVector{3, 4}};
      break;
    case 'r':
      if (const auto found = driver.read_each(schema, keys, {}, deadline)) {
        for (const auto& record : found->records) must_keep(record);
      }
      return;
    case 'p': (void)driver.plan_scan(schema, 4, deadline); return;
    case 'n':
      if (const auto ranges = driver.plan_scan(schema, 1, deadline); ranges && !ranges->empty()) {
        const auto page = driver.scan(schema, ranges->front(), "", 10, {}, deadline);
        if (page) (void)driver.scan(schema, ranges->front(), page->cursor, 10, {}, deadline);
      }
      return;
    case 'd':
      if (const auto found = driver.describe(schema.name, deadline); found && *found) {
        const std::string bytes = model::encode_schema(**found);
        must(model::encode_schema(model::decode_schema(bytes).value()) == bytes, "a collection can be kept");
      }
      return;
    case 'l': (void)driver.list_all(deadline); return;
    case 'v': (void)driver.describe_server(deadline); return;
    case 'e': (void)driver.erase(schema, keys, deadline); return;
    default: {
      const std::vector<model::Record> records{fuzz::book(1), fuzz::book(2)};
      (void)driver.upsert(schema, records, UpsertMode::replace, deadline);
      return;
    }
  }
  const auto found = driver.query(schema, query, deadline);
  if (!found) return;
  for (const auto& record : found->records) must_keep(record);
  for (const auto& hits : found->hits) {
    for (const auto& hit : hits) must_keep(hit.record);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const model::Schema schema = milvus::to_schema(fuzz::books_shown());
  static const std::string described = encode(fuzz::books_shown().described);
  auto rest = fuzz::text_of(data, size).substr(1);
  const char what = static_cast<char>(data[0]);
  HurriedClock clock;
  milvus::MilvusDriver driver(
      milvus::Client({},
                     [&](const std::string& path, const net::Headers&, const std::string&,
                         Deadline) -> Result<std::string> {
                       if (path.ends_with("/DescribeCollection") && what != 'd' && what != 'l')
                         return described;
                       if (rest.empty()) return Error(Code::unavailable, "gone");
                       return std::string(fuzz::next_piece(rest));
                     }),
      "default", clock);
  ask(driver, schema, what, clock.in(std::chrono::seconds(1)));
  return 0;
}
