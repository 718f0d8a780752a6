// Insert, Upsert, Delete.
//
// Insert and Upsert both leave exactly the given record under its key: Milvus itself would keep two records
// after an Insert of a key that exists and show either; a database with unique keys shows the newer one.
#include <algorithm>
#include <cstring>

#include "protocols/milvus/rows.h"
#include "protocols/milvus/serve.h"

namespace vmproxy::protocols::milvus {
namespace {

// A timestamp that every server has passed: SDKs send the last one back with their next read, perhaps to
// the other database.
constexpr uint64_t timestamp_past = 1;

// The number of rows is what a request says, and need not be true.
constexpr uint32_t rows_named_max = 1 << 20;

// Filters rely on both of these (mapping/rewrite.h): a declared field that cannot be null is in every record, as what it was
// declared. Milvus refuses them as well; its words are other ones.
std::optional<Status> not_as_declared(const CollectionSchema& schema, const Column& meta) {
  for (const auto& text : meta.texts) {
    const auto members = read_json(text);
    if (!members || !members->is_object()) continue;  // read_rows() says what is wrong with it
    for (const auto& [name, member] : members->object()) {
      const FieldSchema* field = schema.find(name);
      if (field != nullptr && !field->dynamic)
        return failure(1100,
                       "dynamic field '" + name + "' has the name of a declared field: invalid parameter");
    }
  }
  return std::nullopt;
}

std::optional<Status> misfit(const FieldSchema& field, const Column& column, size_t rows) {
  if (!field.nullable && !field.default_value && std::ranges::find(column.valid, 0) != column.valid.end())
    return failure(1100, "field '" + field.name + "' must have a value in every row: invalid parameter");
  if (field.type == DataType::float_vector) {
    const uint32_t dimension = number_param(field, "dim");
    const size_t floats = column.floats.size();
    if (dimension == 0 || floats % dimension != 0) {
      return failure(65535, "the length(" + std::to_string(floats) +
                                ") of float data should divide the dim(" + std::to_string(dimension) + ")");
    }
    if (floats / dimension != rows || column.dimension != dimension) {
      return failure(65535, "the num_rows(" + std::to_string(floats / dimension) + ") of " + field.name +
                                " is not equal to passed NumRows(" + std::to_string(rows) + ")");
    }
    return std::nullopt;
  }
  if (column.rows() != rows) {
    return failure(65535, "the num_rows(" + std::to_string(column.rows()) + ") of " + field.name +
                              " is not equal to passed NumRows(" + std::to_string(rows) + ")");
  }
  const uint32_t length = number_param(field, "max_length");
  if (field.type == DataType::varchar && length > 0) {
    for (size_t i = 0; i < column.texts.size(); ++i) {
      if (column.texts[i].size() <= length) continue;
      return failure(
          1100, "the length (" + std::to_string(column.texts[i].size()) + ") of " + std::to_string(i) +
                    "th string exceeds max length (" + std::to_string(length) +
                    "): invalid parameter[expected=valid length string][actual=string length exceeds max "
                    "length]");
    }
  }
  return std::nullopt;
}

std::optional<Status> misfit(const CollectionSchema& schema, const MutationRequest& request, bool generated) {
  if (request.rows == 0) return failure(65535, "num_rows should be greater than 0");
  for (const auto& column : request.columns) {
    if (column.dynamic || column.name == meta_field) {
      if (auto found = not_as_declared(schema, column)) return found;
      continue;
    }
    if (schema.find(column.name) == nullptr) return failure(65535, "field " + column.name + " not exist");
  }
  for (const auto& field : schema.fields) {
    if (field.dynamic || field.function_output || (field.primary && generated)) continue;
    const auto at = std::ranges::find(request.columns, field.name, &Column::name);
    if (at == request.columns.end()) {
      if (field.nullable || field.default_value) continue;
      return failure(65535, "fieldSchema(" + field.name + ") has no corresponding fieldData pass in");
    }
    if (auto found = misfit(field, *at, request.rows)) return found;
  }
  return std::nullopt;
}

// ValueField: 1 bool 2 int 3 long 4 float 5 double 6 string.
model::Value default_of(std::string_view bytes) {
  model::Value value;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 1: value = reader.boolean(); break;
      case 2:
      case 3: value = reader.i64(); break;
      case 4: value = static_cast<double>(reader.f32()); break;
      case 5: value = reader.f64(); break;
      case 6: value = reader.text(); break;
    }
  }
  return value;
}

int64_t new_id(Backend& backend) {
  const auto uuid = backend.new_uuid();
  uint64_t bits = 0;
  std::memcpy(&bits, uuid.bytes.data(), sizeof bits);
  return static_cast<int64_t>((bits ^ uuid.bytes[15] * 0x9e3779b97f4a7c15u) >> 4 | uint64_t{1} << 58);
}

// A refused Insert or Upsert names all its rows as failed.
Answer refuse_rows(size_t rows, const Status& status) {
  std::vector<uint32_t> indexes;
  for (uint32_t i = 0; i < std::min<size_t>(rows, rows_named_max); ++i) indexes.push_back(i);
  ProtoWriter out;
  out.always_bytes(1, encode(status));
  out.packed(4, indexes);
  return answer(out.view());
}

Error only_milvus_knows(uint32_t field) {
  return {Code::unsupported, "records.request_field: the request sets field " + std::to_string(field) +
                                 " (partial updates, namespaces), which only Milvus itself can follow"};
}

