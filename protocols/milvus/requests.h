// Requests as the dialect reads them: where they go, and the records they carry.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/message.h"
#include "protocols/api/dialect.h"
#include "protocols/milvus/collection.h"
#include "protocols/milvus/expression.h"
#include "protocols/milvus/messages.h"
#include "protocols/milvus/rpcs.h"

namespace vmproxy::protocols::milvus {

// Largest message the server takes (proxy.grpc.serverMaxRecvSize).
inline constexpr uint64_t message_bytes_max = 64u << 20;

Result<std::string> message_of(const net::Request& request);
// The database that the request's metadata names; field 2 of its message goes before it.
std::string database_of(const net::Request& request, std::string_view in_message);

// Fields 2 (database) and 3 (collection) of most requests; 4 and 5 as text where they are.
struct Address {
  std::string database, collection, fourth, fifth;
  std::vector<std::string> fourths, fifths;  // where they are repeated
};
std::optional<Address> read_address(std::string_view message);

// A collection of the catalog by name or alias.
struct Found {
  const model::Schema* schema = nullptr;
  Collection collection;
};
std::optional<Found> find_collection(const Catalog& catalog, std::string_view database,
                                     std::string_view name);
Grammar grammar_of(const Catalog& catalog);

struct MutationRequest {  // InsertRequest, UpsertRequest
  Address address;
  std::vector<Column> columns;
  size_t rows = 0;
  // A field that may change what the write does (partial_update, field_ops, namespace, whatever comes after them), by
  // its number; 0: none is set.
  uint32_t unknown_field = 0;
};
std::optional<MutationRequest> read_mutation(std::string_view message);

struct DeleteRequest {
  Address address;
  std::string expression;
  Templates templates;
  uint32_t unknown_field = 0;  // as in MutationRequest
};
std::optional<DeleteRequest> read_delete(std::string_view message);

struct QueryRequest {
  Address address;
  std::string expression;
  std::vector<std::string> output_fields, partitions;
  Pairs params;
  Templates templates;
};
std::optional<QueryRequest> read_query(std::string_view message);

// An entry of map<string, TemplateValue>.
bool read_template(std::string_view entry, Templates& templates);

// The keys of "key in [...]" and "key == ..."; nothing for any other filter.
std::optional<std::vector<model::Key>> keys_of(const model::Filter& filter, std::string_view partition);

// Why an Upsert is not the whole record that it leaves behind; nothing: it is.
std::optional<std::string> not_an_image(const CollectionSchema& schema, const MutationRequest& request);

}  // namespace vmproxy::protocols::milvus
