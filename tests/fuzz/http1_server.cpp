// A whole HTTP/1.1 connection: requests one after the other, bodies, what is refused. Each answer belongs to a request.
#include "server_session.h"

using namespace vmproxy;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = fuzz::text_of(data, size);
  if (bytes.starts_with("PRI")) return 0;  // http2_server
  const std::string answered = fuzz::converse(bytes);
  must(answered.empty() || answered.starts_with("HTTP/1.1 "), "answers are HTTP/1.1");
  must(answered.size() <= 512 * (size + 1), "an answer is not much larger than what was asked");
  return 0;
}
