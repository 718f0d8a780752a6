// Reading by key, upsert and erase.
#include <algorithm>
#include <map>
#include <set>

#include "protocols/milvus/driver.h"
#include "protocols/milvus/open_dimension.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Key;
using model::Record;

constexpr size_t keys_in_expression_max = 1000;
constexpr size_t request_bytes_aim = 8u << 20;  // of the 64 MiB that the server takes

// What a record takes in a request, near enough.
size_t bytes_of(const model::Value& value) {
  if (value.is_string()) return value.string().size() + 8;
  size_t bytes = 16;
  if (value.is_array()) {
    for (const auto& one : value.array()) bytes += bytes_of(one);
  } else if (value.is_object()) {
    for (const auto& [name, one] : value.object()) bytes += name.size() + 4 + bytes_of(one);
  }
  return bytes;
}

size_t bytes_of(const Record& record) {
  size_t bytes = 32;
  for (const auto& [name, vector] : record.vectors) {
    if (const auto* dense = std::get_if<model::DenseVector>(&vector)) bytes += dense->size() * 4;
    if (const auto* sparse = std::get_if<model::SparseVector>(&vector)) bytes += sparse->indices.size() * 8;
  }
  if (record.metadata) {
    for (const auto& [name, value] : *record.metadata) bytes += name.size() + bytes_of(value);
  }
  return bytes;
}

// By partition; an empty name stands for the default one.
std::map<std::string, std::vector<Key>> by_partition(std::span<const Key> keys) {
  std::map<std::string, std::vector<Key>> parts;
  for (const auto& key : keys) parts[key.partition].push_back(key);
  return parts;
}

// Whether a record can have this key. A text that is not UTF-8 has no place in a message.
bool fits(const CollectionSchema& shape, const Key& key) {
  if (shape.primary()->type != DataType::varchar) return std::holds_alternative<int64_t>(key.id.value);
  const auto* text = std::get_if<std::string>(&key.id.value);
  return text != nullptr && wire::valid_utf8(*text);
}

// What keeps a collection from being loaded is for people to mend, and it can be read then.
Error unloadable(Error why) {
  if (why.code == Code::not_found || why.code == Code::precondition) why.code = Code::unavailable;
  return why;
}

std::vector<Overlap::Mark> marks_of(std::span<const Key> keys) {
  std::vector<Overlap::Mark> marks;
  for (const auto& key : keys) marks.push_back(Overlap::mark_of(key.id));
  return marks;
}

}  // namespace

std::vector<std::string> partition_names(const model::Schema& schema, const std::string& partition) {
  if (schema.partitions.empty() && partition.empty()) return {};
  return {partition.empty() ? std::string(default_partition) : partition};
}

void name_vectors(model::Record& record) {
  if (auto node = record.vectors.extract(std::string())) {
    node.key() = nameless_vector;
    record.vectors.insert(std::move(node));
  }
}

void unname_vectors(const model::Schema& schema, model::Record& record) {
  const bool nameless =
      std::ranges::any_of(schema.vectors, [](const auto& vector) { return vector.name.empty(); });
  if (!nameless) return;
  if (auto node = record.vectors.extract(std::string(nameless_vector))) {
    node.key().clear();
    record.vectors.insert(std::move(node));
  }
}

std::string keys_expression(const CollectionSchema& shape, std::span<const Key> keys) {
  std::string out = shape.primary()->name + " in [";
  bool first = true;
  for (const auto& key : keys) {
    if (!first) out += ", ";
    first = false;
    if (const auto* text = std::get_if<std::string>(&key.id.value)) {
      out += quoted(*text);
    } else if (const auto* number = std::get_if<int64_t>(&key.id.value)) {
      out += integer_text(*number);
    }
  }
  return out + "]";
}

