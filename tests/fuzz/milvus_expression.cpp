// Filter expressions of Milvus: what is read, printed and read again selects the same records.
#include "protocols/milvus/expression.h"

#include <functional>

#include "milvus_books.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols::milvus;
using fuzz::must;

namespace {

const CollectionSchema schema = fuzz::books();
const Templates templates{{"n", 3},    {"f", 0.5}, {"s", "title 2"}, {"b", true}, {"l", model::Array{1, 5}},
                          {"none", {}}};

int height_of(const model::Filter& filter) {
  int height = 0;
  for (const auto& child : filter.children) height = std::max(height, height_of(child));
  return height + 1;
}

void check(std::string_view text, const Grammar& grammar) {
  const auto filter = parse_expression(text, schema, grammar, templates);
  if (!filter) {
    must(filter.error().code == Code::invalid || filter.error().code == Code::unsupported, "a refusal");
    return;
  }
  must(height_of(*filter) <= 110, "a filter can be walked by recursion");
  // A declared field is no member of $meta: what such an expression says of it is not asked for here.
  if (text.find("$meta") != text.npos) return;
  const auto printed = print_expression(*filter, schema, grammar);
  if (!printed) {
    must(printed.error().code == Code::unsupported, "what has no words is unsupported");
    return;
  }
  const auto again = parse_expression(*printed, schema, grammar);
  if (!again) {
    // Each operator is printed in parentheses, which nest more than it did.
    must(again.error().message.ends_with("nested too deeply"), "what is printed can be read");
    return;
  }
  for (int64_t n = 1; n <= 12; ++n) {
    const auto record = fuzz::book(n);
    must(evaluate(*filter, record) == evaluate(*again, record), "and selects the same records");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  check(text, Grammar::of_version("v2.5.1"));
  check(text, Grammar::of_version("v2.3.5-lite"));
  return 0;
}
