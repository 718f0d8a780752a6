// A database of "another kind" in memory: the model's own meaning of every query and write, nothing else.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>

#include "protocols/api/dialect.h"

namespace vmproxy::protocols::milvus::test {

class MemoryBackend final : public Backend {
 public:
  MemoryBackend() {
    catalog_.server = model::Object{{"version", "v2.3.5-lite"}};
    catalog_.spaces.push_back({"default", {}});
  }

  const Catalog& catalog() const override { return catalog_; }
  Deadline deadline() const override { return TimePoint::max(); }
  model::Uuid new_uuid() override {
    model::Uuid uuid;
    uuid.bytes[6] = ++last_uuid_;
    uuid.bytes[7] = 0x40;
    return uuid;
  }

  Result<model::WriteResult> write(const model::Write& write) override {
    using Kind = model::Write::Kind;
    auto& records = records_[write.collection];
    model::WriteResult result;
    for (const auto& patch : write.patches) {
      const auto at = records.find(patch.key);
      model::Record before;
      before.key = patch.key;
      if (at != records.end() && write.kind != Kind::replace) before = at->second;
      records[patch.key] = apply(patch, before);
      ++result.affected;
    }
    if (write.kind != Kind::delete_keys && write.kind != Kind::delete_where) return result;
    for (auto at = records.begin(); at != records.end();) {
      const auto& parts = write.partitions;
      if (!parts.empty() && std::find(parts.begin(), parts.end(), at->first.partition) == parts.end()) {
        ++at;
        continue;
      }
      const bool named = write.keys.empty() ||
                         std::find(write.keys.begin(), write.keys.end(), at->first) != write.keys.end();
      if (named && (!write.filter || evaluate(*write.filter, at->second))) {
        ++result.affected;
        result.deleted.push_back(at->first);
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
    for (const auto& [key, record] : records_[query.collection]) {
      const auto listed = [](const auto& all, const auto& one) {
        return std::find(all.begin(), all.end(), one) != all.end();
      };
      if (query.keys && !listed(*query.keys, key)) continue;
      if (!query.partitions.empty() && !listed(query.partitions, key.partition)) continue;
      if (!query.filter || evaluate(*query.filter, record)) matching.push_back(&record);
    }
    result.count = matching.size();
    if (query.kind == model::Query::Kind::get) {
      for (size_t i = query.offset;
           i < matching.size() && (!query.limit || result.records.size() < *query.limit); ++i)
        result.records.push_back(*matching[i]);
    }
    if (query.kind != model::Query::Kind::search) return result;
    for (const auto& vector : query.vectors) {
      std::vector<model::Hit> hits;
      for (const auto* record : matching) {
        const double d =
            distance(*query.metric, std::get<0>(vector), std::get<0>(record->vectors.at(query.vector_name)));
        if (query.radius && !(d < *query.radius)) continue;
        if (query.range_filter && !(d >= *query.range_filter)) continue;
        const auto behind = std::upper_bound(hits.begin(), hits.end(), d,
                                             [](double of, const auto& hit) { return of < hit.distance; });
        hits.insert(behind, {*record, d});
      }
      hits.erase(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(
                                                  std::min<uint64_t>(query.search_offset, hits.size())));
      if (hits.size() > query.top_k) hits.resize(query.top_k);
      result.hits.push_back(std::move(hits));
    }
    return result;
  }

  Result<model::Schema> change(const model::SchemaChange& change) override {
    auto& all = catalog_.collections;
    const auto at =
        std::find_if(all.begin(), all.end(), [&](const auto& schema) { return schema.name == change.name; });
    switch (change.kind) {
      case model::SchemaChange::Kind::create_collection: all.push_back(change.schema); break;
      case model::SchemaChange::Kind::drop_collection:
        records_.erase(change.name);
        all.erase(at);
        break;
      default: {
        const model::Schema now = change.schema;
        auto node = records_.extract(change.name);
        if (!node.empty()) {
          node.key() = now.name;
          records_.insert(std::move(node));
        }
        *at = now;
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

  Catalog catalog_;

 private:
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

  std::map<model::CollectionName, std::map<model::Key, model::Record>> records_;
  uint8_t last_uuid_ = 0;
};

}  // namespace vmproxy::protocols::milvus::test
