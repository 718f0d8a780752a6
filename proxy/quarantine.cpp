#include "proxy/quarantine.h"

#include <algorithm>
#include <cstdio>

#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"

namespace vmproxy::proxy {
namespace {

constexpr uint8_t row_format = 3;  // 1: without the primary, which was the source; 2: none is unread

constexpr auto unix_ms_max = static_cast<uint64_t>(
    std::chrono::floor<std::chrono::milliseconds>(WallTime::max().time_since_epoch()).count());

enum class Change : uint8_t { erased = 0, written = 1, unread = 2 };

// Of the table of the state: the number that the next change gets. One that was shown to somebody never stands for another.
constexpr std::string_view next_row = "quarantine/next";

std::string row_key(uint64_t number) {
  char text[24];
  std::snprintf(text, sizeof text, "%020llu", static_cast<unsigned long long>(number));
  return text;
}

std::optional<Quarantined> parse(std::string_view key, std::string_view value) {
  model::Reader reader(value);
  const uint8_t format = reader.u8();
  if (format == 0 || format > row_format) return std::nullopt;
  Quarantined item;
  item.number = std::strtoull(std::string(key).c_str(), nullptr, 10);
  item.collection = reader.bytes();
  item.key = reader.bytes();
  item.reason = reader.bytes();
  const uint64_t since_unix_ms = reader.u64();
  const auto change = static_cast<Change>(reader.u8());
  if (change == Change::written) item.record = reader.record();
  item.unread = change == Change::unread;
  const uint8_t primary = format > 1 ? reader.u8() : 0;
  if (!reader.done() || change > Change::unread || primary > 1 || since_unix_ms > unix_ms_max)
    return std::nullopt;
  item.since_unix_ms = static_cast<int64_t>(since_unix_ms);
  item.primary = primary == 0 ? journal::Side::source : journal::Side::target;
  return item;
}

std::string name_of(const std::string& collection, const std::string& key) {
  return collection + '\0' + key;
}

size_t index_of(journal::Side primary) {
  return primary == journal::Side::source ? 0 : 1;
}

}  // namespace

Result<void> Quarantine::restore() {
  std::lock_guard hold(mutex_);
  std::optional<Error> unread;
  auto scanned = journal_.scan_rows(
      journal::rows::quarantine, "", "", [&](std::string_view key, std::string_view value) {
        const auto item = parse(key, value);
        if (!item) {
          // It may be the last copy of a record (H46), and who does not know which protects none.
          const uint8_t format = value.empty() ? row_format : static_cast<uint8_t>(value.front());
          unread = format > row_format
                       ? journal::unknown_format("a change in quarantine", format, row_format)
                       : Error(Code::corrupt,
                               "a change in quarantine cannot be read; run `vmproxy journal verify`");
          return false;
        }
        next_ = std::max<uint64_t>(next_, item->number + 1);
        take_in(item->number,
                {item->collection, name_of(item->collection, item->key), index_of(item->primary)});
        return true;
      });
  if (!scanned) return scanned;
  if (unread) return *unread;
  auto next = journal_.row(journal::rows::state, next_row);
  if (!next) return next.error();
  if (*next) next_ = std::max<uint64_t>(next_, std::strtoull((*next)->c_str(), nullptr, 10));
  return {};
}

void Quarantine::take_in(uint64_t number, Known known) {
  ++by_collection_[known.collection];
  by_key_[known.primary][known.name] = number;
  known_.emplace(number, std::move(known));
  count_ = known_.size();
}

void Quarantine::freeze_others_than(journal::Side primary) {
  std::lock_guard hold(mutex_);
  frozen_ = 1 - index_of(primary);
}

bool Quarantine::at_risk(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  return frozen_ && !by_key_[*frozen_].empty() && by_key_[*frozen_].contains(name_of(collection, key));
}

uint64_t Quarantine::at_risk_count() const {
  std::lock_guard hold(mutex_);
  return static_cast<uint64_t>(
      std::ranges::count_if(known_, [this](const auto& row) { return at_risk(row.second); }));
}

bool Quarantine::add(std::string collection, std::string key, std::string reason,
                     std::optional<model::Record> record, journal::Side primary) {
  Quarantined item;
  item.collection = std::move(collection);
  item.key = std::move(key);
  item.reason = std::move(reason);
  item.record = std::move(record);
  item.primary = primary;
  return put(item);
}

bool Quarantine::add_unread(std::string collection, std::string key, std::string reason,
                            journal::Side primary) {
  Quarantined item;
  item.collection = std::move(collection);
  item.key = std::move(key);
  item.reason = std::move(reason);
  item.unread = true;
  item.primary = primary;
  return put(item);
}

bool Quarantine::put(const Quarantined& item) {
  std::lock_guard hold(mutex_);
  model::Writer writer;
  writer.u8(row_format);
  writer.bytes(item.collection);
  writer.bytes(item.key);
  writer.bytes(item.reason);
  writer.u64(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count()));
  const Change change = item.unread ? Change::unread : item.record ? Change::written : Change::erased;
  writer.u8(static_cast<uint8_t>(change));
  if (item.record) writer.record(*item.record);
  writer.u8(item.primary == journal::Side::source ? 0 : 1);
  std::vector<journal::Row> rows{{std::string(journal::rows::quarantine), row_key(next_), writer.take()}};
  Known known{item.collection, name_of(item.collection, item.key), index_of(item.primary)};
  const auto earlier = by_key_[known.primary].find(known.name);
  const bool first = earlier == by_key_[known.primary].end();
  if (!first) {
    rows.push_back({std::string(journal::rows::quarantine), row_key(earlier->second), std::nullopt});
    known_.erase(earlier->second);
    --by_collection_[item.collection];
  }
  const uint64_t number = next_++;
  rows.push_back({std::string(journal::rows::state), std::string(next_row), std::to_string(next_)});
  journal_.put_rows(std::move(rows));
  take_in(number, std::move(known));  // who sees it counted finds it in list()
  return first;
}

