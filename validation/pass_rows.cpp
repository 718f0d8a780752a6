#include "validation/pass_rows.h"

#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"

namespace vmproxy::validation {
namespace {

constexpr std::string_view table = journal::rows::validation;
constexpr uint8_t format = 1;
constexpr size_t portion_bytes = 8u << 20;

std::string big_endian(uint64_t v, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(v >> shift);
  return out;
}

std::string key(char what, const std::string& collection, journal::Side scanned) {
  return what + collection + '\0' + (scanned == journal::Side::source ? 's' : 't');
}

std::string key(char what, const RangeName& name) {
  return key(what, name.collection, name.scanned) + big_endian(name.index, 4);
}

// `row` as it stands in the journal; empty: it is not there.
Error unreadable(const std::string& what, std::string_view row = "") {
  const std::string whole = "validation: the " + what + " of the last pass";
  if (!row.empty() && static_cast<uint8_t>(row.front()) != format) {
    return journal::unknown_format(whole, static_cast<uint8_t>(row.front()), format,
                                   "start the validation again");
  }
  return {Code::corrupt, whole +
                             " cannot be read from the journal. The data is not affected; start the "
                             "validation again"};
}

}  // namespace

Counts& Counts::operator+=(const Counts& other) {
  compared += other.compared;
  looked_up += other.looked_up;
  different += other.different;
  missing += other.missing;
  extra += other.extra;
  repaired += other.repaired;
  unsettled += other.unsettled;
  return *this;
}

Result<bool> PassRows::begin(const std::string& pass_id, const std::string& signature) const {
  model::Writer writer;
  writer.u8(format);
  writer.bytes(pass_id);
  writer.bytes(signature);
  const std::string wanted = writer.take();
  auto row = journal_.row(table, "p");
  if (!row) return row.error();
  if (*row == wanted) return true;
  // The row that vouches goes first and comes last: a crash in between leaves no half pass behind.
  if (auto gone = journal_.commit_rows({{std::string(table), "p", std::nullopt}}); !gone) return gone.error();
  if (auto gone = journal_.erase_rows(table, ""); !gone) return gone.error();
  if (auto entered = journal_.commit_rows({{std::string(table), "p", wanted}}); !entered)
    return entered.error();
  return false;
}

Result<std::optional<uint32_t>> PassRows::ranges(const std::string& collection, journal::Side scanned) const {
  auto row = journal_.row(table, key('n', collection, scanned));
  if (!row) return row.error();
  if (!*row) return std::optional<uint32_t>();
  model::Reader reader(**row);
  const bool known = reader.u8() == format;
  const uint32_t count = reader.u32();
  if (!known || !reader.done()) return unreadable("ranges", **row);
  return std::optional<uint32_t>(count);
}

Result<void> PassRows::commit_ranges(const std::string& collection, journal::Side scanned,
                                     const std::vector<protocols::ScanRange>& ranges) const {
  std::vector<journal::Row> rows;
  size_t bytes = 0;
  for (uint32_t i = 0; i < ranges.size(); ++i) {
    bytes += ranges[i].bytes.size();
    rows.push_back({std::string(table), key('b', {collection, scanned, i}), ranges[i].bytes});
    if (bytes < portion_bytes) continue;
    if (auto done = journal_.commit_rows(std::move(rows)); !done) return done;
    rows.clear();
    bytes = 0;
  }
  model::Writer writer;
  writer.u8(format);
  writer.u32(static_cast<uint32_t>(ranges.size()));
  rows.push_back({std::string(table), key('n', collection, scanned), writer.take()});
  return journal_.commit_rows(std::move(rows));
}

Result<protocols::ScanRange> PassRows::range(const RangeName& name) const {
  auto row = journal_.row(table, key('b', name));
  if (!row) return row.error();
  if (!*row) return unreadable("range");
  return protocols::ScanRange{std::move(**row)};
}

Result<RangeRow> PassRows::progress(const RangeName& name) const {
  auto found = journal_.row(table, key('r', name));
  if (!found) return found.error();
  RangeRow row;
  if (!*found) return row;
  model::Reader reader(**found);
  if (reader.u8() != format) return unreadable("progress", **found);
  row.cursor = reader.bytes();
  row.done = reader.u8() != 0;
  auto& n = row.counts;
  for (uint64_t* count :
       {&n.compared, &n.looked_up, &n.different, &n.missing, &n.extra, &n.repaired, &n.unsettled}) {
    *count = reader.varint();
  }
  if (!reader.done()) return unreadable("progress", **found);
  return row;
}

journal::Row PassRows::progress_row(const RangeName& name, const RangeRow& row) const {
  model::Writer writer;
  writer.u8(format);
  writer.bytes(row.cursor);
  writer.u8(row.done ? 1 : 0);
  const auto& n = row.counts;
  for (const uint64_t count :
       {n.compared, n.looked_up, n.different, n.missing, n.extra, n.repaired, n.unsettled}) {
    writer.varint(count);
  }
  return {std::string(table), key('r', name), writer.take()};
}

void PassRows::put(const RangeName& name, const RangeRow& row, uint64_t number,
                   const std::vector<Finding>& findings) const {
  std::vector<journal::Row> rows{progress_row(name, row)};
  for (const auto& finding : findings) {
    model::Writer writer;
    writer.u8(format);
    writer.bytes(finding.collection);
    writer.bytes(finding.key);
    writer.bytes(finding.kind);
    writer.bytes(finding.detail);
    rows.push_back({std::string(table), "f" + big_endian(number++, 8), writer.take()});
  }
  journal_.put_rows(std::move(rows));
}

Result<void> PassRows::commit(const RangeName& name, const RangeRow& row) const {
  return journal_.commit_rows({progress_row(name, row)});
}

Result<std::vector<Finding>> PassRows::findings(size_t limit) const {
  std::vector<Finding> findings;
  std::optional<Error> unread;
  if (limit == 0) return findings;
  auto scanned = journal_.scan_rows(table, "f", "", [&](std::string_view, std::string_view value) {
    model::Reader reader(value);
    const bool known = reader.u8() == format;
    Finding finding;
    finding.collection = reader.bytes();
    finding.key = reader.bytes();
    finding.kind = reader.bytes();
    finding.detail = reader.bytes();
    if (!known || !reader.done()) {
      unread = unreadable("findings", value);
      return false;
    }
    findings.push_back(std::move(finding));
    return findings.size() < limit;
  });
  if (!scanned) return scanned.error();
  if (unread) return *unread;
  return findings;
}

Result<uint64_t> PassRows::next_finding() const {
  uint64_t next = 0;
  auto scanned = journal_.scan_rows(table, "f", "", [&](std::string_view name, std::string_view) {
    next = 0;
    for (const char c : name.substr(1)) next = next << 8 | static_cast<uint8_t>(c);
    ++next;
    return true;
  });
  if (!scanned) return scanned.error();
  return next;
}

}  // namespace vmproxy::validation
