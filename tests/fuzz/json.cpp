// JSON text: read as a tree, passed over in both ways, read as numbers, and written again.
#include "protocols/wire/json.h"

#include "protocols/wire/json_scanner.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols::wire;
using fuzz::must;

namespace {

struct Passed {
  bool ok;
  size_t end;
};
Passed pass(std::string_view text, bool (JsonScanner::*over)()) {
  JsonScanner in(text);
  const bool passed = (in.*over)();
  must(passed == in.ok() && in.ok() == in.error().empty(), "an error is said once and stays");
  return {passed && in.finish(), in.offset()};
}

void read_numbers(std::string_view text, const model::Array& array) {
  JsonScanner in(text);
  std::vector<float> floats;
  const bool read = in.read_floats(floats) && in.finish();
  for (const auto& one : array) must(!read || one.is_number(), "numbers alone are read as numbers");
  if (!read) return;
  must(floats.size() == array.size(), "each number is read");
  for (size_t i = 0; i < floats.size(); ++i)
    must(floats[i] == static_cast<float>(array[i].number()), "quickly as slowly");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  const auto skipped = pass(text, &JsonScanner::skip_value), passed = pass(text, &JsonScanner::pass_value);
  if (skipped.ok) must(passed.ok && passed.end == skipped.end, "what is JSON is passed to the same end");
  const auto value = parse_json(text);
  if (!value) {
    must(value.error().code == Code::invalid && !value.error().message.empty(), "a refusal has its reason");
  } else {
    must(skipped.ok && valid_utf8(text), "what is read is JSON");
    const std::string written = to_json(*value);
    must(parse_json(written).value() == *value, "a value comes back");
    must(to_json(parse_json(written).value()) == written, "in one form");
    if (value->is_array()) read_numbers(text, value->array());
  }
  std::string quoted;
  append_json_string(quoted, text);
  const auto back = parse_json(quoted);
  must(back.has_value() == valid_utf8(text), "a text is a string when it is UTF-8");
  must(!back || back->string() == text, "a text comes back");
  return 0;
}
