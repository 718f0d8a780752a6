#include "tests/support/fake_driver.h"

#include <algorithm>
#include <utility>

#include "model/filter.h"

namespace vmproxy::support {

using model::Key;
using model::Record;
using protocols::ApplyResult;

Record record_of(const std::string& id, int64_t version) {
  Record record;
  record.key = key_of(id);
  record.vectors[""] = model::DenseVector{1.0f, 2.0f, static_cast<float>(version)};
  record.document = "text of " + id;
  record.metadata = model::Object{{"version", version}};
  return record;
}

model::Write put_of(const std::string& collection, const std::vector<std::string>& ids) {
  model::Write put;
  put.collection = {"", collection};
  put.kind = model::Write::Kind::replace;
  for (const auto& id : ids) {
    Record record = record_of(id, 1);
    put.patches.push_back({record.key,
                           std::move(record.vectors),
                           std::move(record.document),
                           false,
                           record.metadata.value_or(model::Object{}),
                           {},
                           true});
  }
  return put;
}

int64_t version_of(const Record& record) {
  if (!record.metadata) return -1;
  const auto at = record.metadata->find("version");
  return at == record.metadata->end() ? -1 : static_cast<int64_t>(at->second.number());
}

FakeDriver::FakeDriver() {
  caps.id_u64 = caps.id_i64 = caps.id_uuid = caps.id_string = true;
  caps.partitions = caps.documents = caps.named_vectors = caps.sparse_vectors = true;
  caps.metadata_objects = caps.metadata_arrays = caps.metadata_arrays_any = caps.metadata_nulls = true;
  caps.metadata_empty = caps.metadata_u64 = caps.declared_fields = caps.declared_nullable = true;
  caps.insert_only = true;
  caps.max_exec = std::chrono::seconds(60);
  caps.max_zombie = std::chrono::seconds(60);
}

// --- beside the API

void FakeDriver::add_collection(model::Schema schema) {
  std::lock_guard hold(mutex_);
  schema.native_id = "life " + std::to_string(++lives_);
  auto& collection = collections_[model::to_string(schema.name)];
  collection.schema = std::move(schema);
  collection.rows.clear();
  keep();
}

void FakeDriver::put(const std::string& id, int64_t version) {
  put("things", id, version);
}
void FakeDriver::put(const std::string& collection, const std::string& id, int64_t version) {
  std::lock_guard hold(mutex_);
  collections_.at(collection).rows[key_of(id)] = record_of(id, version);
  keep();
}
void FakeDriver::remove(const std::string& id) {
  remove("things", id);
}
void FakeDriver::remove(const std::string& collection, const std::string& id) {
  std::lock_guard hold(mutex_);
  collections_.at(collection).rows.erase(key_of(id));
  keep();
}

void FakeDriver::change(model::Schema schema) {
  std::lock_guard hold(mutex_);
  auto& collection = collections_.at(model::to_string(schema.name));
  schema.native_id = collection.schema.native_id;
  collection.schema = std::move(schema);
  keep();
}

void FakeDriver::recreate(const std::string& collection) {
  std::lock_guard hold(mutex_);
  auto& life = collections_.at(collection);
  life.schema.native_id = "life " + std::to_string(++lives_);
  life.rows.clear();
  keep();
}

void FakeDriver::drop_collection(const std::string& collection) {
  std::lock_guard hold(mutex_);
  collections_.erase(collection);
  keep();
}

void FakeDriver::name_also(const std::string& collection, const std::string& name) {
  std::lock_guard hold(mutex_);
  for (auto& [key, other] : collections_) {
    const auto* had = other.schema.native.find("name");
    if (had != nullptr && had->is_string() && had->string() == name) other.schema.native = model::Value();
  }
  collections_.at(collection).schema.native = model::Object{{"name", name}};
}

FakeDriver::Rows FakeDriver::rows(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  Rows rows;
  const auto at = collections_.find(collection);
  if (at == collections_.end()) return rows;
  for (const auto& [key, record] : at->second.rows) rows[model::to_string(key.id)] = version_of(record);
  return rows;
}

std::optional<int64_t> FakeDriver::find(const std::string& id) const {
  const auto all = rows();
  const auto at = all.find(id);
  return at == all.end() ? std::nullopt : std::optional(at->second);
}

bool FakeDriver::has_collection(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  return collections_.contains(collection);
}

void FakeDriver::leave_out(std::vector<protocols::LeftOut> tables) {
  std::lock_guard hold(mutex_);
  left_out_ = std::move(tables);
}

// --- the script

void FakeDriver::fail(Call call, Error error, int times) {
  std::lock_guard hold(mutex_);
  for (int i = 0; i < times; ++i) failures_[call].push_back(error);
}
void FakeDriver::fail_after(int calls, Call call, Error error) {
  std::lock_guard hold(mutex_);
  failures_[call].insert(failures_[call].end(), static_cast<size_t>(calls), std::nullopt);
  failures_[call].push_back(std::move(error));
}
void FakeDriver::down(std::optional<Error> error) {
  std::lock_guard hold(mutex_);
  down_ = std::move(error);
}
void FakeDriver::writes_fail(std::optional<Error> error) {
  std::lock_guard hold(mutex_);
  writes_fail_ = std::move(error);
}
void FakeDriver::slow(Duration each, std::function<void(Duration)> pass) {
  std::lock_guard hold(mutex_);
  each_ = each;
  pass_ = std::move(pass);
}
std::optional<Error> FakeDriver::take_time(size_t records, Deadline deadline) {
  Duration needed{};
  std::function<void(Duration)> pass;
  {
    std::lock_guard hold(mutex_);
    if (!pass_) return std::nullopt;
    needed = static_cast<Duration::rep>(records) * each_;
    pass = pass_;
  }
  const Duration left = deadline - clock_->now();
  pass(std::min(needed, std::max(left, Duration::zero())));
  if (needed <= left) return std::nullopt;
  return Error(Code::timeout, "no answer before the deadline");
}
void FakeDriver::flap(bool flaps) {
  std::lock_guard hold(mutex_);
  flaps_ = flaps;
}
void FakeDriver::delay_next(Call call) {
  std::lock_guard hold(mutex_);
  delays_.insert(call);
}
void FakeDriver::land() {
  std::lock_guard hold(mutex_);
  for (auto& execute : delayed_) execute();
  delayed_.clear();
}
size_t FakeDriver::delayed() const {
  std::lock_guard hold(mutex_);
  return delayed_.size();
}
void FakeDriver::lose_answer_of_alter() {
  std::lock_guard hold(mutex_);
  lose_alter_ = true;
}
void FakeDriver::lose_answer_of_create() {
  std::lock_guard hold(mutex_);
  lose_create_ = true;
}
void FakeDriver::hold(Call call) {
  std::lock_guard hold(mutex_);
  holds_.insert(call);
}
void FakeDriver::release() {
  std::lock_guard hold(mutex_);
  holds_.clear();
  changed_.notify_all();
}
size_t FakeDriver::held() const {
  std::lock_guard hold(mutex_);
  return held_;
}
struct FakeDriver::State {
  std::map<std::string, Collection> collections;
};
const std::map<std::string, FakeDriver::Collection>& FakeDriver::shown() const {
  return frozen_ ? frozen_->collections : collections_;
}
std::shared_ptr<const FakeDriver::State> FakeDriver::state() const {
  std::lock_guard hold(mutex_);
  return std::make_shared<State>(State{collections_});
}
void FakeDriver::freeze() {
  freeze_at(state());
}
void FakeDriver::freeze_at(std::shared_ptr<const State> state) {
  std::lock_guard hold(mutex_);
  frozen_ = std::move(state);
}
void FakeDriver::thaw() {
  std::lock_guard hold(mutex_);
  frozen_.reset();
}
void FakeDriver::refuse(const std::string& id, std::optional<Error> error) {
  std::lock_guard hold(mutex_);
  refused_.erase(id);
  if (error) refused_.emplace(id, std::move(*error));
}
void FakeDriver::refuse_batches_with(const std::string& id) {
  std::lock_guard hold(mutex_);
  poison_.insert(id);
}
void FakeDriver::take_batches() {
  std::lock_guard hold(mutex_);
  poison_.clear();
}
void FakeDriver::hide(const std::string& id, std::optional<Error> error) {
  std::lock_guard hold(mutex_);
  hidden_.erase(id);
  if (error) hidden_.emplace(id, std::move(*error));
}
void FakeDriver::break_next_batch_after(size_t records) {
  std::lock_guard hold(mutex_);
  break_after_ = records;
}
void FakeDriver::show_also(const std::string& id, int64_t version) {
  std::lock_guard hold(mutex_);
  also_.push_back(record_of(id, version));
}

uint64_t FakeDriver::calls(Call call) const {
  std::lock_guard hold(mutex_);
  const auto at = calls_.find(call);
  return at == calls_.end() ? 0 : at->second;
}
uint64_t FakeDriver::writes() const {
  return calls(Call::upsert) + calls(Call::insert_only) + calls(Call::erase);
}
std::vector<FakeDriver::Sent> FakeDriver::sent() const {
  std::lock_guard hold(mutex_);
  return sent_;
}

std::optional<Error> FakeDriver::ask(Lock& lock, Call call) {
  ++calls_[call];
  if (holds_.contains(call)) {
    ++held_;
    changed_.wait(lock, [&] { return !holds_.contains(call); });
    --held_;
  }
  if (down_) return down_;
  auto& failures = failures_[call];
  if (!failures.empty()) {
    std::optional<Error> error = std::move(failures.front());
    failures.pop_front();
    if (error) return error;
  }
  const bool writes = call == Call::upsert || call == Call::insert_only || call == Call::erase;
  if (writes && writes_fail_) return writes_fail_;
  if (flaps_ && writes && ++flapped_ % 2 == 1) return Error(Code::refused_connection, "flapping");
  return std::nullopt;
}

Error FakeDriver::no_collection(const std::string& name) {
  return {Code::not_found, "no collection '" + name + "'"};
}

// --- Driver: what exists

Result<protocols::ServerInfo> FakeDriver::describe_server(Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::describe)) return *error;
  return protocols::ServerInfo{};
}
Result<std::vector<protocols::Space>> FakeDriver::list_spaces(Deadline) {
  return std::vector<protocols::Space>{};
}

