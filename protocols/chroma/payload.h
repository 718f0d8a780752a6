// Request bodies as values. Each read_* gives the body, or the server's refusal of it.
#pragma once

#include <boost/system/result.hpp>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "model/record.h"
#include "net/message.h"

namespace vmproxy::protocols::chroma {

// A value or the answer that refuses the request. Not Result: the refusal is a whole response.
template <class T>
using OrRefusal = std::variant<T, net::Response>;

enum class Include : uint8_t { distances, documents, embeddings, metadatas, uris };

// Embeddings as sent: JSON numbers or base64, one form for all of a request.
using Embedding = std::variant<model::DenseVector, std::string>;

struct Metadata {
  model::Object set;
  std::vector<std::string> unset;                  // null, which only update and upsert accept
  std::optional<std::string> sparse_vector_field;  // first field that holds one
};

template <class T>
using Column = std::optional<std::vector<std::optional<T>>>;

// add, upsert, update
struct RecordsPayload {
  std::vector<std::string> ids;
  Column<Embedding> embeddings;
  Column<std::string> documents;
  Column<std::string> uris;
  Column<Metadata> metadatas;
};
enum class RecordsCall : uint8_t { add, upsert, update };
OrRefusal<RecordsPayload> read_records(RecordsCall call, std::string_view body);

struct DeletePayload {
  std::optional<std::vector<std::string>> ids;
  model::Value where;  // null: none
  model::Value where_document;
  std::optional<uint32_t> limit;
};
OrRefusal<DeletePayload> read_delete(std::string_view body);

struct GetPayload {
  std::optional<std::vector<std::string>> ids;
  model::Value where;
  model::Value where_document;
  std::optional<uint32_t> limit;
  std::optional<uint32_t> offset;
  std::vector<Include> include{Include::documents, Include::metadatas};
};
OrRefusal<GetPayload> read_get(std::string_view body);

struct QueryPayload {
  std::optional<std::vector<std::string>> ids;
  model::Value where;
  model::Value where_document;
  std::vector<model::DenseVector> embeddings;
  std::optional<uint32_t> n_results;
  std::vector<Include> include{Include::documents, Include::metadatas, Include::distances};
};
OrRefusal<QueryPayload> read_query(std::string_view body);

std::string_view name_of(Include include);
bool includes(const std::vector<Include>& list, Include what);

struct HnswConfiguration {
  std::optional<std::string> space;
  std::optional<uint64_t> ef_construction, ef_search, max_neighbors, num_threads, sync_threshold, batch_size;
  std::optional<double> resize_factor;
};
struct CollectionConfiguration {
  std::optional<HnswConfiguration> hnsw;
  std::optional<HnswConfiguration> spann;  // of which the local server takes the space
  std::optional<model::Value> embedding_function;
};

struct CreateCollectionPayload {
  std::string name;
  std::optional<Metadata> metadata;
  std::optional<CollectionConfiguration> configuration;
  std::optional<model::Value> schema;
  bool get_or_create = false;
};
OrRefusal<CreateCollectionPayload> read_create_collection(std::string_view body);

struct UpdateCollectionPayload {
  std::optional<std::string> new_name;
  std::optional<Metadata> new_metadata;
  std::optional<CollectionConfiguration> new_configuration;
};
OrRefusal<UpdateCollectionPayload> read_update_collection(std::string_view body);

// A body with one string that must be there: {"name": ...}, {"resource_name": ...}.
OrRefusal<std::string> read_name(std::string_view body, std::string_view type, std::string_view field);

}  // namespace vmproxy::protocols::chroma
