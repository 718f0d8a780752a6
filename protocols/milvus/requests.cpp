#include "protocols/milvus/requests.h"

#include <algorithm>
#include <set>

#include "protocols/milvus/rows.h"
#include "protocols/wire/grpc.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

constexpr int template_depth_max = 8;

// TemplateArrayValue: 1 bools 2 longs 3 doubles 4 strings 5 arrays 6 json.
bool read_template_array(std::string_view bytes, model::Array& array, int depth) {
  if (depth == 0) return false;
  ProtoReader reader(bytes);
  while (reader.next()) {
    ProtoReader list(reader.bytes());
    std::vector<uint8_t> booleans;
    std::vector<int64_t> longs;
    std::vector<double> doubles;
    while (list.next()) {
      if (list.field() != 1) continue;
      switch (reader.field()) {
        case 1: list.append(booleans); break;
        case 2: list.append(longs); break;
        case 3: list.append(doubles); break;
        case 4: array.emplace_back(list.text()); break;
        case 5: {
          model::Array inner;
          if (!read_template_array(list.bytes(), inner, depth - 1)) return false;
          array.emplace_back(std::move(inner));
          break;
        }
        case 6: {
          auto value = wire::parse_json(list.bytes());
          if (!value) return false;
          array.push_back(std::move(*value));
          break;
        }
      }
    }
    if (!list.ok()) return false;
    for (const auto v : booleans) array.emplace_back(v != 0);
    for (const auto v : longs) array.emplace_back(v);
    for (const auto v : doubles) array.emplace_back(v);
  }
  return reader.ok();
}

}  // namespace

Result<std::string> message_of(const net::Request& request) {
  const auto encoding = request.headers.find("grpc-encoding");
  return wire::grpc_message(request.body, encoding.value_or(""), message_bytes_max);
}

std::string database_of(const net::Request& request, std::string_view in_message) {
  if (!in_message.empty()) return std::string(in_message);
  const auto header = request.headers.find("dbname");
  return std::string(header && !header->empty() ? *header : default_database);
}

