#include "backfill/checkpoints.h"

#include "base/fault.h"
#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"

namespace vmproxy::backfill {
namespace {

using journal::rows::checkpoints;

constexpr uint8_t format = 1;
// Ranges can be large (some drivers keep lists of ids in them): they are committed in portions.
constexpr size_t portion_bytes = 8u << 20;

std::string big_endian(uint64_t v, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(v >> shift);
  return out;
}

// `row` as it stands in the journal; empty: it is not there.
Error unreadable(const model::CollectionName& name, std::string_view what, std::string_view row = "") {
  const std::string whole = "collection '" + model::to_string(name) + "': the copy's " + std::string(what);
  const std::string anew =
      "abandon the migration and start it again to copy this collection from the beginning";
  if (!row.empty() && static_cast<uint8_t>(row.front()) != format)
    return journal::unknown_format(whole, static_cast<uint8_t>(row.front()), format, anew);
  return {Code::corrupt,
          whole + " cannot be read from the journal. The data in both databases is not affected; " + anew};
}

}  // namespace

std::string Checkpoints::key(const model::CollectionName& name, std::string_view what) const {
  return big_endian(generation_, 8) + model::to_string(name) + '\0' + std::string(what);
}

std::string Checkpoints::key(const model::CollectionName& name, char what, uint32_t index) const {
  return key(name, what + big_endian(index, 4));
}

Result<std::optional<PlanRow>> Checkpoints::plan(const model::CollectionName& name) const {
  auto found = journal_.row(checkpoints, key(name, "p"));
  if (!found) return found.error();
  if (!*found) return std::optional<PlanRow>();
  model::Reader reader(**found);
  if (reader.u8() != format) return unreadable(name, "plan", **found);
  PlanRow plan;
  plan.mapping_hash = reader.u64();
  plan.incarnation = reader.u64();
  plan.total = reader.u64();
  plan.ranges = reader.u32();
  if (!reader.done()) return unreadable(name, "plan", **found);
  return std::optional<PlanRow>(plan);
}

Result<void> Checkpoints::commit_plan(const model::CollectionName& name, const PlanRow& plan,
                                      const std::vector<protocols::ScanRange>& ranges) const {
  std::vector<journal::Row> rows;
  size_t bytes = 0;
  for (uint32_t i = 0; i < ranges.size(); ++i) {
    bytes += ranges[i].bytes.size();
    rows.push_back({std::string(checkpoints), key(name, 'b', i), ranges[i].bytes});
    if (bytes < portion_bytes) continue;
    if (auto done = journal_.commit_rows(std::move(rows)); !done) return done;
    VMPROXY_FAULT("plan.portion");
    rows.clear();
    bytes = 0;
  }
  model::Writer writer;
  writer.u8(format);
  writer.u64(plan.mapping_hash);
  writer.u64(plan.incarnation);
  writer.u64(plan.total);
  writer.u32(plan.ranges);
  rows.push_back({std::string(checkpoints), key(name, "p"), writer.take()});
  return journal_.commit_rows(std::move(rows));
}

Result<protocols::ScanRange> Checkpoints::range(const model::CollectionName& name, uint32_t index) const {
  auto found = journal_.row(checkpoints, key(name, 'b', index));
  if (!found) return found.error();
  if (!*found) return unreadable(name, "range " + std::to_string(index));
  return protocols::ScanRange{std::move(**found)};
}

Result<RangeRow> Checkpoints::progress(const model::CollectionName& name, uint32_t index) const {
  auto found = journal_.row(checkpoints, key(name, 'r', index));
  if (!found) return found.error();
  if (!*found) return RangeRow{};
  model::Reader reader(**found);
  const std::string what = "checkpoint of range " + std::to_string(index);
  if (reader.u8() != format) return unreadable(name, what, **found);
  RangeRow row;
  row.cursor = reader.bytes();
  row.done = reader.u8() != 0;
  row.counts.records = reader.varint();
  row.counts.dropped = reader.varint();
  row.counts.quarantined = reader.varint();
  row.counts.duplicates = reader.varint();
  if (!reader.done()) return unreadable(name, what, **found);
  return row;
}

journal::Row Checkpoints::progress_row(const model::CollectionName& name, uint32_t index,
                                       const RangeRow& row) const {
  model::Writer writer;
  writer.u8(format);
  writer.bytes(row.cursor);
  writer.u8(row.done ? 1 : 0);
  writer.varint(row.counts.records);
  writer.varint(row.counts.dropped);
  writer.varint(row.counts.quarantined);
  writer.varint(row.counts.duplicates);
  return {std::string(checkpoints), key(name, 'r', index), writer.take()};
}

void Checkpoints::put(const model::CollectionName& name, uint32_t index, const RangeRow& row) const {
  journal_.put_rows({progress_row(name, index, row)});
}

Result<void> Checkpoints::commit(const model::CollectionName& name, uint32_t index,
                                 const RangeRow& row) const {
  return journal_.commit_rows({progress_row(name, index, row)});
}

Result<bool> Checkpoints::indexed(const model::CollectionName& name) const {
  auto found = journal_.row(checkpoints, key(name, "i"));
  if (!found) return found.error();
  return found->has_value();
}

Result<void> Checkpoints::commit_indexed(const model::CollectionName& name) const {
  return journal_.commit_rows({{std::string(checkpoints), key(name, "i"), std::string(1, format)}});
}

Result<void> Checkpoints::forget_indexed(const model::CollectionName& name) const {
  return journal_.commit_rows({{std::string(checkpoints), key(name, "i"), std::nullopt}});
}

Result<void> Checkpoints::forget() const {
  return journal_.erase_rows(checkpoints, big_endian(generation_, 8));
}

Result<void> Checkpoints::forget(const model::CollectionName& name) const {
  return journal_.erase_rows(checkpoints, key(name, ""));
}

}  // namespace vmproxy::backfill
