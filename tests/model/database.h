// Database: one side of the model. It holds at most two records and does nothing by itself: what reaches it is asked
// of the
// world, which says when an attempt lands and whether its answer comes.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "protocols/api/driver.h"

namespace vmproxy::model_check {

constexpr int keys_max = 2;
constexpr int absent = 0;  // a value
inline constexpr const char* collection_name = "things";

model::Key key_of(int key);
int number_of(const model::Key& key);
model::Record record_of(int key, int value);
int value_of(const model::Record& record);
model::Schema schema_of_things();

// What one call of the lanes is to leave of some keys.
struct Attempt {
  std::vector<std::pair<int, int>> rows;  // key, value
  bool insert_only = false;
  bool drop = false;  // of the collection, instead
};

class Database final : public protocols::Driver {
 public:
  Database();
  std::array<int, keys_max> values{};
  std::array<int, keys_max> before{};  // what each key held before its last change
  bool there = false;
  int life = 0;
  bool answers = true;
  bool stale_reads = false;  // a read may show what was there before the last change
  model::Capabilities caps;
  std::function<Result<void>(const Attempt&)>
      attempted;  // from the lanes; returns once the world says how it ended

  void set(int key, int value);
  void land(const Attempt& attempt);
  void drop_all();

  std::string_view system() const override { return "model"; }
  const model::Capabilities& capabilities() const override { return caps; }
  Result<protocols::ServerInfo> describe_server(Deadline) override { return protocols::ServerInfo(); }
  Result<std::vector<protocols::Space>> list_spaces(Deadline) override {
    return std::vector<protocols::Space>();
  }
  Result<std::vector<model::Schema>> list_collections(Deadline) override;
  Result<std::optional<model::Schema>> describe(const model::CollectionName&, Deadline) override;
  model::CollectionName name_for(const model::CollectionName& name) const override { return name; }
  Result<void> create(const model::Schema&, Deadline) override;
  Result<void> alter(const model::CollectionName&, const model::Schema&, Deadline) override { return {}; }
  Result<void> drop(const model::CollectionName&, Deadline) override;
  Result<void> build_indexes(const model::Schema&, Deadline) override { return {}; }
  Result<std::vector<model::Record>> read(const model::Schema&, std::span<const model::Key> keys,
                                          protocols::ReadParts, Deadline) override;
  Result<protocols::ApplyResult> upsert(const model::Schema&, std::span<const model::Record> records,
                                        protocols::UpsertMode mode, Deadline) override;
  Result<protocols::ApplyResult> erase(const model::Schema&, std::span<const model::Key> keys,
                                       Deadline) override;
  Result<model::QueryResult> query(const model::Schema&, const model::Query&, Deadline) override;
  Result<std::vector<protocols::ScanRange>> plan_scan(const model::Schema&, size_t, Deadline) override {
    return std::vector<protocols::ScanRange>();
  }
  Result<protocols::ScanPage> scan(const model::Schema&, const protocols::ScanRange&, const std::string&,
                                   size_t, protocols::ReadParts, Deadline) override {
    return protocols::ScanPage();
  }

 private:
  model::Schema schema() const;
  Result<protocols::ApplyResult> attempt(const Attempt& attempt);
};

}  // namespace vmproxy::model_check
