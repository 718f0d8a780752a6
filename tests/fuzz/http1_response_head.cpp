// The head of an answer, from a database that may say anything, to each of the methods that decide about its body.
#include "net/http1_head.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::net;
using fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = fuzz::text_of(data, size);
  size_t scanned = 0;
  if (scan_head(bytes, scanned) != HeadScan::complete) return 0;
  const auto raw = bytes.substr(0, scanned);
  for (const std::string_view method : {"GET", "HEAD", "POST"}) {
    Http1Head head;
    if (!parse_response_head(raw, method, head)) {
      must(head.problem != nullptr, "a refusal has its reason");
      continue;
    }
    must(head.status >= 100 && head.status <= 599, "a status");
    const bool bodiless = head.status < 200 || head.status == 204 || head.status == 304 || method == "HEAD";
    must(!bodiless || head.body == BodyKind::none, "no body where there is none");
    must(head.body != BodyKind::until_close || !head.keep_alive, "what ends with the connection ends it");
    must(head.keep_alive_timeout >= Duration{} && head.keep_alive_timeout <= std::chrono::hours(24),
         "a timeout");
    must(headers_of(head).all().size() == head.fields.size(), "all fields");
    // To the client it goes on so, or with our own Connection field.
    for (const std::string_view extra : {"", "Connection: close\r\n"}) {
      if (!extra.empty() && head.fields.size() == 256) continue;  // one more is refused
      const std::string on =
          head.as_it_came && extra.empty() ? std::string(raw) : forwarded_head(head, extra);
      size_t again = 0;
      Http1Head second;
      must(scan_head(on, again) == HeadScan::complete && again == on.size(), "what goes on is one head");
      must(parse_response_head(on, method, second), "what goes on is a head");
      must(second.status == head.status && second.body == head.body && second.length == head.length,
           "the same one");
      must(extra.empty() || !second.keep_alive, "and says that the connection ends");
    }
  }
  return 0;
}
