// The copy. The server can page by offset only, and rows deleted meanwhile move those behind them forward. So
// the ids are listed once, from the end (listing.h), and kept in the ranges; records are then fetched
// by id.
#include <algorithm>
#include <charconv>

#include "model/codec.h"
#include "protocols/chroma/driver.h"
#include "protocols/chroma/listing.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Schema;

constexpr uint8_t range_format = 1;
constexpr size_t page_ids = 50'000;
constexpr size_t range_ids_max = 100'000;  // some MB: ranges are kept in the journal

Error bad_range() {
  return Error(
      Code::corrupt,
      "a range of the copy is damaged. Nothing of it was copied; start the copy of this collection again.");
}

}  // namespace

Result<uint64_t> ChromaDriver::count_all(const model::CollectionName& name, Deadline deadline) {
  const auto answered = api_.fetch(name, "count", deadline);
  if (!answered) return answered.error();
  uint64_t count = 0;
  const auto parsed = std::from_chars(answered->data(), answered->data() + answered->size(), count);
  if (parsed.ec != std::errc())
    return Error(Code::corrupt, "the server counts '" + answered->substr(0, 40) + "' records");
  return count;
}

Result<std::vector<std::string>> ChromaDriver::list_ids(const model::CollectionName& name,
                                                        const GetBody& filter, Deadline deadline) {
  size_t rows = filter.ids.size();
  if (!filter.by_ids) {
    const auto count = count_all(name, deadline);
    if (!count) return count.error();
    rows = *count;
  }
  const auto fetch = [&](size_t offset, size_t limit) -> Result<std::vector<std::string>> {
    GetBody body = filter;
    body.parts = ReadParts{false, false};
    body.limit = limit;
    body.offset = offset;
    const auto answered = api_.post(name, "get", get_body(body), deadline);
    if (!answered) return answered.error();
    return parse_ids(*answered);
  };
  // With a filter rows come between others, too: whatever an update lets match. No second page could be told from the first.
  return list_by_offset(fetch, rows, filter.where == nullptr ? page_ids : std::max<size_t>(rows, 1));
}

Result<std::vector<ScanRange>> ChromaDriver::plan_scan(const Schema& schema, size_t ranges_wanted,
                                                       Deadline deadline) {
  const auto ids = list_ids(schema.name, {}, deadline);
  if (!ids) return ids.error();
  std::vector<ScanRange> ranges;
  // More ranges than wanted only when they would become too large to keep.
  const size_t wanted =
      std::max(std::max<size_t>(ranges_wanted, 1), (ids->size() + range_ids_max - 1) / range_ids_max);
  const size_t each = std::max<size_t>((ids->size() + wanted - 1) / wanted, 1);
  for (size_t from = 0; from < ids->size(); from += each) {
    model::Writer w;
    w.u8(range_format);
    const size_t to = std::min(from + each, ids->size());
    for (size_t i = from; i < to; ++i) w.bytes((*ids)[i]);
    ranges.push_back({w.take()});
  }
  return ranges;
}

// The cursor is where in the range's bytes the next id stands.
Result<ScanPage> ChromaDriver::scan(const Schema& schema, const ScanRange& range, const std::string& cursor,
                                    size_t records_max, ReadParts parts, Deadline deadline) {
  const std::string_view bytes = range.bytes;
  if (bytes.empty() || static_cast<uint8_t>(bytes[0]) != range_format) return bad_range();
  size_t at = 1;
  if (!cursor.empty()) {
    const auto parsed = std::from_chars(cursor.data(), cursor.data() + cursor.size(), at);
    if (parsed.ec != std::errc() || parsed.ptr != cursor.data() + cursor.size() || at < 1 ||
        at > bytes.size())
      return bad_range();
  }
  std::vector<std::string_view> ids;
  while (at < bytes.size() && ids.size() < std::max<size_t>(records_max, 1)) {
    model::Reader reader(bytes.substr(at));
    const std::string_view id = reader.view();
    if (!reader.ok() || id.empty()) return bad_range();
    ids.push_back(id);
    at = static_cast<size_t>(id.data() + id.size() - bytes.data());
  }
  ScanPage page;
  if (!ids.empty()) {
    auto records = read_ids(schema, ids, parts, deadline);
    if (!records) return records.error();
    page.records = std::move(*records);
  }
  page.cursor = std::to_string(at);
  page.done = at == bytes.size();
  return page;
}

}  // namespace vmproxy::protocols::chroma