Result<std::vector<model::Schema>> FakeDriver::list_collections(Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::describe)) return *error;
  std::vector<model::Schema> schemas;
  for (const auto& [name, collection] : collections_) schemas.push_back(collection.schema);
  return schemas;
}

Result<protocols::Holdings> FakeDriver::list_all(Deadline deadline) {
  auto collections = list_collections(deadline);
  if (!collections) return collections.error();
  std::lock_guard hold(mutex_);
  return protocols::Holdings{std::move(*collections), left_out_};
}

Result<std::optional<model::Schema>> FakeDriver::describe(const model::CollectionName& name, Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::describe)) return *error;
  const auto at = collections_.find(model::to_string(name));
  if (at == collections_.end()) return std::optional<model::Schema>();
  return std::optional(at->second.schema);
}

Result<void> FakeDriver::create(const model::Schema& schema, Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::create)) return *error;
  const std::string name = model::to_string(schema.name);
  if (collections_.contains(name)) return Error(Code::already_exists, "'" + name + "' exists");
  collections_[name].schema = schema;
  collections_[name].schema.native_id = "life " + std::to_string(++lives_);
  keep();
  if (std::exchange(lose_create_, false)) return Error(Code::timeout, "no answer came");
  return {};
}

Result<void> FakeDriver::alter(const model::CollectionName& now, const model::Schema& wanted, Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::alter)) return *error;
  const std::string name = model::to_string(wanted.name);
  if (wanted.name != now && collections_.contains(name))
    return Error(Code::already_exists, "the collection '" + name + "' exists");
  auto node = collections_.extract(model::to_string(now));
  if (node.empty()) return no_collection(model::to_string(now));
  node.key() = name;
  node.mapped().schema.name = wanted.name;
  node.mapped().schema.partitions = wanted.partitions;
  collections_.insert(std::move(node));
  keep();
  if (std::exchange(lose_alter_, false)) return Error(Code::timeout, "no answer came");
  return {};
}