// Milvus Lite misses what was written in the millisecond before a read, with the upsert's old version gone already
// (docs/decisions/0010).
void MilvusDriver::let_writes_show(Deadline deadline) {
  if (!lite_) return;
  std::mutex own;
  std::condition_variable never;
  std::unique_lock lock(own);
  clock_.wait_until(lock, never, std::min(deadline, clock_.in(std::chrono::milliseconds(2))),
                    [] { return false; });
}

Result<std::string> MilvusDriver::ask(const model::Schema& schema, const Asking& asking, Deadline deadline) {
  const std::string name = to_string(schema.name), database = database_of(schema.name.space);
  const auto& rpc = asking.rpc;
  const auto crossed_before = [&] { return asking.since != nullptr && asking.crossed(*asking.since); };
  for (int attempt = 1;; ++attempt) {
    const bool alone = attempt > asking.tries || crossed_before();
    const auto read =
        alone ? overlap_.read_alone(name, deadline) : Result<Overlap::Read>(overlap_.read(name));
    if (!read) return read.error();
    let_writes_show(deadline);
    const ProtoWriter request = asking.request(alone);
    const uint64_t since = settlings();
    auto answer = client_.call(rpc, database, request, deadline);
    // While the collection is being made anew a read of it fails in many words of the server's own.
    if (!answer && was_settling(schema.name, since, deadline))
      answer = client_.call(rpc, database, request, deadline);
    if (!answer && answer.error().code == Code::precondition) {
      // It is there, so nothing said from here on, such as that it has no index, may be taken for its absence.
      const auto loaded = as_it_is(schema.name, deadline, [&] { return load(schema.name, deadline); });
      if (!loaded) return unloadable(loaded.error());
      answer = client_.call(rpc, database, request, deadline);
      if (!answer && answer.error().code == Code::precondition)
        return unloadable(answer.error()).within("collection '" + name + "'");
    }
    if (!answer) return answer.error().within("collection '" + name + "'");
    if (alone || !(asking.since != nullptr ? crossed_before() : asking.crossed(*read))) return answer;
  }
}

Result<std::vector<Column>> MilvusDriver::fetch(const model::Schema& schema, const CollectionSchema& shape,
                                                const Rows& rows, const std::vector<std::string>& fields,
                                                Deadline deadline) {
  Asking asking;
  asking.rpc = "Query";
  asking.request = [&](bool alone) {
    uint64_t timestamp = alone ? 0 : rows.timestamp;
    if (timestamp == 0 && rows.consistency == model::Consistency::session)
      timestamp = session_.guarantee(to_string(schema.name), rows.keys, deadline);
    ProtoWriter request = on_collection(schema.name);
    request.bytes(4, rows.expression);
    for (const auto& field : fields) request.always_bytes(5, field);
    for (const auto& partition : rows.partitions) request.always_bytes(6, partition);
    Pairs params;
    if (rows.limit) params.emplace_back("limit", std::to_string(*rows.limit));
    if (rows.offset > 0) params.emplace_back("offset", std::to_string(rows.offset));
    if (rows.ordered) {
      params.emplace_back("iterator", "True");
      params.emplace_back("reduce_stop_for_best", "True");
    }
    write_pairs(request, 9, params);
    ask_for(request, ReadCall::query, timestamp);
    return request;
  };
  asking.crossed = [&](const Overlap::Read& read) {
    if (rows.past) return false;
    return rows.keys.empty() ? read.crossed_any() : read.crossed(marks_of(rows.keys));
  };
  asking.tries = rows.keys.empty() ? 1 : 2;
  asking.since = rows.since;
  auto answer = ask(schema, asking, deadline);
  if (!answer) return answer.error();
  std::vector<Column> columns;
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() != 2) continue;
    auto column = read_column(reader.bytes());
    if (!column) reader.fail();
    if (column) columns.push_back(std::move(*column));
  }
  if (!reader.ok() || shape.primary() == nullptr)
    return Error(Code::corrupt, "the answer to a query of '" + to_string(schema.name) + "' cannot be read");
  return columns;
}

