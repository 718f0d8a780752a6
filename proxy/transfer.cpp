#include "proxy/transfer.h"

#include <algorithm>
#include <tuple>

namespace vmproxy::proxy {
namespace {

const model::Schema& schema_of(Side side, const Collection& collection) {
  return side == Side::source ? collection.plan->source() : collection.plan->target();
}

struct Mapped {
  std::vector<model::Key> keys;
  std::vector<size_t> index;  // of each, among those that were asked for
};

// A key that has no form on the target is left out: every record came there by this mapping, so none has it. Mapping is pure,
// so that is so for good; any other error is not taken for it.
Result<Mapped> keys_of(Side side, const Collection& collection, std::span<const model::Key> keys) {
  Mapped mapped;
  mapped.keys.reserve(keys.size());
  mapped.index.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (side == Side::source) {
      mapped.keys.push_back(keys[i]);
    } else {
      auto there = collection.plan->key_to_target(keys[i]);
      if (!there && there.error().code == Code::invalid) continue;
      if (!there) return there.error();
      mapped.keys.push_back(std::move(*there));
    }
    mapped.index.push_back(i);
  }
  return mapped;
}

}  // namespace

Result<std::vector<model::Record>> Transfer::read(Side side, const Collection& collection,
                                                  std::span<const model::Key> keys, Deadline deadline,
                                                  model::Consistency consistency) const {
  auto found = read_each(side, collection, keys, deadline, consistency);
  if (!found) return found.error();
  if (!found->refused.empty()) return std::move(found->refused.front().error);
  return std::move(found->records);
}

Result<protocols::ReadResult> Transfer::read_each(Side side, const Collection& collection,
                                                  std::span<const model::Key> keys, Deadline deadline,
                                                  model::Consistency consistency) const {
  protocols::ReadParts parts;
  parts.consistency = consistency;
  auto mapped = keys_of(side, collection, keys);
  if (!mapped) return mapped.error();
  const size_t step = std::max<size_t>(1, driver(side).capabilities().batch_records_max);
  protocols::ReadResult all;
  for (size_t from = 0; from < mapped->keys.size(); from += step) {
    const std::span<const model::Key> part(mapped->keys.data() + from,
                                           std::min(step, mapped->keys.size() - from));
    auto found = driver(side).read_each(schema_of(side, collection), part, parts, deadline);
    if (!found) return found.error();
    for (auto& refusal : found->refused)
      all.refused.push_back({mapped->index[from + refusal.index], std::move(refusal.error)});
    for (auto& record : found->records) {
      if (side == Side::source) {
        all.records.push_back(std::move(record));
        continue;
      }
      auto here = collection.plan->to_source(record);
      if (!here) return here.error();
      all.records.push_back(std::move(*here));
    }
  }
  return all;
}

Result<protocols::ApplyResult> Transfer::upsert(Side side, const Collection& collection,
                                                std::span<const model::Record> records,
                                                protocols::UpsertMode mode, Deadline deadline) const {
  protocols::ApplyResult result;
  std::vector<model::Record> mapped;
  std::vector<size_t> index;  // of mapped, in records
  mapped.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    if (side == Side::target) {
      auto there = collection.plan->to_target(records[i]);
      if (!there) {
        if (all_or_none(mode)) return there.error();
        result.refused.push_back({i, there.error()});
        continue;
      }
      mapped.push_back(std::move(*there));
    } else {
      mapped.push_back(records[i]);
    }
    index.push_back(i);
  }
  const size_t step = std::max<size_t>(1, driver(side).capabilities().batch_records_max);
  for (size_t from = 0; from < mapped.size(); from += step) {
    const std::span<const model::Record> part(mapped.data() + from, std::min(step, mapped.size() - from));
    // Behind the first piece something is done: what is refused there is refused record by record.
    const auto later = inserts(mode) ? protocols::UpsertMode::insert_only : protocols::UpsertMode::replace;
    auto applied = driver(side).upsert(schema_of(side, collection), part, from == 0 ? mode : later, deadline);
    if (!applied) return applied.error().not_whole(from > 0);
    for (auto& refusal : applied->refused)
      result.refused.push_back({index[from + refusal.index], std::move(refusal.error)});
  }
  return result;
}