Result<void> FakeDriver::drop(const model::CollectionName& name, Deadline deadline) {
  if (before_drop) {
    if (auto error = before_drop(deadline)) return *error;
  }
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::drop)) return *error;
  if (collections_.erase(model::to_string(name)) == 0) return no_collection(model::to_string(name));
  keep();
  return {};
}

Result<void> FakeDriver::build_indexes(const model::Schema&, Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::index)) return *error;
  return {};
}

// --- Driver: records

Result<std::vector<Record>> FakeDriver::read(const model::Schema& schema, std::span<const Key> keys,
                                             protocols::ReadParts parts, Deadline deadline) {
  auto found = read_each(schema, keys, parts, deadline);
  if (!found) return found.error();
  if (!found->refused.empty()) return found->refused.front().error;
  return std::move(found->records);
}

Result<protocols::ReadResult> FakeDriver::read_each(const model::Schema& schema, std::span<const Key> keys,
                                                    protocols::ReadParts, Deadline deadline) {
  if (auto late = take_time(keys.size(), deadline)) return *late;
  protocols::ReadResult found;
  {
    Lock lock(mutex_);
    if (auto error = ask(lock, Call::read)) return *error;
    const auto at = shown().find(model::to_string(schema.name));
    if (at == shown().end()) return no_collection(model::to_string(schema.name));
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto hidden = hidden_.find(model::to_string(keys[i].id));
      const auto row = at->second.rows.find(keys[i]);
      if (hidden != hidden_.end()) {
        found.refused.push_back({i, hidden->second});
      } else if (row != at->second.rows.end()) {
        found.records.push_back(row->second);
      }
    }
  }
  if (after_read) after_read();
  return found;
}