Result<ShownRows> MilvusDriver::fetch_records(const model::Schema& schema, const CollectionSchema& shape,
                                              const Rows& rows, ReadParts parts, Deadline deadline) {
  std::vector<std::string> fields;
  for (const auto& field : shape.fields) {
    const bool wanted = field.primary || (is_vector(field.type) ? parts.vectors : parts.content);
    if (wanted && !field.dynamic && !field.function_output) fields.push_back(field.name);
  }
  if (parts.content && shape.dynamic) fields.emplace_back(meta_field);
  auto columns = fetch(schema, shape, rows, fields, deadline);
  if (!columns) return columns.error();
  size_t count = 0;
  for (const auto& column : *columns) {
    if (column.name == shape.primary()->name) count = column.rows();
  }
  if (count == 0) return ShownRows();
  const std::string partition = rows.partitions.size() == 1 && rows.partitions[0] != default_partition
                                    ? rows.partitions[0]
                                    : std::string();
  auto shown = read_shown_rows(shape, *columns, count, partition);
  if (!shown)
    return Error(Code::corrupt, shown.error().message).within("collection '" + to_string(schema.name) + "'");
  for (auto& record : shown->records) unname_vectors(schema, record);
  for (auto& one : shown->unread) one.error.message += "; write the record again without it";
  return shown;
}

Result<ShownRows> MilvusDriver::fetch_keys(const model::Schema& schema, const CollectionSchema& shape,
                                           std::span<const Key> keys, const std::string& expression,
                                           ReadParts parts, Deadline deadline) {
  ShownRows shown;
  for (auto& [partition, part] : by_partition(keys)) {
    std::erase_if(part, [&](const Key& key) { return !fits(shape, key); });
    const std::span<const Key> all(part);
    for (size_t at = 0; at < all.size(); at += keys_in_expression_max) {
      Rows rows;
      rows.keys = all.subspan(at, std::min(keys_in_expression_max, all.size() - at));
      rows.expression = keys_expression(shape, rows.keys);
      if (!expression.empty()) rows.expression = "(" + rows.expression + ") and " + expression;
      rows.partitions = partition_names(schema, partition);
      rows.consistency = parts.consistency;
      auto found = fetch_records(schema, shape, rows, parts, deadline);
      if (!found) {
        const auto dropped = was_dropped(schema, partition, found.error(), deadline);
        if (!dropped) return dropped.error();
        if (*dropped) break;
        return found.error();
      }
      std::ranges::move(found->records, std::back_inserter(shown.records));
      std::ranges::move(found->unread, std::back_inserter(shown.unread));
    }
  }
  return shown;
}

Result<std::vector<Record>> MilvusDriver::read(const model::Schema& schema, std::span<const Key> keys,
                                               ReadParts parts, Deadline deadline) {
  auto found = read_each(schema, keys, parts, deadline);
  if (!found) return found.error();
  if (!found->refused.empty()) return std::move(found->refused.front().error);
  return std::move(found->records);
}

Result<ReadResult> MilvusDriver::read_each(const model::Schema& schema, std::span<const Key> keys,
                                           ReadParts parts, Deadline deadline) {
  const auto shape = shape_of(schema, deadline);
  if (!shape) return shape.error();
  ReadResult result;
  std::map<Key, Error> refused;
  for (const auto& [partition, part] : by_partition(keys)) {
    auto found = fetch_keys(schema, **shape, part, {}, parts, deadline);
    if (found) {
      std::ranges::move(found->records, std::back_inserter(result.records));
      for (auto& one : found->unread) refused.emplace(std::move(one.key), std::move(one.error));
      continue;
    }
    const auto why = released(schema, partition, found.error(), deadline);
    if (!why) return found.error();
    for (const auto& key : part) refused.emplace(key, *why);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (const auto why = refused.find(keys[i]); why != refused.end())
      result.refused.push_back({i, why->second});
  }
  return result;
}

