// The copy: ranges of the primary key, walked by "key > last" in pages.
//
// A range is (partition, low, high]: low and high are absent where it is open. A cursor is the last key that
// came and the timestamp that all pages are read at; its server waits until it has seen everything up to
// there, so a page costs no more than its data (Strong would wait for a time tick on each).
#include <algorithm>

#include "model/codec.h"
#include "protocols/milvus/driver.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Record;

constexpr uint8_t format = 1;
constexpr size_t page_bytes_aim = 24u << 20;
constexpr size_t page_records_max = 16384;

struct Range {
  std::string partition;
  std::optional<int64_t> low, high;
};

std::string encode_range(const Range& range) {
  model::Writer out;
  out.u8(format);
  out.bytes(range.partition);
  for (const auto& bound : {range.low, range.high}) {
    out.u8(bound ? 1 : 0);
    out.u64(static_cast<uint64_t>(bound.value_or(0)));
  }
  return out.take();
}

std::optional<Range> decode_range(std::string_view bytes) {
  model::Reader reader(bytes);
  if (reader.u8() != format) return std::nullopt;
  Range range;
  range.partition = reader.bytes();
  for (auto* bound : {&range.low, &range.high}) {
    const bool there = reader.u8() != 0;
    const auto value = static_cast<int64_t>(reader.u64());
    if (there) *bound = value;
  }
  if (!reader.done()) return std::nullopt;
  return range;
}

struct Cursor {
  uint64_t timestamp = 0;
  model::Key last;
};

std::optional<Cursor> decode_cursor(std::string_view bytes) {
  model::Reader reader(bytes);
  if (reader.u8() != format) return std::nullopt;
  Cursor cursor;
  cursor.timestamp = reader.u64();
  cursor.last = reader.key();
  if (!reader.done()) return std::nullopt;
  return cursor;
}

std::string encode_cursor(const Cursor& cursor) {
  model::Writer out;
  out.u8(format);
  out.u64(cursor.timestamp);
  out.key(cursor.last);
  return out.take();
}

size_t page_size(const CollectionSchema& shape, size_t records_max, ReadParts parts) {
  size_t record_bytes = 256;
  if (parts.vectors) {
    for (const auto& field : shape.fields) record_bytes += number_param(field, "dim") * size_t{4};
  }
  return std::clamp<size_t>(page_bytes_aim / record_bytes, 1,
                            std::min(std::max<size_t>(records_max, 1), page_records_max));
}

}  // namespace

uint64_t timestamp_now(const Client& client, Deadline deadline) {
  const auto answer = client.call("AllocTimestamp", default_database, {}, deadline);
  if (!answer) return 0;
  uint64_t timestamp = 0;
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() == 2) timestamp = reader.u64();
  }
  return timestamp;
}

Result<void> check_progress(const model::Schema& schema, const model::Key& last, const model::Key& reached) {
  if (last.id < reached.id) return {};
  return Error(Code::corrupt, "Milvus was asked for the records of '" + to_string(schema.name) +
                                  "' above the key " + to_string(last.id) +
                                  " and showed none above it: what it shows cannot be walked to its end");
}

// Int64 keys are split by value between the smallest and the largest one, found by bisection; text keys are
// not split. Only the balance of the ranges rests on these looks, not what they hold.
Result<std::vector<ScanRange>> MilvusDriver::plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                                       Deadline deadline) {
  const auto shape_found = shape_of(schema, deadline);
  if (!shape_found) return shape_found.error();
  const CollectionSchema& shape = **shape_found;
  if (auto seen = check_largest_key(schema, shape, deadline); !seen) return seen.error();
  std::vector<std::string> partitions{""};
  partitions.insert(partitions.end(), schema.partitions.begin(), schema.partitions.end());
  const std::string& name = shape.primary()->name;
  std::vector<ScanRange> ranges;
  for (const auto& partition : partitions) {
    if (shape.primary()->type != DataType::int64 || ranges_wanted < 2) {
      ranges.push_back({encode_range({partition, {}, {}})});
      continue;
    }
    const uint64_t timestamp = timestamp_now(client_, deadline);
    std::optional<Error> failed;
    const auto first_above = [&](std::optional<int64_t> bound) -> std::optional<int64_t> {
      Rows rows;
      rows.expression =
          bound ? name + " > " + integer_text(*bound) : "(" + name + " >= 0 or " + name + " < 0)";
      rows.partitions = partition_names(schema, partition);
      rows.limit = 1;
      rows.ordered = true;
      rows.timestamp = timestamp;
      rows.past = timestamp != 0;
      auto columns = fetch(schema, shape, rows, {name}, deadline);
      if (!columns) {
        failed = columns.error();
        return std::nullopt;
      }
      for (const auto& column : *columns) {
        if (column.name == name && !column.longs.empty()) return column.longs[0];
      }
      return std::nullopt;
    };
    const auto smallest = first_above({});
    if (failed) {
      const auto dropped = was_dropped(schema, partition, *failed, deadline);
      if (!dropped) return dropped.error();
      if (*dropped) continue;
      return released(schema, partition, *failed, deadline).value_or(*failed);
    }
    if (!smallest) {
      ranges.push_back({encode_range({partition, {}, {}})});
      continue;
    }
    // [known, beyond): a record lies at or above `known`, none above `beyond`.
    int64_t known = *smallest;
    int64_t beyond = INT64_MAX;
    uint64_t step = 1024;
    for (int looks = 0; looks < 80 && known < beyond; ++looks) {
      const uint64_t room = static_cast<uint64_t>(beyond) - static_cast<uint64_t>(known);
      const uint64_t jump = beyond == INT64_MAX ? std::min(step, room) : room / 2;
      if (jump < 512 && beyond != INT64_MAX) break;
      const auto middle = static_cast<int64_t>(static_cast<uint64_t>(known) + jump);
      const auto found = first_above(middle);
      if (failed) return *failed;
      if (found) {
        known = *found;
        step *= 4;
      } else {
        beyond = middle;
      }
    }
    const auto low = static_cast<uint64_t>(*smallest);
    const uint64_t share = (static_cast<uint64_t>(known) - low) / ranges_wanted;
    std::optional<int64_t> from;
    for (size_t i = 1; i < ranges_wanted && share > 0; ++i) {
      const auto to = static_cast<int64_t>(low + share * i);
      ranges.push_back({encode_range({partition, from, to})});
      from = to;
    }
    ranges.push_back({encode_range({partition, from, {}})});
  }
  return ranges;
}