Result<ApplyResult> FakeDriver::write(Call call, const std::string& name, const std::vector<std::string>& ids,
                                      const std::function<void(Collection&, size_t)>& execute, bool all) {
  const auto at = collections_.find(name);
  if (at == collections_.end()) return no_collection(name);
  for (const auto& id : ids) {
    if (poison_.contains(id)) return Error(Code::invalid, "the batch holds '" + id + "'");
    if (const auto refused = refused_.find(id); all && refused != refused_.end()) return refused->second;
  }
  if (delays_.erase(call) > 0) {
    delayed_.push_back([this, name, count = ids.size(), execute] {
      const auto then = collections_.find(name);
      for (size_t i = 0; then != collections_.end() && i < count; ++i) execute(then->second, i);
    });
    return Error(Code::timeout, "no answer came");
  }
  ApplyResult result;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (break_after_ && *break_after_ == i) {
      break_after_.reset();
      return Error(Code::connection_lost, "broke within a batch");
    }
    const auto refused = refused_.find(ids[i]);
    if (refused != refused_.end()) {
      result.refused.push_back({i, refused->second});
    } else {
      execute(at->second, i);
    }
  }
  keep();
  return result;
}

Result<ApplyResult> FakeDriver::upsert(const model::Schema& schema, std::span<const Record> records,
                                       protocols::UpsertMode mode, Deadline deadline) {
  if (before_upsert) before_upsert();
  if (auto late = take_time(records.size(), deadline)) return *late;
  const bool insert = inserts(mode);
  const Call call = insert ? Call::insert_only : Call::upsert;
  const std::vector<Record> rows(records.begin(), records.end());
  Sent sent{call, model::to_string(schema.name), {}, clock_ ? clock_->now() : TimePoint{}};
  std::vector<std::string> ids;
  for (const auto& row : rows) {
    ids.push_back(model::to_string(row.key.id));
    sent.rows.emplace_back(ids.back(), version_of(row));
  }
  Lock lock(mutex_);
  sent_.push_back(sent);
  if (auto error = ask(lock, call)) return *error;
  if (const auto at = collections_.find(sent.collection); knows_partitions && at != collections_.end()) {
    const auto& known = at->second.schema.partitions;
    for (const auto& row : rows) {
      const std::string& partition = row.key.partition;
      if (!partition.empty() && std::find(known.begin(), known.end(), partition) == known.end())
        return Error(Code::not_found, "no partition '" + partition + "'");
    }
  }
  const auto execute = [rows, insert](Collection& to, size_t i) {
    if (insert) {
      to.rows.emplace(rows[i].key, rows[i]);
    } else {
      to.rows[rows[i].key] = rows[i];
    }
  };
  return write(call, sent.collection, ids, execute, all_or_none(mode));
}

