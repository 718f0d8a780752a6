// The client half of Milvus.
//
// A record of the default partition has the partition ""; of another one its name.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "protocols/api/driver.h"
#include "protocols/milvus/client.h"
#include "protocols/milvus/collection.h"
#include "protocols/milvus/expression.h"
#include "protocols/milvus/overlap.h"
#include "protocols/milvus/rows.h"
#include "protocols/milvus/session.h"

namespace vmproxy::protocols::milvus {

class MilvusDriver final : public Driver {
 public:
  MilvusDriver(Client client, std::string home_database, Clock& clock);

  std::string_view system() const override { return "milvus"; }
  // Of 2.3 until describe_server() has found a newer one.
  const Capabilities& capabilities() const override;
  Result<ServerInfo> describe_server(Deadline deadline) override;

  Result<std::vector<Space>> list_spaces(Deadline deadline) override;
  Result<std::vector<model::Schema>> list_collections(Deadline deadline) override;
  Result<std::optional<model::Schema>> describe(const model::CollectionName& name,
                                                Deadline deadline) override;
  model::CollectionName name_for(const model::CollectionName& name) const override;
  Result<void> create(const model::Schema& schema, Deadline deadline) override;
  Result<void> alter(const model::CollectionName& now, const model::Schema& wanted,
                     Deadline deadline) override;
  Result<void> drop(const model::CollectionName& name, Deadline deadline) override;
  Result<void> build_indexes(const model::Schema& schema, Deadline deadline) override;

