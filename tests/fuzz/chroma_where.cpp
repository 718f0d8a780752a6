// Chroma's filters: what is read and printed again selects the same records.
#include "protocols/chroma/where.h"

#include "protocols/wire/json.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;
using Kind = model::Filter::Kind;

namespace {

// Their meaning is RE2's, which the model's own evaluation only approximates, in unbounded time.
bool has_pattern(const model::Filter& filter) {
  if (filter.kind == Kind::matches) return true;
  for (const auto& child : filter.children) {
    if (has_pattern(child)) return true;
  }
  return false;
}

std::vector<model::Record> records() {
  std::vector<model::Record> out;
  const model::Value values[] = {
      1, 1.5, 2.0, -1, "1", "abc", true, model::Array{"a", "b"}, model::Array{1, 2}, INT64_MAX};
  for (const auto& value : values) {
    auto& record = out.emplace_back();
    record.key.id.value = std::to_string(out.size());
    record.metadata = model::Object{{"a", value}, {"b", static_cast<int64_t>(out.size())}};
    if (out.size() % 2 == 0) record.document = "abc " + std::to_string(out.size());
  }
  out.emplace_back().document = "";
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto all = records();
  const auto value = wire::parse_json(fuzz::text_of(data, size));
  if (!value) return 0;
  for (const bool document : {false, true}) {
    const auto filter = document ? chroma::parse_where_document(*value) : chroma::parse_where(*value);
    if (!filter) {
      must(filter.error().code == Code::invalid || filter.error().code == Code::unsupported, "a refusal");
      continue;
    }
    const auto printed = chroma::print_filter(*filter);
    if (!printed || !printed->on_id.empty() || has_pattern(*filter)) continue;
    std::optional<model::Filter> again;
    if (printed->where) {
      const auto text = wire::to_json(*printed->where);
      auto parsed = chroma::parse_where(wire::parse_json(text).value());
      must(parsed.has_value(), "what is printed can be read");
      again = std::move(*parsed);
    }
    for (const auto& record : all)
      must(evaluate(*filter, record) == (!again || evaluate(*again, record)), "and selects the same records");
  }
  return 0;
}