std::string MilvusDriver::session(const model::Schema& schema, std::span<const Key> keys) const {
  return session_.token(to_string(schema.name), keys);
}

Result<void> MilvusDriver::send_write(std::string_view rpc, const model::Schema& schema,
                                      const ProtoWriter& request, std::span<const Key> keys,
                                      Deadline deadline) {
  const auto answer = client_.call(rpc, database_of(schema.name.space), request, deadline);
  if (!answer) {
    if (!answer.error().surely_not_done()) session_.in_doubt(to_string(schema.name));
    return answer.error();
  }
  uint64_t timestamp = 0;
  ProtoReader reader(*answer);
  while (reader.next()) {
    if (reader.field() == 9) timestamp = reader.u64();  // milvus.proto, MutationResult
  }
  session_.wrote(to_string(schema.name), keys, timestamp, deadline);
  let_writes_show(deadline);  // the next write of the key, too, must find this one
  return {};
}

// A batch that the server refuses for its content is halved until the culprits are alone.
Result<void> MilvusDriver::send_upsert(const model::Schema& schema, const CollectionSchema& shape,
                                       std::span<const std::pair<size_t, const Record*>> records,
                                       UpsertMode mode, ApplyResult& result, bool& some_done,
                                       Deadline deadline) {
  if (records.empty()) return {};
  std::vector<Record> batch;
  for (const auto& [index, record] : records) {
    batch.push_back(*record);
    name_vectors(batch.back());
  }
  std::vector<Refused> refused;
  const auto columns = write_rows(shape, batch, refused);
  if (all_or_none(mode) && !some_done && !refused.empty())
    return Error(Code::invalid, refused.front().reason);
  for (const auto& one : refused)
    result.refused.push_back({records[one.index].first, Error(Code::invalid, one.reason)});
  if (refused.size() == records.size()) return {};
  ProtoWriter request = on_collection(schema.name);
  const std::string& partition = records[0].second->key.partition;
  for (const auto& name : partition_names(schema, partition)) request.bytes(4, name);
  for (const auto& column : columns) request.always_bytes(5, encode(column));
  request.u64(7, records.size() - refused.size());
  std::vector<Key> keys;
  for (const auto& record : batch) keys.push_back(record.key);
  const auto answer = send_write("Upsert", schema, request, keys, deadline);
  if (answer) {
    some_done = true;
    return {};
  }
  if (answer.error().code != Code::invalid)
    return answer.error().within("collection '" + to_string(schema.name) + "'");
  if (all_or_none(mode) && !some_done) return answer.error();
  if (records.size() == 1) {
    result.refused.push_back({records[0].first, answer.error()});
    return {};
  }
  std::vector<std::pair<size_t, const Record*>> rest;
  for (size_t i = 0; i < records.size(); ++i) {
    if (std::ranges::none_of(refused, [&](const Refused& one) { return one.index == i; }))
      rest.push_back(records[i]);
  }
  const std::span<const std::pair<size_t, const Record*>> all(rest);
  if (all.size() == 1) return send_upsert(schema, shape, all, mode, result, some_done, deadline);
  auto done = send_upsert(schema, shape, all.first(all.size() / 2), mode, result, some_done, deadline);
  if (!done) return done;
  return send_upsert(schema, shape, all.subspan(all.size() / 2), mode, result, some_done, deadline);
}

