// SearchRequest and SearchResults.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/record.h"
#include "model/schema.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

struct SearchRequest {
  std::string database, collection;
  std::vector<std::string> partitions;
  std::string expression;
  std::vector<model::Vector> vectors;
  std::vector<DataType> vector_types;  // as they came, one for each
  std::vector<std::string> output_fields;
  // of search_params
  std::string field;
  std::optional<model::Metric> metric;
  uint64_t top_k = 10;
  uint64_t offset = 0;
  std::optional<double> radius, range_filter;  // in the API's scores
  Pairs params;                                // as they came
  std::vector<std::string> template_values;    // map entries, raw
  // What we do not carry out; present: its name.
  std::optional<std::string> special;
  bool by_keys = false;
};
std::string encode(const SearchRequest& request);  // consistency level Strong
// Error invalid in Milvus' words, where the message can be read but not carried out.
Result<SearchRequest> read_search_request(std::string_view bytes);

struct SearchAnswer {
  int64_t queries = 0, top_k = 0;
  std::vector<Column> columns;
  std::vector<float> scores;
  Ids ids;
  std::vector<int64_t> top_ks;
  std::vector<std::string> output_fields;
  std::string collection;
};
std::optional<SearchAnswer> read_search_answer(std::string_view bytes);
std::string encode(const SearchAnswer& answer);  // with a status of success

}  // namespace vmproxy::protocols::milvus
