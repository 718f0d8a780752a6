// The driver: how migration code reaches PostgreSQL. What each call does is in records.cpp, scan.cpp,
// search.cpp, schema_changes.cpp and index_build.cpp.
#pragma once

#include "protocols/api/driver.h"
#include "protocols/pgvector/pool.h"
#include "protocols/pgvector/row.h"
#include "protocols/pgvector/tables.h"

namespace vmproxy::protocols::pgvector {

// A write whose answer we lost can take effect for at most start_window (Connection::guard) and then
// write_limit (statement_timeout); the rest is slack for the commit and for measuring the server's clock.
inline constexpr auto start_window = std::chrono::seconds(2);
inline constexpr auto write_limit = std::chrono::seconds(5);
inline constexpr auto attempt_bound = start_window + write_limit + std::chrono::seconds(1);

class PgvectorDriver final : public Driver {
 public:
  PgvectorDriver(Address address, Clock& clock, size_t connections_max);

  std::string_view system() const override { return "pgvector"; }
  const Capabilities& capabilities() const override { return capabilities_; }
  Result<ServerInfo> describe_server(Deadline deadline) override;

  Result<std::vector<Space>> list_spaces(Deadline deadline) override;
  Result<std::vector<model::Schema>> list_collections(Deadline deadline) override;
  Result<Holdings> list_all(Deadline deadline) override;
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
  // A connection whose statements end by `limit`, or by the deadline when that is nearer, and the table.
  struct Work {
    Pool::Lease connection;
    std::shared_ptr<const Table> table;
  };
  Result<Pool::Lease> connect(Duration limit, Deadline deadline);
  Result<Work> begin(const model::Schema& schema, Duration limit, Deadline deadline);
  std::string guard(const Connection& connection, Deadline deadline) const;
  // Runs DDL: one transaction that starts in time or not at all.
  Result<void> change(Connection& connection, const std::string& sql, Deadline deadline);
  // What an error of a call on this collection means for what we remember of it.
  Error failed(const model::Schema& schema, const Connection& connection, const Error& error);

  Pool pool_;
  Tables tables_;
  Clock& clock_;
  Capabilities capabilities_;
};

}  // namespace vmproxy::protocols::pgvector