// Milvus 2.3 counts a record with the largest key and finds it by search, but no query shows it: a copy would
// lose it in silence.
Result<void> MilvusDriver::check_largest_key(const model::Schema& schema, const CollectionSchema& shape,
                                             Deadline deadline) {
  if (recent_ || shape.primary()->type != DataType::int64) return {};
  Rows rows;
  rows.expression = shape.primary()->name + " == " + integer_text(INT64_MAX);
  const auto columns = fetch(schema, shape, rows, {"count(*)"}, deadline);
  if (!columns) return columns.error();
  if (columns->empty() || columns->front().longs.empty() || columns->front().longs[0] == 0) return {};
  return Error(Code::unsupported,
               "id.largest: collection '" + to_string(schema.name) +
                   "' has a record with the key 9223372036854775807, which Milvus 2.3 shows to no "
                   "query: give it another key");
}

Result<ScanPage> MilvusDriver::scan(const model::Schema& schema, const ScanRange& range,
                                    const std::string& cursor, size_t records_max, ReadParts parts,
                                    Deadline deadline) {
  const auto shape_found = shape_of(schema, deadline);
  if (!shape_found) return shape_found.error();
  const CollectionSchema& shape = **shape_found;
  const auto bounds = decode_range(range.bytes);
  if (!bounds)
    return Error(Code::corrupt, "a range of the scan of '" + to_string(schema.name) + "' cannot be read");
  Cursor from;
  if (cursor.empty()) {
    from.timestamp = timestamp_now(client_, deadline);
  } else {
    auto read = decode_cursor(cursor);
    if (!read)
      return Error(Code::corrupt, "the cursor of a scan of '" + to_string(schema.name) + "' cannot be read");
    from = std::move(*read);
  }
  const std::string& name = shape.primary()->name;
  Rows rows;
  if (!cursor.empty()) {
    const auto* text = std::get_if<std::string>(&from.last.id.value);
    const auto* number = std::get_if<int64_t>(&from.last.id.value);
    rows.expression =
        name + " > " + (text != nullptr ? quoted(*text) : integer_text(number == nullptr ? 0 : *number));
  } else if (bounds->low) {
    rows.expression = name + " > " + integer_text(*bounds->low);
  } else {
    auto all = print_expression({}, shape, grammar());
    if (!all) return all.error();
    rows.expression = std::move(*all);
  }
  if (bounds->high)
    rows.expression = "(" + rows.expression + ") and " + name + " <= " + integer_text(*bounds->high);
  rows.partitions = partition_names(schema, bounds->partition);
  rows.limit = page_size(shape, records_max, parts);
  rows.timestamp = from.timestamp;
  rows.past = from.timestamp != 0;
  rows.ordered = true;
  auto shown = fetch_records(schema, shape, rows, parts, deadline);
  if (!shown) {
    const auto dropped = was_dropped(schema, bounds->partition, shown.error(), deadline);
    if (!dropped) return dropped.error();
    if (!*dropped)
      return released(schema, bounds->partition, shown.error(), deadline).value_or(shown.error());
    shown = ShownRows();
  }
  ScanPage page;
  page.records = std::move(shown->records);
  page.unread = std::move(shown->unread);
  std::ranges::sort(page.records, {}, [](const Record& record) { return record.key.id; });
  const model::Key* reached = page.records.empty() ? nullptr : &page.records.back().key;
  for (const auto& one : page.unread) {
    if (reached == nullptr || reached->id < one.key.id) reached = &one.key;
  }
  // Fewer than asked for is no end: of records with one key the server shows one, after it has counted them.
  page.done = reached == nullptr;
  page.cursor = cursor;
  if (page.done) return page;
  if (!cursor.empty()) {
    if (auto on = check_progress(schema, from.last, *reached); !on) return on.error();
  }
  page.cursor = encode_cursor({from.timestamp, *reached});
  return page;
}

}  // namespace vmproxy::protocols::milvus
