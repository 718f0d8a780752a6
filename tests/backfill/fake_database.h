// FakeDatabase: a Driver over a map, for the tests of the copy and the validation. Scripted: faults before
// any call, changes after a scan has read its page, duplicates in what it shows. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "protocols/api/driver.h"
#include "tests/mapping/sides.h"

namespace vmproxy::fake {

using model::Key;
using model::Record;

inline Key key_of(const std::string& id) {
  return {"", {id}};
}

inline Record record_of(const std::string& id, int64_t version = 1) {
  Record record;
  record.key = key_of(id);
  record.vectors[""] = model::DenseVector{1.0f, 2.0f, static_cast<float>(version)};
  record.document = "text of " + id;
  record.metadata = model::Object{{"version", version}};
  return record;
}

class FakeDatabase final : public protocols::Driver {
 public:
  explicit FakeDatabase(model::Capabilities capabilities = sides::everything())
      : capabilities_(capabilities) {}

  using Rows = std::map<Key, Record>;

  // --- the script
  // Asked before each call ("scan", "read", "count", ...): an error ends it.
  std::function<std::optional<Error>(const std::string& call)> fault;
  // After a page was read, before it is returned; not under the lock.
  std::function<void(protocols::ScanPage& page, const protocols::ReadParts& parts)> after_scan;
  // After records were read by key, before they are returned.
  std::function<void(std::vector<Record>& records)> after_read;
  bool counts = true;  // can it count?
  // From now on this key's record is there, and what it holds cannot be read.
  void spoil(const Key& key, const Error& error) {
    std::lock_guard hold(mutex_);
    spoilt_.insert_or_assign(key, error);
  }
  bool spoilt(const Key& key) const {
    std::lock_guard hold(mutex_);
    return spoilt_.contains(key);
  }

  // --- looking and changing beside the API
  void put(const std::string& collection, Record record) {
    std::lock_guard hold(mutex_);
    collections_[collection][record.key] = std::move(record);
  }
  void put_if_absent(const std::string& collection, Record record) {
    std::lock_guard hold(mutex_);
    auto key = record.key;
    collections_[collection].emplace(std::move(key), std::move(record));
  }
  std::optional<Record> find(const std::string& collection, const Key& key) const {
    std::lock_guard hold(mutex_);
    const auto rows = collections_.find(collection);
    if (rows == collections_.end()) return std::nullopt;
    const auto row = rows->second.find(key);
    return row == rows->second.end() ? std::nullopt : std::optional(row->second);
  }
  void remove(const std::string& collection, const Key& key) {
    std::lock_guard hold(mutex_);
    collections_[collection].erase(key);
  }
  Rows rows(const std::string& collection) const {
    std::lock_guard hold(mutex_);
    const auto found = collections_.find(collection);
    return found == collections_.end() ? Rows{} : found->second;
  }
  void fill(const std::string& collection, int count) {
    for (int i = 0; i < count; ++i) put(collection, record_of(name(i)));
  }
  static std::string name(int i) {
    std::string digits = std::to_string(i);
    return "r" + std::string(6 - std::min<size_t>(6, digits.size()), '0') + digits;
  }
  std::atomic<uint64_t> scans{0}, scanned{0}, reads{0}, plans{0}, indexes_built{0};
  std::atomic<size_t> largest_page{0};

  // --- Driver
  std::string_view system() const override { return "fake"; }
  const model::Capabilities& capabilities() const override { return capabilities_; }
  Result<protocols::ServerInfo> describe_server(Deadline) override { return protocols::ServerInfo{}; }
  Result<std::vector<protocols::Space>> list_spaces(Deadline) override {
    return std::vector<protocols::Space>{};
  }
  Result<std::vector<model::Schema>> list_collections(Deadline) override {
    return std::vector<model::Schema>{};
  }
  Result<std::optional<model::Schema>> describe(const model::CollectionName&, Deadline) override {
    return std::optional<model::Schema>();
  }
  model::CollectionName name_for(const model::CollectionName& name) const override { return name; }
  Result<void> create(const model::Schema&, Deadline) override { return {}; }
  Result<void> alter(const model::CollectionName&, const model::Schema&, Deadline) override { return {}; }
  Result<void> drop(const model::CollectionName&, Deadline) override { return {}; }
  Result<void> build_indexes(const model::Schema&, Deadline) override {
    if (auto error = ask("build_indexes")) return *error;
    ++indexes_built;
    return {};
  }

