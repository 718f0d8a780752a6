// A client's head as run_http1() takes it: found in growing bytes, taken apart, and made into what goes on.
#include "net/http1_head.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::net;
using fuzz::must;

namespace {

int count(const Http1Head& head, std::string_view name) {
  int found = 0;
  for (const auto& field : head.fields) found += equal_ignoring_case(field.name, name);
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = fuzz::text_of(data, size);
  size_t scanned = 0, at_once = 0;
  auto found = HeadScan::need_more;
  for (size_t end = size > 4096 ? size : 0; end <= size && found == HeadScan::need_more; ++end)
    found = scan_head(bytes.substr(0, end), scanned);
  must(scan_head(bytes, at_once) == found && at_once == scanned,
       "a head ends where it ends, however it came");
  if (found != HeadScan::complete) return 0;
  Http1Head head;
  if (!parse_request_head(bytes.substr(0, scanned), head)) {
    must(head.problem != nullptr, "a refusal has its reason");
    return 0;
  }
  must(is_token(head.method), "a method is a token");
  must(head.target.find_first_of(" \r\n\t") == std::string_view::npos &&
           head.target.find('\0') == head.target.npos,
       "a target has no blanks");
  for (const auto& field : head.fields)
    must(is_token(field.name) && is_field_value(field.value), "a field is one line");
  must(count(head, "content-length") + count(head, "transfer-encoding") <= 1, "there is one framing");
  must(count(head, "host") <= 1, "there is one Host");
  must((head.body == BodyKind::chunked) == (count(head, "transfer-encoding") == 1), "chunked as announced");

  RequestHead value;
  fill_request_head(head, value);
  must(value.headers.all().size() == head.fields.size() && value.target == head.target,
       "the value has it all");
  // What goes on is one head again, of the same request.
  const std::string on = head.as_it_came ? std::string(head.raw) : forwarded_head(head);
  size_t again = 0;
  Http1Head second;
  must(scan_head(on, again) == HeadScan::complete && again == on.size(), "what goes on is one head");
  must(parse_request_head(on, second) && second.as_it_came,
       "what goes on is a head, without fields of one hop");
  must(second.method == head.method && second.target == head.target, "of the same request");
  must(second.body == head.body && second.length == head.length, "with the same body");
  if (head.fields.size() == 256) return 0;  // one more is refused
  const std::string other = head_for_body(head, 7);
  must(parse_request_head(other, second) && second.body == BodyKind::length && second.length == 7,
       "another body");
  return 0;
}
