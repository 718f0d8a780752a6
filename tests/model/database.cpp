#include "tests/model/database.h"

#include "tests/model/times.h"

namespace vmproxy::model_check {

model::Key key_of(int key) {
  return {"", {key == 0 ? std::string("a") : std::string("b")}};
}
int number_of(const model::Key& key) {
  return key == key_of(0) ? 0 : 1;
}

model::Record record_of(int key, int value) {
  model::Record record;
  record.key = key_of(key);
  record.vectors[""] = model::DenseVector{static_cast<float>(value)};
  return record;
}
int value_of(const model::Record& record) {
  const auto at = record.vectors.find("");
  return at == record.vectors.end() ? absent : static_cast<int>(std::get<model::DenseVector>(at->second)[0]);
}

model::Schema schema_of_things() {
  model::Schema schema;
  schema.name = {"", collection_name};
  schema.id_kind = model::IdKind::string;
  schema.vectors.push_back({});
  schema.vectors[0].dimension = 1;
  return schema;
}

Database::Database() {
  caps.id_u64 = caps.id_i64 = caps.id_uuid = caps.id_string = true;
  caps.partitions = caps.documents = caps.named_vectors = caps.sparse_vectors = true;
  caps.metadata_objects = caps.metadata_arrays = caps.metadata_arrays_any = caps.metadata_nulls = true;
  caps.metadata_empty = caps.metadata_u64 = caps.declared_fields = caps.declared_nullable = true;
  caps.insert_only = true;
  caps.max_exec = window;
  caps.max_zombie = window;
}

void Database::set(int key, int value) {
  const auto at = static_cast<size_t>(key);
  if (values[at] == value) return;
  before[at] = values[at];
  values[at] = value;
}

void Database::land(const Attempt& attempt) {
  if (!there) return;
  if (attempt.drop) {
    drop_all();
    there = false;
    return;
  }
  for (const auto& [key, value] : attempt.rows) {
    if (attempt.insert_only && values[static_cast<size_t>(key)] != absent) continue;
    set(key, value);
  }
}

void Database::drop_all() {
  for (int key = 0; key < keys_max; ++key) set(key, absent);
  ++life;
}

model::Schema Database::schema() const {
  model::Schema schema = schema_of_things();
  schema.native_id = std::to_string(life);
  return schema;
}

Result<std::vector<model::Schema>> Database::list_collections(Deadline) {
  std::vector<model::Schema> all;
  if (there) all.push_back(schema());
  return all;
}
Result<std::optional<model::Schema>> Database::describe(const model::CollectionName&, Deadline) {
  return there ? std::optional(schema()) : std::nullopt;
}
Result<void> Database::create(const model::Schema&, Deadline) {
  if (there) return Error(Code::already_exists, "it exists");
  there = true;
  ++life;
  return {};
}
Result<void> Database::drop(const model::CollectionName&, Deadline) {
  if (!there) return Error(Code::not_found, "no collection");
  drop_all();
  there = false;
  return {};
}

Result<std::vector<model::Record>> Database::read(const model::Schema&, std::span<const model::Key> keys,
                                                  protocols::ReadParts, Deadline) {
  if (!answers) return Error(Code::unavailable, "it is dead");
  std::vector<model::Record> found;
  for (const auto& key : keys) {
    const int number = number_of(key);
    const auto at = static_cast<size_t>(number);
    const int value = stale_reads ? before[at] : values[at];
    if (value != absent) found.push_back(record_of(number, value));
  }
  return found;
}

Result<protocols::ApplyResult> Database::attempt(const Attempt& attempt) {
  auto ended = attempted(attempt);
  if (!ended) return ended.error();
  if (!there) return Error(Code::not_found, "no collection");
  return protocols::ApplyResult{};
}

Result<protocols::ApplyResult> Database::upsert(const model::Schema&, std::span<const model::Record> records,
                                                protocols::UpsertMode mode, Deadline) {
  Attempt rows;
  rows.insert_only = inserts(mode);
  for (const auto& record : records) rows.rows.emplace_back(number_of(record.key), value_of(record));
  return attempt(rows);
}

Result<protocols::ApplyResult> Database::erase(const model::Schema&, std::span<const model::Key> keys,
                                               Deadline) {
  Attempt rows;
  for (const auto& key : keys) rows.rows.emplace_back(number_of(key), absent);
  return attempt(rows);
}

Result<model::QueryResult> Database::query(const model::Schema&, const model::Query&, Deadline) {
  return model::QueryResult{};
}

}  // namespace vmproxy::model_check
