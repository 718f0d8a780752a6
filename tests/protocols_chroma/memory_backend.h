// A database of "another kind" in memory: the model's own meaning of every query and write, nothing else.
// Records are kept and given back in the order of insertion, as the real Chroma does, so that answers compare
// one to one.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>

#include "protocols/api/dialect.h"

namespace vmproxy::protocols::chroma::test {

class MemoryBackend final : public Backend {
 public:
  MemoryBackend() {
    using model::Object;
    catalog_.spaces.push_back(
        {"default_tenant", Object{{"name", "default_tenant"}, {"resource_name", nullptr}}});
    catalog_.spaces.push_back(
        {"default_tenant/default_database", Object{{"id", "00000000-0000-0000-0000-000000000000"},
                                                   {"name", "default_database"},
                                                   {"tenant", "default_tenant"}}});
  }

  const Catalog& catalog() const override { return catalog_; }
  Deadline deadline() const override { return TimePoint::max(); }
  model::Uuid new_uuid() override {
    if (!uuids.empty()) {
      const auto uuid = model::parse_uuid(uuids.front());
      uuids.pop_front();
      if (uuid) return *uuid;
    }
    model::Uuid uuid;
    uuid.bytes[15] = ++last_uuid_;
    return uuid;
  }
  std::deque<std::string> uuids;     // what new_uuid() gives next
  std::vector<model::Write> writes;  // all that came
  // Of the name that is created next: by another request, since the dialect looked.
  std::optional<model::Schema> made_beside;

  Result<model::WriteResult> write(const model::Write& write) override {
    using Kind = model::Write::Kind;
    writes.push_back(write);
    auto& records = records_[write.collection];
    model::WriteResult result;
    for (const auto& patch : write.patches) {
      const auto at = find(records, patch.key);
      if (at == records.end()) {
        if (write.kind == Kind::update_existing) continue;
        model::Record fresh;
        fresh.key = patch.key;
        records.push_back(apply(patch, fresh));
      } else if (write.kind != Kind::insert_if_absent) {
        *at = apply(patch, *at);
      }
      ++result.affected;
    }
    if (write.kind != Kind::delete_keys && write.kind != Kind::delete_where) return result;
    for (auto at = records.begin(); at != records.end();) {
      const bool named =
          write.keys.empty() || std::find(write.keys.begin(), write.keys.end(), at->key) != write.keys.end();
      const bool room = !write.limit || result.affected < *write.limit;
      if (named && room && (!write.filter || evaluate(*write.filter, *at))) {
        ++result.affected;
        result.deleted.push_back(at->key);
        at = records.erase(at);
      } else {
        ++at;
      }
    }
    return result;
  }

  Result<model::QueryResult> query(const model::Query& query) override {
    model::QueryResult result;
    std::vector<const model::Record*> matching;
    for (const auto& record : records_[query.collection]) {
      if (query.keys && std::find(query.keys->begin(), query.keys->end(), record.key) == query.keys->end())
        continue;
      if (!query.filter || evaluate(*query.filter, record)) matching.push_back(&record);
    }
    result.count = matching.size();
    if (query.kind == model::Query::Kind::get) {
      for (size_t i = query.offset;
           i < matching.size() && (!query.limit || result.records.size() < *query.limit); ++i) {
        result.records.push_back(*matching[i]);
      }
    }
    if (query.kind != model::Query::Kind::search) return result;
    const auto metric = catalog_.find(query.collection)->vectors[0].metric;
    for (const auto& vector : query.vectors) {
      auto& hits = result.hits.emplace_back();
      for (const auto* record : matching) {
        hits.push_back({*record, distance(metric, std::get<0>(vector), std::get<0>(record->vectors.at("")))});
      }
      // Ties in order of insertion.
      std::vector<model::Hit> nearest;
      while (!hits.empty() && nearest.size() < query.top_k) {
        const auto best = std::min_element(
            hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.distance < b.distance; });
        nearest.push_back(std::move(*best));
        hits.erase(best);
      }
      hits = std::move(nearest);
    }
    return result;
  }

  Result<model::Schema> change(const model::SchemaChange& change) override {
    auto& all = catalog_.collections;
    const auto at =
        std::find_if(all.begin(), all.end(), [&](const auto& schema) { return schema.name == change.name; });
    switch (change.kind) {
      case model::SchemaChange::Kind::create_collection:
        if (made_beside) return *made_beside;
        all.push_back(change.schema);
        break;
      case model::SchemaChange::Kind::drop_collection: all.erase(at); break;
      default: {
        auto node = records_.extract(change.name);
        if (!node.empty()) {
          node.key() = change.schema.name;
          records_.insert(std::move(node));
        }
        *at = change.schema;
      }
    }
    return change.schema;
  }

  Result<void> change_space(model::SchemaChange::Kind kind, const Space& space) override {
    if (kind == model::SchemaChange::Kind::create_space) {
      catalog_.spaces.push_back(space);
    } else {
      std::erase_if(catalog_.spaces, [&](const Space& one) { return one.path == space.path; });
    }
    return {};
  }

 private:
  static std::vector<model::Record>::iterator find(std::vector<model::Record>& records,
                                                   const model::Key& key) {
    return std::find_if(records.begin(), records.end(),
                        [&](const auto& record) { return record.key == key; });
  }
  static double distance(model::Metric metric, const model::DenseVector& a, const model::DenseVector& b) {
    double dot = 0, squares_a = 0, squares_b = 0, squares = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      dot += double(a[i]) * b[i];
      squares_a += double(a[i]) * a[i];
      squares_b += double(b[i]) * b[i];
      squares += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
    }
    if (metric == model::Metric::l2) return squares;
    return 1 - (metric == model::Metric::cosine ? dot / std::sqrt(squares_a * squares_b) : dot);
  }

  Catalog catalog_;
  std::map<model::CollectionName, std::vector<model::Record>> records_;
  uint8_t last_uuid_ = 0;
};

}  // namespace vmproxy::protocols::chroma::test