Result<ApplyResult> FakeDriver::erase(const model::Schema& schema, std::span<const Key> gone,
                                      Deadline deadline) {
  if (auto late = take_time(gone.size(), deadline)) return *late;
  const std::vector<Key> keys(gone.begin(), gone.end());
  Sent sent{Call::erase, model::to_string(schema.name), {}, clock_ ? clock_->now() : TimePoint{}};
  std::vector<std::string> ids;
  for (const auto& key : keys) {
    ids.push_back(model::to_string(key.id));
    sent.rows.emplace_back(ids.back(), 0);
  }
  Lock lock(mutex_);
  sent_.push_back(sent);
  if (auto error = ask(lock, Call::erase)) return *error;
  return write(Call::erase, sent.collection, ids,
               [keys](Collection& to, size_t i) { to.rows.erase(keys[i]); });
}

Result<model::QueryResult> FakeDriver::query(const model::Schema& schema, const model::Query& query,
                                             Deadline deadline) {
  model::QueryResult result;
  if (before_query) {
    if (auto error = before_query(deadline)) return *error;
  }
  {
    Lock lock(mutex_);
    if (auto error = ask(lock, Call::query)) return *error;
    if (query.kind == model::Query::Kind::search)
      return Error(Code::unsupported, "query.search: a fake has no search");
    const auto at = shown().find(model::to_string(schema.name));
    if (at == shown().end()) return no_collection(model::to_string(schema.name));
    for (const auto& [key, record] : at->second.rows) {
      if (query.keys && std::find(query.keys->begin(), query.keys->end(), key) == query.keys->end()) continue;
      if (query.filter && !model::evaluate(*query.filter, record)) continue;
      if (query.limit && result.records.size() >= *query.limit) break;
      result.records.push_back(record);
    }
    result.count = result.records.size();
  }
  if (after_read) after_read();
  return result;
}

// --- Driver: the copy. Range i of n: keys whose hash modulo n is i, in their order; the cursor is the last key.

Result<std::vector<protocols::ScanRange>> FakeDriver::plan_scan(const model::Schema&, size_t ranges_wanted,
                                                                Deadline) {
  Lock lock(mutex_);
  if (auto error = ask(lock, Call::plan)) return *error;
  std::vector<protocols::ScanRange> ranges;
  const size_t count = std::min<size_t>(ranges_wanted, 4);
  for (size_t i = 0; i < count; ++i) {
    ranges.push_back({std::to_string(i) + "/" + std::to_string(count) + std::string(range_padding, ' ')});
  }
  return ranges;
}

Result<protocols::ScanPage> FakeDriver::scan(const model::Schema& schema, const protocols::ScanRange& range,
                                             const std::string& cursor, size_t records_max,
                                             protocols::ReadParts, Deadline) {
  const size_t index = std::stoul(range.bytes);
  const size_t count = std::stoul(range.bytes.substr(range.bytes.find('/') + 1));
  protocols::ScanPage page;
  page.cursor = cursor;
  page.done = true;
  {
    Lock lock(mutex_);
    if (auto error = ask(lock, Call::scan)) return *error;
    const auto at = shown().find(model::to_string(schema.name));
    if (at == shown().end()) return no_collection(model::to_string(schema.name));
    if (cursor.empty() && index == 0) page.records = also_;
    for (const auto& [key, record] : at->second.rows) {
      const std::string encoded = model::encode(key);
      if (!cursor.empty() && encoded <= cursor) continue;
      if (std::hash<std::string>{}(encoded) % count != index) continue;
      if (page.records.size() >= records_max) {
        page.done = false;
        break;
      }
      page.records.push_back(record);
      page.cursor = encoded;
    }
  }
  if (after_scan) after_scan();
  return page;
}

}  // namespace vmproxy::support
