// A Chroma that answers with anything, towards the driver. The first byte of an input chooses what the driver is asked; the rest
// are the answers to its calls, piece by piece (next_piece), each a byte for its status and a body. After them it is gone.
#include "protocols/chroma/driver.h"

#include <array>

#include "driver_asked.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

void check_target(const std::string& target) {
  must(target.starts_with("/api/v2/"), "a call of the API");
  for (const char c : target)
    must(c > ' ' && c < 0x7f, "what a server told cannot become a line of a request");
}

bool writes(const net::Request& request) {
  const std::string_view target = request.target;
  return request.method == "POST" && (target.ends_with("/upsert") || target.ends_with("/add") ||
                                      target.ends_with("/delete") || target.ends_with("/collections"));
}

model::Schema things() {
  model::Schema schema;
  schema.name = {"default_tenant/default_database", "things"};
  schema.vectors.push_back({"", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  schema.has_document = true;
  schema.dynamic = true;
  return schema;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr std::array statuses{200, 201, 400, 401, 404, 409, 413, 429, 500, 501, 503, 504};
  auto rest = fuzz::text_of(data, size).substr(1);
  const char what = static_cast<char>(data[0]);
  bool in_doubt = false;  // a write was sent whose answer says nothing of it
  size_t calls = 0;
  chroma::ChromaDriver driver(
      {},
      [&](const net::Request& request, Deadline) -> Result<net::Response> {
        check_target(request.target);
        must(++calls <= size + 10, "who gets no answers asks no more");
        const auto piece = fuzz::next_piece(rest);
        const int status = piece.empty() ? 0 : statuses[static_cast<uint8_t>(piece[0]) % statuses.size()];
        in_doubt = in_doubt || (writes(request) && (status == 0 || status == 500 || status == 503));
        if (status == 0) return Error(Code::connection_lost, "gone");
        return net::Response{status, {}, std::string(piece.substr(1)), {}};
      },
      {"default_tenant", "default_database"}, {"default_tenant"});
  const std::vector<model::Record> records{fuzz::record_of("one"), fuzz::record_of("two")};
  const std::vector<model::Key> keys{records[0].key, records[1].key};
  const auto error = fuzz::ask(driver, things(), keys, records, what, TimePoint::max());
  must(!in_doubt || (error && !error->surely_not_done()), "a write without an answer may have been done");
  return 0;
}
