// A collection as Milvus shows it, and as a model::Schema.
//
// Schema::native of a Milvus collection is an object: "describe" and "indexes" (hexadecimal text of the
// DescribeCollectionResponse and DescribeIndexResponse, without their status), "loaded" (whether it can be
// searched), "partitions" (hexadecimal text of the ShowPartitionsResponse), and, where there are any, "released" and
// "metrics".
#pragma once

#include <string>
#include <vector>

#include "model/schema.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

inline constexpr std::string_view default_database = "default";

// Space "" is the database "default".
std::string space_of(std::string_view database);
std::string database_of(std::string_view space);

struct Described {  // DescribeCollectionResponse
  CollectionSchema schema;
  int64_t id = 0;
  std::vector<std::string> virtual_channels, physical_channels;
  uint64_t created = 0, created_utc = 0;
  int32_t shards = 0;
  std::vector<std::string> aliases;
  Consistency consistency = Consistency::strong;
  std::string name;
  Pairs properties;
  std::string database;
  int64_t partitions = 0;
  std::string rest;
};
std::optional<Described> read_described(std::string_view bytes, Status* status = nullptr);
std::string encode(const Described& described);  // with a status of success

struct IndexInfo {  // IndexDescription
  std::string name;
  int64_t id = 0;
  Pairs params;
  std::string field;
  int64_t indexed_rows = 0, total_rows = 0, pending_rows = 0;
  int32_t state = 3;  // finished
  std::string failure;
};
std::optional<std::vector<IndexInfo>> read_indexes(std::string_view bytes, Status* status = nullptr);
std::string encode(const std::vector<IndexInfo>& indexes);

struct PartitionInfo {
  std::string name;
  int64_t id = 0;
  uint64_t created = 0, created_utc = 0;
};
std::optional<std::vector<PartitionInfo>> read_partitions(std::string_view bytes, Status* status = nullptr);
std::string encode(const std::vector<PartitionInfo>& partitions);

struct Collection {
  Described described;
  std::vector<IndexInfo> indexes;
  bool loaded = true;
  std::vector<PartitionInfo> partitions;
  std::vector<std::string> released;  // partitions that are not loaded though the collection is
  Pairs metrics;                      // of vectors whose index was dropped: field, metric

  bool released_partition(std::string_view name) const;
  const IndexInfo* index_of(std::string_view field) const;
  model::Metric metric_of(std::string_view field) const;
};
model::Value to_native(const Collection& collection);
std::optional<Collection> from_native(const model::Value& native);

model::Schema to_schema(const Collection& collection);
// What to create for a schema that another system's became.
Result<CollectionSchema> to_milvus(const model::Schema& schema);

model::Metric metric_named(std::string_view text);
std::string_view name_of(model::Metric metric);

// Scores as the API shows them from distances as the model holds them, and back.
double score_of(model::Metric metric, double distance);
double distance_of(model::Metric metric, double score);
// Scores are shown as float32, and come back as the bound of a search iterator's next page: the least distance whose score is
// shown as this one, so that hits that look equal lie on the same side of the bound.
double bound_of(model::Metric metric, double score);

}  // namespace vmproxy::protocols::milvus