// An insert is an upsert as well: Milvus' insert would leave two records with one key.
Result<ApplyResult> MilvusDriver::upsert(const model::Schema& schema, std::span<const Record> records,
                                         UpsertMode mode, Deadline deadline) {
  auto shape = shape_of(schema, deadline);
  // One that is gone is for the caller to make: with what it held gone too, that must be seen.
  if (shape && is_open(**shape)) {
    auto settled = settle_dimension(schema, records, deadline);
    if (!settled) return settled.error();
    shape = shape_of(schema, deadline);
  }
  if (!shape) return shape.error();
  ApplyResult result;
  const auto lost = [&](const Key& key) { return !recent_ && key.id == model::Id{INT64_MAX}; };
  // Of a key given twice the last counts when replacing, the first when inserting; Milvus would keep both.
  std::map<Key, size_t> chosen;
  for (size_t i = 0; i < records.size(); ++i) {
    if (lost(records[i].key)) {
      result.refused.push_back(
          {i, Error(Code::invalid,
                    "id: Milvus 2.3 takes a record with the key 9223372036854775807 and never shows it")});
    } else if (!inserts(mode)) {
      chosen[records[i].key] = i;
    } else {
      chosen.emplace(records[i].key, i);
    }
  }
  if (all_or_none(mode) && !result.refused.empty()) return result.refused.front().error;
  std::vector<Key> keys;
  std::map<std::string, std::vector<std::pair<size_t, const Record*>>> parts;
  for (const auto& [key, index] : chosen) {
    keys.push_back(key);
    parts[key.partition].emplace_back(index, &records[index]);
  }
  if (parts.size() > 1) {
    std::vector<std::string> names;
    for (const auto& [partition, part] : parts) names.push_back(partition);
    if (auto known = check_partitions(schema, names, deadline); !known) return known.error();
  }
  const auto writing = overlap_.write(to_string(schema.name), keys, deadline);
  if (!writing) return writing.error();
  bool some_done = false;
  for (const auto& [partition, part] : parts) {
    std::vector<std::pair<size_t, const Record*>> batch;
    size_t bytes = 0;
    for (const auto& one : part) {
      const size_t more = bytes_of(*one.second);
      if (!batch.empty() && bytes + more > request_bytes_aim) {
        if (auto done = send_upsert(schema, **shape, batch, mode, result, some_done, deadline); !done)
          return done.error().not_whole(some_done);
        batch.clear();
        bytes = 0;
      }
      batch.push_back(one);
      bytes += more;
    }
    if (auto done = send_upsert(schema, **shape, batch, mode, result, some_done, deadline); !done)
      return done.error().not_whole(some_done);
  }
  return result;
}

Result<ApplyResult> MilvusDriver::erase(const model::Schema& schema, std::span<const Key> keys,
                                        Deadline deadline) {
  const uint64_t since = settlings();
  const auto shape = shape_of(schema, deadline);
  if (!shape) return shape.error();
  if (is_open(**shape)) return ApplyResult{};  // no record yet
  const auto writing = overlap_.write(to_string(schema.name), keys, deadline);
  if (!writing) return writing.error();
  bool some_done = false;
  for (auto& [partition, part] : by_partition(keys)) {
    std::erase_if(part, [&](const Key& key) { return !fits(**shape, key); });
    const std::span<const Key> all(part);
    for (size_t at = 0; at < all.size(); at += keys_in_expression_max) {
      ProtoWriter request = on_collection(schema.name);
      for (const auto& name : partition_names(schema, partition)) request.bytes(4, name);
      const auto these = all.subspan(at, std::min(keys_in_expression_max, all.size() - at));
      request.bytes(5, keys_expression(**shape, these));
      auto done = send_write("Delete", schema, request, these, deadline);
      if (!done && done.error().code == Code::not_found && was_settling(schema.name, since, deadline))
        done = send_write("Delete", schema, request, these, deadline);
      if (!done) {
        const auto dropped = was_dropped(schema, partition, done.error(), deadline);
        if (dropped && *dropped) break;
        const Error& error = dropped ? done.error() : dropped.error();
        return error.within("collection '" + to_string(schema.name) + "'").not_whole(some_done);
      }
      some_done = true;
    }
  }
  return ApplyResult{};
}

}  // namespace vmproxy::protocols::milvus