Answer mutate(Asked& asked, bool upsert) {
  const auto read = read_mutation(asked.message);
  if (!read) return grpc_refusal(13, "the message cannot be read");
  if (read->unknown_field != 0) return only_milvus_knows(read->unknown_field);
  const Target target = target_of(asked, read->address.database, read->address.collection);
  if (!target.found) return answer(asked.rpc, target.refusal());
  const Collection& collection = target.found->collection;
  const CollectionSchema& schema = collection.described.schema;
  const FieldSchema* primary = schema.primary();
  if (primary == nullptr) return Error(Code::corrupt, "collection '" + target.name + "' has no primary key");
  const bool generated = primary->auto_id || schema.auto_id;
  if (generated && upsert)
    return refuse_rows(
        read->rows,
        failure(1100, "upsert can not assign primary field data when auto id enabled " + primary->name));
  if (const auto refusal = misfit(schema, *read, generated)) return refuse_rows(read->rows, *refusal);
  Status refusal;
  std::vector<std::string> named;
  if (!read->address.fourth.empty()) named.push_back(read->address.fourth);
  if (!partitions_of(collection, named, refusal))
    return refuse_rows(read->rows, failure(200, "partition not found[partition=" + named[0] + "]"));
  auto records = read_rows(schema, read->columns, read->rows,
                           schema.partition_key() ? std::string_view() : read->address.fourth);
  if (!records) return refuse_rows(read->rows, failure(65535, records.error().message));

  model::Write write;
  write.kind = model::Write::Kind::replace;
  write.collection = target.found->schema->name;
  Ids ids;
  for (auto& record : *records) {
    if (generated) {
      const int64_t id = new_id(asked.backend);
      record.key = primary->type == DataType::varchar ? key_of(std::to_string(id), read->address.fourth)
                                                      : key_of(id, read->address.fourth);
    }
    if (const auto* text = std::get_if<std::string>(&record.key.id.value)) {
      ids.texts.push_back(*text);
    } else if (const auto* number = std::get_if<int64_t>(&record.key.id.value)) {
      ids.longs.push_back(*number);
    } else {
      return refuse_rows(read->rows, failure(65535, "the primary key is missing"));
    }
    model::Patch patch;
    patch.key = std::move(record.key);
    patch.vectors = std::move(record.vectors);
    patch.replace_metadata = true;
    if (record.metadata) patch.set = std::move(*record.metadata);
    for (const auto& field : schema.fields) {
      if (field.default_value && !patch.set.contains(field.name))
        patch.set[field.name] = default_of(*field.default_value);
    }
    write.patches.push_back(std::move(patch));
  }
  auto written = asked.backend.write(write);
  if (!written) {
    if (written.error().code == Code::invalid)
      return refuse_rows(read->rows, failure(1100, written.error().message));
    return written.error();
  }
  const auto count = static_cast<int64_t>(read->rows);
  std::vector<uint32_t> indexes;
  for (uint32_t i = 0; i < read->rows; ++i) indexes.push_back(i);
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, encode(ids));
  out.packed(3, indexes);
  out.i64(6, count);
  if (upsert) {
    out.i64(7, count);
    out.i64(8, count);
  }
  out.u64(9, timestamp_past);
  return answer(out.view());
}

Answer remove(Asked& asked) {
  const auto read = read_delete(asked.message);
  if (!read) return grpc_refusal(13, "the message cannot be read");
  if (read->unknown_field != 0) return only_milvus_knows(read->unknown_field);
  const Target target = target_of(asked, read->address.database, read->address.collection);
  if (!target.found) return answer(asked.rpc, target.refusal());
  const Collection& collection = target.found->collection;
  if (read->expression.find_first_not_of(" \t\r\n") == std::string::npos)
    return answer(asked.rpc, failure(1100, "delete plan can't be empty or always true: invalid parameter"));
  auto filter = parse_expression(read->expression, collection.described.schema,
                                 grammar_of(asked.backend.catalog()), read->templates);
  if (!filter) {
    if (filter.error().code == Code::unsupported) return filter.error();
    return answer(asked.rpc, failure(65535, "failed to create expr plan, expr = " + read->expression));
  }
  Status refusal;
  std::vector<std::string> named;
  if (!read->address.fourth.empty()) named.push_back(read->address.fourth);
  auto partitions = partitions_of(collection, named, refusal);
  if (!partitions) return answer(asked.rpc, refusal);
  model::Write write;
  write.collection = target.found->schema->name;
  int64_t count = 0;
  // By key a record goes wherever it is, loaded or not.
  const auto ids = keys_of(*filter, {});
  const auto within = named.empty() ? named : *partitions;
  if (auto keys = keys_in(*target.found->schema, *filter, within)) {
    write.kind = model::Write::Kind::delete_keys;
    write.keys = std::move(*keys);
  } else {
    if (!ids && !collection.loaded) return answer(asked.rpc, not_loaded(collection, "delete"));
    write.partitions = ids ? within : std::move(*partitions);
    write.kind = model::Write::Kind::delete_where;
    write.filter = std::move(*filter);
  }
  if (ids) count = static_cast<int64_t>(ids->size());  // found or not
  if (write.kind == model::Write::Kind::delete_where || !write.keys.empty()) {
    auto written = asked.backend.write(write);
    if (!written) return written.error();
    if (!ids) count = static_cast<int64_t>(written->affected);
  }
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, "");
  out.i64(7, count);
  return answer(out.view());
}

}  // namespace

Answer serve_writes(Asked& asked) {
  return asked.rpc == Rpc::remove ? remove(asked) : mutate(asked, asked.rpc == Rpc::upsert);
}

}  // namespace vmproxy::protocols::milvus