  Result<std::vector<model::Record>> read(const model::Schema& schema, std::span<const model::Key> keys,
                                          ReadParts parts, Deadline deadline) override;
  // Refused are the keys in partitions that an application released, and those of records with JSON that cannot be carried.
  Result<ReadResult> read_each(const model::Schema& schema, std::span<const model::Key> keys, ReadParts parts,
                               Deadline deadline) override;
  std::string session(const model::Schema& schema, std::span<const model::Key> keys) const override;
  Result<ApplyResult> upsert(const model::Schema& schema, std::span<const model::Record> records,
                             UpsertMode mode, Deadline deadline) override;
  Result<ApplyResult> erase(const model::Schema& schema, std::span<const model::Key> keys,
                            Deadline deadline) override;
  Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query,
                                   Deadline deadline) override;
  Result<std::vector<ScanRange>> plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                           Deadline deadline) override;
  Result<ScanPage> scan(const model::Schema& schema, const ScanRange& range, const std::string& cursor,
                        size_t records_max, ReadParts parts, Deadline deadline) override;

 private:
  struct Rows {
    std::string expression;
    std::span<const model::Key> keys;  // the only ones that the expression lets through; none: any
    std::vector<std::string> partitions;
    std::optional<uint64_t> limit;
    uint64_t offset = 0;
    // The server waits until it has seen everything up to there. 0: as `consistency` asks.
    uint64_t timestamp = 0;
    model::Consistency consistency = model::Consistency::strong;
    bool past = false;     // of a scan: what is written meanwhile is mirrored
    bool ordered = false;  // the smallest keys first
    const Overlap::Read* since =
        nullptr;  // of several requests at one timestamp: began before that was taken
  };
  using Shape = std::shared_ptr<const CollectionSchema>;

  // What the server says of the collection's fields; kept until the schema's incarnation or id changes, or what the server
  // showed of it.
  Result<Shape> shape_of(const model::Schema& schema, Deadline deadline);
  void forget(const model::CollectionName& name);
  // A collection whose dimension is open (open_dimension.h) is made anew with that of the records. Nothing is done where
  // they do not tell it, or the collection holds records.
  Result<void> settle_dimension(const model::Schema& schema, std::span<const model::Record> records,
                                Deadline deadline);
  // Was the collection being made anew at some time since settlings() was `since`? Waits for its end.
  bool was_settling(const model::CollectionName& name, uint64_t since, Deadline deadline);
  uint64_t settlings() const;  // that have ended
  // Work on a collection as it is: begins when nobody makes it anew, and nobody does until it has ended.
  Result<void> as_it_is(const model::CollectionName& name, Deadline deadline,
                        const std::function<Result<void>()>& work);
  // create(), while nobody makes the collection anew.
  Result<void> make(const model::Schema& schema, Deadline deadline);
  Result<void> make_index(const model::CollectionName& name, const model::VectorField& vector,
                          Deadline deadline);
  // describe(), whether or not the collection is being made anew.
  Result<std::optional<model::Schema>> describe_now(const model::CollectionName& name, Deadline deadline);
  Result<Collection> look_at(const model::CollectionName& name, Deadline deadline);
  // Whether a write came across the read and may have changed its answer.
  using Crossed = std::function<bool(const Overlap::Read& read)>;
  struct Asking {
    std::string_view rpc;
    // What is sent. Alone it has to show the writes that it waited for, whatever timestamp it had.
    std::function<ProtoWriter(bool alone)> request;
    Crossed crossed;
    int tries = 1;                         // beside writes
    const Overlap::Read* since = nullptr;  // as Rows::since
  };
  // A call that reads, loading the collection where it must be. When a write came across it is asked
  // again, after `tries` with no write beside it (overlap.h).
  Result<std::string> ask(const model::Schema& schema, const Asking& asking, Deadline deadline);
  // Until what was acknowledged before is seen by a read that begins then.
  void let_writes_show(Deadline deadline);
  Result<std::vector<Column>> fetch(const model::Schema& schema, const CollectionSchema& shape,
                                    const Rows& rows, const std::vector<std::string>& fields,
                                    Deadline deadline);
  Result<ShownRows> fetch_records(const model::Schema& schema, const CollectionSchema& shape,
                                  const Rows& rows, ReadParts parts, Deadline deadline);
  // The records of these keys, each from its own partition, that the expression (empty: any) lets through.
  Result<ShownRows> fetch_keys(const model::Schema& schema, const CollectionSchema& shape,
                               std::span<const model::Key> keys, const std::string& expression,
                               ReadParts parts, Deadline deadline);
  // By id, then by partition: what is left of query.offset and query.limit.
  Result<std::vector<model::Record>> fetch_ordered(const model::Schema& schema, const CollectionSchema& shape,
                                                   const model::Query& query, const std::string& expression,
                                                   ReadParts parts, Deadline deadline);
  // --- driver_partitions.cpp; the default one is ""
  // Those that the server has now.
  Result<std::set<std::string>> partitions_shown(const model::Schema& schema, Deadline deadline);
  // Where records of the query can be, in the order of their names.
  Result<std::set<std::string>> partitions_to_ask(const model::Schema& schema, const model::Query& query,
                                                  Deadline deadline);
  // Of these the ones where records of `match` are, and maybe others; in their order.
  Result<void> find_partitions(const model::Schema& schema, const CollectionSchema& shape, const Rows& match,
                               std::span<const std::string> names, std::vector<std::string>& found,
                               Deadline deadline);
  // Whether a request that names this partition failed because it is there no more: then no record is in it.
  Result<bool> was_dropped(const model::Schema& schema, const std::string& partition, const Error& error,
                           Deadline deadline);
  // not_found when one is missing. Asked before the first of several requests of a write is sent, since the same error of
  // a later one would not say that nothing was done.
  Result<void> check_partitions(const model::Schema& schema, std::span<const std::string> names,
                                Deadline deadline);
  // --- driver_load.cpp
  enum class LoadState : int32_t {
    absent = 0,
    not_loaded = 1,
    loading = 2,
    loaded = 3
  };  // the server's own numbers
  // Of these partitions; none: of the collection, loaded when some of its partitions are.
  Result<LoadState> load_state(const model::CollectionName& name, const std::vector<std::string>& partitions,
                               Deadline deadline);
  // A collection of which nothing is loaded. A partition that an application released stays so: it would see the difference.
  Result<void> load(const model::CollectionName& name, Deadline deadline);
  // What to say of a request about this partition that failed because an application released it; nothing: not so.
  std::optional<Error> released(const model::Schema& schema, const std::string& partition, const Error& error,
                                Deadline deadline);
  // ---
  Result<void> check_largest_key(const model::Schema& schema, const CollectionSchema& shape,
                                 Deadline deadline);
  Result<void> send_upsert(const model::Schema& schema, const CollectionSchema& shape,
                           std::span<const std::pair<size_t, const model::Record*>> records, UpsertMode mode,
                           ApplyResult& result, bool& some_done, Deadline deadline);
  // A request that writes records of these keys.
  Result<void> send_write(std::string_view rpc, const model::Schema& schema, const ProtoWriter& request,
                          std::span<const model::Key> keys, Deadline deadline);
  Result<model::QueryResult> search(const model::Schema& schema, const CollectionSchema& shape,
                                    const model::Query& query, const std::string& expression,
                                    Deadline deadline);
  Result<model::QueryResult> count(const model::Schema& schema, const model::Query& query,
                                   const std::string& expression, Deadline deadline);
  Result<std::string> filter_text(const model::Schema& schema, const CollectionSchema& shape,
                                  const model::Query& query) const;
  Grammar grammar() const;

  Client client_;
  std::string home_database_;
  Clock& clock_;
  Overlap overlap_;
  mutable Session session_;
  std::atomic<bool> recent_ = false;  // 2.4 or later
  std::atomic<bool> lite_ = false;
  mutable std::mutex mutex_;
  std::string version_;
  std::map<model::CollectionName, std::pair<std::string, Shape>> shapes_;  // with native id, incarnation
  std::set<model::CollectionName> settling_;                               // being made anew
  std::multiset<model::CollectionName> in_work_;                           // as_it_is()
  uint64_t settlings_ = 0;
  std::condition_variable settled_;
};

// "id in [1, 2]", of one partition.
std::string keys_expression(const CollectionSchema& shape, std::span<const model::Key> keys);
// What to name in a request about one partition of the model. None where a collection has none of its own: Milvus Lite
// has no such thing. A partition that the schema does not know yet is named all the same: without its name the request
// would be about all of them.
std::vector<std::string> partition_names(const model::Schema& schema, const std::string& partition);
// Zero where the server gives none out: each request is Strong then.
uint64_t timestamp_now(const Client& client, Deadline deadline);
// Pages are asked for by "key > last". Error corrupt when `reached`, the largest of a page, is not above it: a server that
// ignores the bound shows the same page again and again, and whoever follows it would never end.
Result<void> check_progress(const model::Schema& schema, const model::Key& last, const model::Key& reached);
// Systems with one nameless vector call it "", which is no name in Milvus.
inline constexpr std::string_view nameless_vector = "vector";
void name_vectors(model::Record& record);
void unname_vectors(const model::Schema& schema, model::Record& record);
ProtoWriter on_collection(const model::CollectionName& name);  // fields 2 and 3 of most requests

}  // namespace vmproxy::protocols::milvus
