// A Milvus that answers with anything, towards the driver. The first byte of an input chooses what the driver is asked; the
// rest are the answers to its calls, piece by piece (next_piece), after which the server is gone.
#include "protocols/milvus/driver.h"

#include "driver_asked.h"
#include "hurried_clock.h"
#include "milvus_books.h"

using namespace vmproxy;
using namespace vmproxy::protocols;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const model::Schema schema = milvus::to_schema(fuzz::books_shown());
  static const std::string described = encode(fuzz::books_shown().described);
  auto rest = fuzz::text_of(data, size).substr(1);
  const char what = static_cast<char>(data[0]);
  fuzz::HurriedClock clock;
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
  const std::vector<model::Key> keys{milvus::key_of(1), milvus::key_of(2, "more")};
  const std::vector<model::Record> records{fuzz::book(1), fuzz::book(2)};
  (void)fuzz::ask(driver, schema, keys, records, what, clock.in(std::chrono::seconds(1)));
  return 0;
}
