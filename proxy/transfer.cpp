#include "proxy/transfer.h"

#include <algorithm>

namespace vmproxy::proxy {
namespace {

const model::Schema& schema_of(Side side, const Collection& collection) {
  return side == Side::source ? collection.plan->source() : collection.plan->target();
}

Result<std::vector<model::Key>> keys_of(Side side, const Collection& collection, std::span<const model::Key> keys) {
  std::vector<model::Key> mapped;
  mapped.reserve(keys.size());
  for (const auto& key : keys) {
    if (side == Side::source) {
      mapped.push_back(key);
      continue;
    }
    auto there = collection.plan->key_to_target(key);
    if (!there) return there.error();
    mapped.push_back(std::move(*there));
  }
  return mapped;
}

}  // namespace

Result<std::vector<model::Record>> Transfer::read(Side side, const Collection& collection,
                                                  std::span<const model::Key> keys, Deadline deadline) const {
  auto mapped = keys_of(side, collection, keys);
  if (!mapped) return mapped.error();
  const size_t step = std::max<size_t>(1, driver(side).capabilities().batch_records_max);
  std::vector<model::Record> all;
  for (size_t from = 0; from < mapped->size(); from += step) {
    const std::span<const model::Key> part(mapped->data() + from, std::min(step, mapped->size() - from));
    auto records = driver(side).read(schema_of(side, collection), part, {}, deadline);
    if (!records) return records.error();
    for (auto& record : *records) {
      if (side == Side::source) {
        all.push_back(std::move(record));
        continue;
      }
      auto here = collection.plan->to_source(record);
      if (!here) return here.error();
      all.push_back(std::move(*here));
    }
  }
  return all;
}

Result<protocols::ApplyResult> Transfer::upsert(Side side, const Collection& collection,
                                                std::span<const model::Record> records, protocols::UpsertMode mode,
                                                Deadline deadline) const {
  protocols::ApplyResult result;
  std::vector<model::Record> mapped;
  std::vector<size_t> index;  // of mapped, in records
  mapped.reserve(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    if (side == Side::target) {
      auto there = collection.plan->to_target(records[i]);
      if (!there) {
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
    auto applied = driver(side).upsert(schema_of(side, collection), part, mode, deadline);
    if (!applied) return applied.error().not_whole(from > 0);
    for (auto& refusal : applied->refused) result.refused.push_back({index[from + refusal.index], std::move(refusal.error)});
  }
  return result;
}

Result<protocols::ApplyResult> Transfer::erase(Side side, const Collection& collection, std::span<const model::Key> keys,
                                               Deadline deadline) const {
  auto mapped = keys_of(side, collection, keys);
  if (!mapped) return mapped.error();
  const size_t step = std::max<size_t>(1, driver(side).capabilities().batch_records_max);
  protocols::ApplyResult result;
  for (size_t from = 0; from < mapped->size(); from += step) {
    const std::span<const model::Key> part(mapped->data() + from, std::min(step, mapped->size() - from));
    auto erased = driver(side).erase(schema_of(side, collection), part, deadline);
    if (!erased) return erased.error().not_whole(from > 0);
    for (auto& refusal : erased->refused) result.refused.push_back({from + refusal.index, std::move(refusal.error)});
  }
  return result;
}

Result<model::QueryResult> Transfer::query(Side side, const Collection& collection, const model::Query& query,
                                           Deadline deadline) const {
  if (side == Side::source) return driver(side).query(collection.plan->source(), query, deadline);
  auto there = collection.plan->to_target(query);
  if (!there) return there.error();
  auto answer = driver(side).query(collection.plan->target(), *there, deadline);
  if (!answer) return answer.error();
  return collection.plan->to_source(std::move(*answer));
}

}  // namespace vmproxy::proxy