std::optional<Address> read_address(std::string_view message) {
  Address address;
  ProtoReader reader(message);
  while (reader.next()) {
    const bool text = reader.type() == ProtoReader::Type::bytes;
    if (!text) continue;
    switch (reader.field()) {
      case 2: address.database = reader.text(); break;
      case 3: address.collection = reader.text(); break;
      case 4:
        address.fourth = std::string(reader.bytes());  // text, or a message, by the call
        address.fourths.push_back(address.fourth);
        break;
      case 5:
        address.fifth = std::string(reader.bytes());
        address.fifths.push_back(address.fifth);
        break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return address;
}

std::optional<Found> find_collection(const Catalog& catalog, std::string_view database,
                                     std::string_view name) {
  const std::string space = space_of(database);
  if (const auto* schema = catalog.find({space, std::string(name)})) {
    auto collection = from_native(schema->native);
    if (!collection) return std::nullopt;
    return Found{schema, std::move(*collection)};
  }
  for (const auto& schema : catalog.collections) {
    if (schema.name.space != space) continue;
    auto collection = from_native(schema.native);
    if (!collection) continue;
    if (std::ranges::find(collection->described.aliases, name) != collection->described.aliases.end())
      return Found{&schema, std::move(*collection)};
  }
  return std::nullopt;
}

Grammar grammar_of(const Catalog& catalog) {
  const auto* version = catalog.server.find("version");
  return Grammar::of_version(version != nullptr && version->is_string() ? version->string() : "");
}

bool read_template(std::string_view entry, Templates& templates) {
  std::string name;
  model::Value value;
  ProtoReader reader(entry);
  while (reader.next()) {
    if (reader.field() == 1) name = reader.text();
    if (reader.field() != 2) continue;
    ProtoReader inner(reader.bytes());
    while (inner.next()) {
      switch (inner.field()) {
        case 1: value = inner.boolean(); break;
        case 2: value = inner.i64(); break;
        case 3: value = inner.f64(); break;
        case 4: value = inner.text(); break;
        case 5: {
          model::Array array;
          if (!read_template_array(inner.bytes(), array, template_depth_max)) return false;
          value = std::move(array);
          break;
        }
      }
    }
    if (!inner.ok()) return false;
  }
  if (!reader.ok()) return false;
  templates[name] = std::move(value);
  return true;
}

std::optional<MutationRequest> read_mutation(std::string_view message) {
  MutationRequest request;
  ProtoReader reader(message);
  while (reader.next()) {
    switch (reader.field()) {
      case 2: request.address.database = reader.text(); break;
      case 3: request.address.collection = reader.text(); break;
      case 4: request.address.fourth = reader.text(); break;
      case 5: {
        auto column = read_column(reader.bytes());
        if (!column) return std::nullopt;
        request.columns.push_back(std::move(*column));
        break;
      }
      case 7: request.rows = reader.u32(); break;
      case 1:  // base
      case 6:  // hash_keys
      case 8:  // schema_timestamp
        break;
      case 9:  // partial_update, which some SDKs send when it is false; of an Insert: namespace
        if (reader.type() == ProtoReader::Type::varint && reader.u64() == 0) break;
        [[fallthrough]];
      default: request.unknown_field = reader.field();
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<DeleteRequest> read_delete(std::string_view message) {
  DeleteRequest request;
  ProtoReader reader(message);
  while (reader.next()) {
    switch (reader.field()) {
      case 2: request.address.database = reader.text(); break;
      case 3: request.address.collection = reader.text(); break;
      case 4: request.address.fourth = reader.text(); break;
      case 5: request.expression = reader.text(); break;
      case 8:
        if (!read_template(reader.bytes(), request.templates)) return std::nullopt;
        break;
      case 1:  // base
      case 6:  // hash_keys
      case 7:  // consistency_level
        break;
      default: request.unknown_field = reader.field();
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<QueryRequest> read_query(std::string_view message) {
  QueryRequest request;
  ProtoReader reader(message);
  while (reader.next()) {
    switch (reader.field()) {
      case 2: request.address.database = reader.text(); break;
      case 3: request.address.collection = reader.text(); break;
      case 4: request.expression = reader.text(); break;
      case 5: request.output_fields.push_back(reader.text()); break;
      case 6: request.partitions.push_back(reader.text()); break;
      case 9: read_pair(reader, request.params); break;
      case 13:
        if (!read_template(reader.bytes(), request.templates)) return std::nullopt;
        break;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<std::vector<model::Key>> keys_of(const model::Filter& filter, std::string_view partition) {
  using Kind = model::Filter::Kind;
  if ((filter.kind != Kind::in && filter.kind != Kind::equal) || filter.children.size() != 2)
    return std::nullopt;
  const bool forward = filter.children[0].kind == Kind::id;
  const auto& other = filter.children[forward ? 1 : 0];
  if (filter.children[forward ? 0 : 1].kind != Kind::id || other.kind != Kind::literal) return std::nullopt;
  std::vector<model::Key> keys;
  const auto add = [&](const model::Value& value) {
    if (value.is_string()) {
      keys.push_back(key_of(value.string(), partition));
    } else if (const auto* number = std::get_if<int64_t>(&value.data)) {
      keys.push_back(key_of(*number, partition));
    } else {
      return false;
    }
    return true;
  };
  if (filter.kind == Kind::equal) return add(other.value) ? std::optional(keys) : std::nullopt;
  if (!other.value.is_array() || !forward) return std::nullopt;
  std::set<model::Key> seen;
  for (const auto& value : other.value.array()) {
    if (!add(value)) return std::nullopt;
    if (!seen.insert(keys.back()).second) keys.pop_back();
  }
  return keys;
}

std::optional<std::string> not_an_image(const CollectionSchema& schema, const MutationRequest& request) {
  if (request.unknown_field != 0) return "the request may ask for a part of the record only";
  const auto* primary = schema.primary();
  if (primary == nullptr || primary->auto_id || schema.auto_id) return "the server makes up the keys";
  std::set<std::string_view> names;
  for (const auto& column : request.columns) {
    names.insert(column.name);
    if (!column.valid.empty()) return "a field may be null or take its default";
  }
  for (const auto& field : schema.fields) {
    if (field.function_output) return "the server computes a field";
    if (!field.dynamic && !names.contains(field.name)) return "a field is not in the request";
  }
  std::set<model::Key> keys;
  for (const auto& column : request.columns) {
    if (column.name != primary->name) continue;
    auto read = read_keys(column, {});
    if (!read) return "the keys cannot be read";
    for (auto& key : *read) {
      if (!keys.insert(std::move(key)).second) return "a key comes twice";
    }
  }
  return std::nullopt;
}

}  // namespace vmproxy::protocols::milvus
