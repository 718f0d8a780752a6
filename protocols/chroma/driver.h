// The client half of API v2, measured on Chroma 1.5.9. Which calls it makes and why: README.md.
#pragma once

#include <set>

#include "protocols/api/driver.h"
#include "protocols/chroma/api_client.h"
#include "protocols/chroma/collection.h"
#include "protocols/chroma/records.h"

namespace vmproxy::protocols::chroma {

class ChromaDriver final : public Driver {
 public:
  // `home`: where collections of systems without such paths live.
  ChromaDriver(const Endpoint& endpoint, Caller caller, Place home, std::set<std::string> tenants);

  std::string_view system() const override { return "chroma"; }
  const Capabilities& capabilities() const override { return capabilities_; }
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
  Result<void> build_indexes(const model::Schema&, Deadline) override { return {}; }  // always there

  Result<std::vector<model::Record>> read(const model::Schema& schema, std::span<const model::Key> keys,
                                          ReadParts parts, Deadline deadline) override;
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
  struct Item {
    size_t index;  // in the batch as it was given
    const model::Record* record;
  };
  using Items = std::span<const Item>;
  // One upsert, which may take several requests.
  struct Upsert {
    UpsertMode mode;
    Deadline deadline;
    ApplyResult result = {};
    bool some_done = false;
    std::set<std::string_view> emptied = {};  // ids whose records were deleted to be written anew
  };

  Result<void> make_space(const Place& place, Deadline deadline);
  using Ids = std::span<const std::string_view>;
  Result<void> read_some(const model::Schema& schema, Ids ids, Included parts,
                         std::vector<model::Record>& records, Deadline deadline);
  Result<std::vector<model::Record>> read_ids(const model::Schema& schema, Ids ids, Included parts,
                                              Deadline deadline);
  Result<uint64_t> count_all(const model::CollectionName& name, Deadline deadline);
  // All ids that match, each once, in no order.
  Result<std::vector<std::string>> list_ids(const model::CollectionName& name, const GetBody& filter,
                                            Deadline deadline);
  Result<void> send(const model::Schema& schema, Items items, Upsert& upsert);
  Result<std::vector<Sent>> complete(const model::Schema& schema, Items items, Upsert& upsert);
  Result<std::vector<std::string>> matching_ids(const model::Query& query, const GetBody& filter,
                                                const std::vector<model::Filter>& on_id, Deadline deadline);
  Result<model::QueryResult> get(const model::Schema& schema, const model::Query& query,
                                 const GetBody& filter, const std::vector<model::Filter>& on_id,
                                 Deadline deadline);
  Result<model::QueryResult> search(const model::Schema& schema, const model::Query& query, GetBody filter,
                                    const std::vector<model::Filter>& on_id, Deadline deadline);

  using HitLists = std::vector<std::vector<model::Hit>>;
  Result<HitLists> nearest(const model::Schema& schema, const model::Query& query, const GetBody& filter,
                           uint64_t wanted, Deadline deadline);
  Result<HitLists> nearest_beyond(const model::Schema& schema, const model::Query& query, GetBody filter,
                                  uint64_t wanted, double bound, Deadline deadline);
  Result<void> read_hits(const model::Schema& schema, HitLists& lists, Included parts, Deadline deadline);
  using Torn = std::map<std::string, std::optional<model::Record>>;  // by id: what is there now
  Result<Torn> torn(const model::Schema& schema, const HitLists& lists, Included parts, Deadline deadline);

  ApiClient api_;
  const Place home_;
  const std::set<std::string> tenants_;
  Capabilities capabilities_;
};

}  // namespace vmproxy::protocols::chroma
