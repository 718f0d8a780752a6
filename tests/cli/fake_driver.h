// A database in memory, as far as `check` and `discover` look at one; each call can be made to fail.
#pragma once

#include <map>

#include "protocols/api/system.h"

namespace vmproxy::testing {

struct FakeDatabase {
  std::vector<model::Schema> collections;
  std::vector<protocols::LeftOut> left_out;
  std::vector<model::Record> records;     // of each collection
  std::map<std::string, Error> failures;  // by method
  std::vector<std::string> calls;
  std::string seen_token;
};

class FakeDriver final : public protocols::Driver {
 public:
  explicit FakeDriver(FakeDatabase& database) : database_(database) {
    capabilities_.id_string = true;
    capabilities_.documents = true;
  }

  std::string_view system() const override { return "fake"; }
  const protocols::Capabilities& capabilities() const override { return capabilities_; }
  Result<protocols::ServerInfo> describe_server(Deadline) override {
    return call<protocols::ServerInfo>("describe_server", protocols::ServerInfo{"1.2.3", {}});
  }
  Result<std::vector<protocols::Space>> list_spaces(Deadline) override {
    return std::vector<protocols::Space>{};
  }
  Result<std::vector<model::Schema>> list_collections(Deadline) override {
    return call("list_collections", database_.collections);
  }
  Result<protocols::Holdings> list_all(Deadline deadline) override {
    auto collections = list_collections(deadline);
    if (!collections) return collections.error();
    return protocols::Holdings{std::move(*collections), database_.left_out};
  }
  Result<std::optional<model::Schema>> describe(const model::CollectionName& name, Deadline) override {
    for (const auto& schema : database_.collections) {
      if (schema.name == name) return std::optional(schema);
    }
    return std::optional<model::Schema>();
  }
  model::CollectionName name_for(const model::CollectionName& name) const override { return name; }
  Result<void> create(const model::Schema& schema, Deadline) override {
    if (auto failed = fails("create")) return *failed;
    database_.collections.push_back(schema);
    return {};
  }
  Result<void> alter(const model::CollectionName&, const model::Schema&, Deadline) override { return {}; }
  Result<void> drop(const model::CollectionName& name, Deadline) override {
    if (auto failed = fails("drop")) return *failed;
    std::erase_if(database_.collections, [&](const auto& schema) { return schema.name == name; });
    return {};
  }
  Result<void> build_indexes(const model::Schema&, Deadline) override { return {}; }
  Result<std::vector<model::Record>> read(const model::Schema&, std::span<const model::Key>,
                                          protocols::ReadParts, Deadline) override {
    return call("read", std::vector<model::Record>{});
  }
  Result<protocols::ApplyResult> upsert(const model::Schema&, std::span<const model::Record>,
                                        protocols::UpsertMode, Deadline) override {
    return call("upsert", protocols::ApplyResult{});
  }
  Result<protocols::ApplyResult> erase(const model::Schema&, std::span<const model::Key>, Deadline) override {
    return call("erase", protocols::ApplyResult{});
  }
  Result<model::QueryResult> query(const model::Schema&, const model::Query& query, Deadline) override {
    model::QueryResult result;
    result.count = 42;
    for (size_t i = 0; i < database_.records.size() && i < query.limit.value_or(SIZE_MAX); ++i)
      result.records.push_back(database_.records[i]);
    return call(query.kind == model::Query::Kind::count ? "count" : "get", result);
  }
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema&, size_t, Deadline) override {
    return std::vector<protocols::ScanRange>{};
  }
  Result<protocols::ScanPage> scan(const model::Schema&, const protocols::ScanRange&, const std::string&,
                                   size_t, protocols::ReadParts, Deadline) override {
    return protocols::ScanPage{};
  }

 private:
  std::optional<Error> fails(const std::string& method) {
    database_.calls.push_back(method);
    const auto found = database_.failures.find(method);
    return found == database_.failures.end() ? std::nullopt : std::optional(found->second);
  }
  template <class T>
  Result<T> call(const std::string& method, T answer) {
    if (auto failed = fails(method)) return *failed;
    return answer;
  }

  FakeDatabase& database_;
  protocols::Capabilities capabilities_;
};

inline protocols::System fake_system(std::string_view name, FakeDatabase& database, bool dialect) {
  protocols::System system;
  system.name = name;
  system.make_driver = [&database](const protocols::Endpoint& endpoint,
                                   Clock&) -> Result<std::unique_ptr<protocols::Driver>> {
    database.seen_token = endpoint.auth_token;
    return std::unique_ptr<protocols::Driver>(std::make_unique<FakeDriver>(database));
  };
  if (dialect)
    system.make_dialect = [](const protocols::Endpoint&) { return std::unique_ptr<protocols::Dialect>(); };
  return system;
}

inline model::Schema fake_collection(const std::string& name) {
  model::Schema schema;
  schema.name = {"", name};
  schema.vectors.push_back({"", model::VectorKind::dense_f32, 384, model::Metric::cosine, {}});
  return schema;
}

}  // namespace vmproxy::testing