  Result<std::vector<Record>> read(const model::Schema& schema, std::span<const Key> keys,
                                   protocols::ReadParts parts, Deadline deadline) override {
    auto found = read_each(schema, keys, parts, deadline);
    if (!found) return found.error();
    if (!found->refused.empty()) return found->refused.front().error;
    return std::move(found->records);
  }
  Result<protocols::ReadResult> read_each(const model::Schema& schema, std::span<const Key> keys,
                                          protocols::ReadParts parts, Deadline) override {
    if (auto error = ask("read")) return *error;
    ++reads;
    protocols::ReadResult found;
    {
      std::lock_guard hold(mutex_);
      const auto& rows = collections_[model::to_string(schema.name)];
      for (size_t i = 0; i < keys.size(); ++i) {
        const auto row = rows.find(keys[i]);
        if (row == rows.end()) continue;
        if (const auto why = unread(keys[i], parts)) {
          found.refused.push_back({i, *why});
        } else {
          found.records.push_back(cut(row->second, parts));
        }
      }
    }
    if (after_read) after_read(found.records);
    return found;
  }
  Result<protocols::ApplyResult> upsert(const model::Schema& schema, std::span<const Record> records,
                                        protocols::UpsertMode mode, Deadline) override {
    if (auto error = ask("upsert")) return *error;
    std::lock_guard hold(mutex_);
    auto& rows = collections_[model::to_string(schema.name)];
    for (const auto& record : records) {
      if (inserts(mode)) {
        rows.emplace(record.key, record);
      } else {
        rows[record.key] = record;
      }
    }
    return protocols::ApplyResult{};
  }
  Result<protocols::ApplyResult> erase(const model::Schema& schema, std::span<const Key> keys,
                                       Deadline) override {
    if (auto error = ask("erase")) return *error;
    std::lock_guard hold(mutex_);
    for (const auto& key : keys) collections_[model::to_string(schema.name)].erase(key);
    return protocols::ApplyResult{};
  }
  Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query,
                                   Deadline) override {
    if (auto error = ask("count")) return *error;
    if (!counts || query.kind != model::Query::Kind::count)
      return Error(Code::unsupported, "query: not here");
    model::QueryResult result;
    result.count = rows(model::to_string(schema.name)).size();
    return result;
  }

  // Range i of n: keys whose last digit modulo n is i, in their order; the cursor is the last key.
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema&, size_t ranges_wanted,
                                                      Deadline) override {
    if (auto error = ask("plan")) return *error;
    ++plans;
    std::vector<protocols::ScanRange> ranges;
    const size_t count = std::min(ranges_wanted, ranges_most);
    for (size_t i = 0; i < count; ++i) ranges.push_back({std::to_string(i) + "/" + std::to_string(count)});
    return ranges;
  }
  Result<protocols::ScanPage> scan(const model::Schema& schema, const protocols::ScanRange& range,
                                   const std::string& cursor, size_t records_max, protocols::ReadParts parts,
                                   Deadline) override {
    if (auto error = ask("scan")) return *error;
    ++scans;
    const size_t slash = range.bytes.find('/');
    const size_t index = std::stoul(range.bytes), count = std::stoul(range.bytes.substr(slash + 1));
    protocols::ScanPage page;
    page.cursor = cursor;
    page.done = true;
    {
      std::lock_guard hold(mutex_);
      for (const auto& [key, record] : collections_[model::to_string(schema.name)]) {
        const std::string encoded = model::encode(key);
        if (!cursor.empty() && encoded <= cursor) continue;
        if (std::hash<std::string>{}(encoded) % count != index) continue;
        if (page.records.size() + page.unread.size() == records_max) {
          page.done = false;
          break;
        }
        if (const auto why = unread(key, parts)) {
          page.unread.push_back({key, *why});
        } else {
          page.records.push_back(cut(record, parts));
        }
        page.cursor = encoded;
      }
    }
    scanned += page.records.size();
    size_t largest = largest_page;
    while (page.records.size() > largest &&
           !largest_page.compare_exchange_weak(largest, page.records.size())) {
    }
    if (after_scan) after_scan(page, parts);
    return page;
  }

  size_t ranges_most = 4;

 private:
  std::optional<Error> ask(const std::string& call) const {
    if (!fault) return std::nullopt;
    return fault(call);
  }
  // Lock held.
  std::optional<Error> unread(const Key& key, const protocols::ReadParts& parts) const {
    const auto why = spoilt_.find(key);
    const bool asked = parts.vectors || parts.content;
    return asked && why != spoilt_.end() ? std::optional(why->second) : std::nullopt;
  }
  static Record cut(const Record& record, const protocols::ReadParts& parts) {
    Record out = record;
    if (!parts.vectors) out.vectors.clear();
    if (!parts.content) {
      out.document.reset();
      out.metadata.reset();
    }
    return out;
  }

  const model::Capabilities capabilities_;
  mutable std::mutex mutex_;
  std::map<std::string, Rows> collections_;
  std::map<Key, Error> spoilt_;
};

}  // namespace vmproxy::fake