Result<protocols::ApplyResult> Transfer::erase(Side side, const Collection& collection,
                                               std::span<const model::Key> keys, Deadline deadline) const {
  auto mapped = keys_of(side, collection, keys);
  if (!mapped) return mapped.error();
  const size_t step = std::max<size_t>(1, driver(side).capabilities().batch_records_max);
  protocols::ApplyResult result;
  for (size_t from = 0; from < mapped->keys.size(); from += step) {
    const std::span<const model::Key> part(mapped->keys.data() + from,
                                           std::min(step, mapped->keys.size() - from));
    auto erased = driver(side).erase(schema_of(side, collection), part, deadline);
    if (!erased) return erased.error().not_whole(from > 0);
    for (auto& refusal : erased->refused)
      result.refused.push_back({mapped->index[from + refusal.index], std::move(refusal.error)});
  }
  return result;
}

Result<model::QueryResult> Transfer::query(Side side, const Collection& collection, const model::Query& query,
                                           Deadline deadline) const {
  if (side == Side::source) return driver(side).query(collection.plan->source(), query, deadline);
  const bool cuts = query.kind == model::Query::Kind::get && (query.limit || query.offset > 0);
  if (cuts && !collection.plan->keeps_order()) return cut_here(collection, query, deadline);
  return ask_target(collection, query, deadline);
}

Result<model::QueryResult> Transfer::ask_target(const Collection& collection, const model::Query& query,
                                                Deadline deadline) const {
  auto there = collection.plan->to_target(query);
  if (!there) return there.error();
  auto answer = driver(Side::target).query(collection.plan->target(), *there, deadline);
  if (!answer) return answer.error();
  return collection.plan->to_source(std::move(*answer));
}

Result<model::QueryResult> Transfer::cut_here(const Collection& collection, const model::Query& query,
                                              Deadline deadline) const {
  model::Query all = query;
  all.limit.reset();
  all.offset = 0;
  const uint64_t offset = query.offset, limit = query.limit.value_or(UINT64_MAX);
  uint64_t matches = query.keys ? query.keys->size() : 0;
  if (!query.keys) {
    model::Query count = all;
    count.kind = model::Query::Kind::count;
    auto counted = ask_target(collection, count, deadline);
    if (!counted) return counted.error();
    matches = counted->count;
  }
  if (matches > ordered_max) {
    return Error(Code::unsupported, "query.order: of " + std::to_string(matches) +
                                        " matches only some are asked for, and the target keeps ids of "
                                        "another form in another order; up to " +
                                        std::to_string(ordered_max) + " are put in order here");
  }
  const auto cut = [](std::vector<model::Record>& records, uint64_t skip, uint64_t keep) {
    std::sort(records.begin(), records.end(), [](const model::Record& a, const model::Record& b) {
      return std::tie(a.key.id, a.key.partition) < std::tie(b.key.id, b.key.partition);
    });
    records.erase(records.begin(),
                  records.begin() + static_cast<std::ptrdiff_t>(std::min<uint64_t>(skip, records.size())));
    if (records.size() > keep) records.resize(keep);
  };
  if (offset == 0 && matches <= limit) {
    auto whole = ask_target(collection, all, deadline);
    if (whole) cut(whole->records, 0, limit);
    return whole;
  }
  model::Query bare = all;
  bare.with_vectors = bare.with_document = bare.with_metadata = false;
  auto found = ask_target(collection, bare, deadline);
  if (!found) return found.error();
  cut(found->records, offset, limit);
  if (found->records.empty()) return found;
  all.keys.emplace();
  for (auto& record : found->records) all.keys->push_back(std::move(record.key));
  auto page = ask_target(collection, all, deadline);
  if (page) cut(page->records, 0, limit);
  return page;
}

}  // namespace vmproxy::proxy
