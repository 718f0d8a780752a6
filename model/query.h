// Query: a decoded read. QueryResult: its answer, before a dialect gives it the shape of an API.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/filter.h"
#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::model {

// What a read has to show. `strong`: every write that was acknowledged, whoever wrote. `session`: those of the driver that
// is asked, and what others wrote a moment ago, which a system with Capabilities::read_wait may answer without that wait.
enum class Consistency { strong, session };

struct Query {
  enum class Kind { get, search, count };

  Kind kind = Kind::get;
  CollectionName collection;
  std::vector<std::string> partitions;   // empty: all
  std::optional<std::vector<Key>> keys;  // only these ids (with `filter`, both must hold)
  std::optional<Filter> filter;
  std::optional<uint64_t> limit;  // of get; absent: all
  uint64_t offset = 0;            // get: after ordering by id
  // search
  std::string vector_name;
  std::vector<Vector> vectors;  // one answer list each
  uint64_t top_k = 10;
  uint64_t search_offset = 0;
  std::optional<Metric> metric;        // absent: the field's own
  std::optional<double> radius;        // only hits with distance < radius (our distance form)
  std::optional<double> range_filter;  // ... and distance >= this
  // what to return
  bool with_vectors = false;
  bool with_document = true;
  bool with_metadata = true;
  std::optional<std::vector<std::string>> fields;  // only these metadata fields
  Consistency consistency = Consistency::strong;
};

struct Hit {
  Record record;
  double distance = 0;  // in the form of schema.h
};

struct QueryResult {
  std::vector<Record> records;         // get
  std::vector<std::vector<Hit>> hits;  // search: one list per query vector, nearest first
  uint64_t count = 0;                  // count
};

}  // namespace vmproxy::model