// Some may be gone, or named twice.
void Quarantine::remove(const std::vector<uint64_t>& numbers) {
  if (numbers.empty()) return;
  std::lock_guard hold(mutex_);
  std::vector<journal::Row> rows;
  for (const uint64_t number : numbers) {
    const auto row = known_.find(number);
    if (row == known_.end()) continue;
    rows.push_back({std::string(journal::rows::quarantine), row_key(number), std::nullopt});
    const auto of_collection = by_collection_.find(row->second.collection);
    if (--of_collection->second == 0) by_collection_.erase(of_collection);
    auto& keys = by_key_[row->second.primary];
    const auto of_key = keys.find(row->second.name);
    if (of_key != keys.end() && of_key->second == number) keys.erase(of_key);
    known_.erase(row);
  }
  count_ = known_.size();
  if (!rows.empty()) journal_.put_rows(std::move(rows));
}

Result<void> Quarantine::each(const std::function<bool(Quarantined&)>& visit) const {
  return journal_.scan_latest_rows(journal::rows::quarantine, "", "",
                                   [&](std::string_view key, std::string_view value) {
                                     auto item = parse(key, value);
                                     return !item || visit(*item);
                                   });
}

Result<std::vector<Quarantined>> Quarantine::list(size_t max) const {
  std::vector<Quarantined> items;
  auto scanned = each([&](Quarantined& item) {
    item.record.reset();
    items.push_back(std::move(item));
    return items.size() < max;
  });
  if (!scanned) return scanned.error();
  return items;
}

Result<std::optional<Quarantined>> Quarantine::find(uint64_t number) {
  auto row = journal_.row(journal::rows::quarantine, row_key(number));
  if (!row) return row.error();
  if (!*row) return std::optional<Quarantined>();
  return parse(row_key(number), **row);
}

void Quarantine::remove_collection(const std::string& collection) {
  std::vector<uint64_t> numbers;
  {
    std::lock_guard hold(mutex_);
    for (const auto& [number, known] : known_) {
      // What may be the last copy is given up by a person only (H46).
      if (known.collection == collection && !at_risk(known)) numbers.push_back(number);
    }
  }
  remove(numbers);
}

bool Quarantine::holds(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  return by_collection_.contains(collection);
}

bool Quarantine::holds(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  const std::string name = name_of(collection, key);
  return by_key_[0].contains(name) || by_key_[1].contains(name);
}

std::optional<uint64_t> Quarantine::number_of(const std::string& collection, const std::string& key,
                                              journal::Side primary) const {
  std::lock_guard hold(mutex_);
  const auto& keys = by_key_[index_of(primary)];
  const auto at = keys.find(name_of(collection, key));
  return at == keys.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace vmproxy::proxy
