// Answers to the calls from another database, by subject. Each is what the server answers, its refusals
// included. An Error means that the backend failed or that it cannot be answered faithfully.
#pragma once

#include <string>

#include "protocols/api/dialect.h"
#include "protocols/milvus/requests.h"
#include "protocols/milvus/rpcs.h"

namespace vmproxy::protocols::milvus {

struct Asked {
  Rpc rpc;
  const net::Request& request;
  std::string message;
  Backend& backend;

  std::string database(std::string_view in_message) const { return database_of(request, in_message); }
};

using Answer = Result<net::Response>;

Answer serve_server(Asked& asked);       // connect, version, health, databases, flush
Answer serve_collections(Asked& asked);  // what exists: collections, aliases, loading, partitions, statistics
// ... of those the calls about partitions of a collection, which `address` names.
Answer serve_partitions(Asked& asked, const Found& found, const Address& address);
Answer serve_indexes(Asked& asked);
Answer serve_writes(Asked& asked);
Answer serve_query(Asked& asked);
Answer serve_search(Asked& asked);

// A message in a gRPC answer, and a failed call in the shape that its RPC has.
net::Response answer(std::string_view message);
net::Response answer(Rpc rpc, const Status& status);
net::Response done(Rpc rpc);
net::Response grpc_refusal(int code, std::string_view text);

// merr's numbers with the number of old that the server sends beside them.
Status failure(int32_t code, std::string reason);
// What the server says of a call that it had no room for (merr.ErrServiceRateLimit): it may be made again.
Status rate_limited(std::string reason);
Status collection_not_found(std::string_view database, std::string_view collection);
Status not_loaded(const Collection& collection, std::string_view action);
// Of a read: the collection, or a partition that it names, is not loaded.
std::optional<Status> refuse_unloaded(const Collection& collection,
                                      const std::vector<std::string>& partitions, std::string_view action);

// The collection that a call names, or the server's refusal.
struct Target {
  std::optional<Found> found;
  std::string database, name;
  Status refusal() const { return collection_not_found(database, name); }
};
Target target_of(const Asked& asked, std::string_view database, std::string_view name);

// The names of partitions that a read is limited to, in the model's form; nothing: one does not exist.
std::optional<std::vector<std::string>> partitions_of(const Collection& collection,
                                                      const std::vector<std::string>& names, Status& refusal);

// Where the records of "id in [...]" can be: each of its keys in each of these partitions (of partitions_of(); empty:
// all). Nothing: the filter is another one, or they are too many to be asked for one by one.
std::optional<std::vector<model::Key>> keys_in(const model::Schema& schema, const model::Filter& filter,
                                               const std::vector<std::string>& partitions);

// GetCollectionStatistics and its like; none: of all partitions.
Answer statistics(Asked& asked, const Found& found, const std::vector<std::string>& partitions);

// What names of collections and partitions begin with; digits may follow.
inline constexpr std::string_view name_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
// Ids and times of creation as the server gives them out.
int64_t new_number(Backend& backend);
uint64_t milliseconds_now();

// Puts what the collection shows now where it is kept.
Result<void> keep(Asked& asked, const Found& found, const Collection& now);

// Which fields a read asks for; nothing: one does not exist.
struct Wanted {
  bool count = false;
  bool vectors = false, metadata = false;
  std::optional<std::vector<std::string>> fields;  // for Query::fields
  std::vector<std::string> columns;                // static fields, in order
  std::vector<std::string> members;                // of $meta
  bool meta = false, meta_whole = false;
  std::vector<std::string> output_fields;  // as the answer lists them
};
std::optional<Wanted> wanted_fields(const CollectionSchema& schema, const std::vector<std::string>& names,
                                    bool with_key, Status& refusal);

}  // namespace vmproxy::protocols::milvus
