#include "protocols/milvus/search.h"

#include <charconv>
#include <cstring>

#include "protocols/milvus/collection.h"
#include "protocols/milvus/half.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

constexpr size_t queries_max = 16384;

std::string vector_bytes(const model::Vector& vector) {
  std::string bytes;
  if (const auto* dense = std::get_if<model::DenseVector>(&vector)) {
    bytes.assign(reinterpret_cast<const char*>(dense->data()), dense->size() * 4);
  } else {
    const auto& sparse = std::get<model::SparseVector>(vector);
    bytes.resize(sparse.indices.size() * 8);
    for (size_t i = 0; i < sparse.indices.size(); ++i) {
      std::memcpy(bytes.data() + 8 * i, &sparse.indices[i], 4);
      std::memcpy(bytes.data() + 8 * i + 4, &sparse.values[i], 4);
    }
  }
  return bytes;
}

Result<model::Vector> vector_of(DataType type, std::string_view bytes) {
  model::DenseVector dense;
  if (type == DataType::float_vector && bytes.size() % 4 == 0) {
    dense.resize(bytes.size() / 4);
    if (!dense.empty()) std::memcpy(dense.data(), bytes.data(), bytes.size());
    return model::Vector(std::move(dense));
  }
  if ((type == DataType::float16_vector || type == DataType::bfloat16_vector) && bytes.size() % 2 == 0) {
    for (size_t i = 0; i < bytes.size(); i += 2) {
      uint16_t bits = 0;
      std::memcpy(&bits, bytes.data() + i, 2);
      dense.push_back(type == DataType::float16_vector ? from_float16(bits) : from_bfloat16(bits));
    }
    return model::Vector(std::move(dense));
  }
  if (type == DataType::sparse_vector && bytes.size() % 8 == 0) {
    model::SparseVector sparse;
    for (size_t i = 0; i < bytes.size(); i += 8) {
      uint32_t index = 0;
      float value = 0;
      std::memcpy(&index, bytes.data() + i, 4);
      std::memcpy(&value, bytes.data() + i + 4, 4);
      if (!sparse.indices.empty() && index <= sparse.indices.back())
        return Error(Code::invalid, "sparse vectors must have ascending indices");
      sparse.indices.push_back(index);
      sparse.values.push_back(value);
    }
    return model::Vector(std::move(sparse));
  }
  return Error(Code::unsupported,
               "search.vector: queries of " + std::string(name_of(type)) + " are Milvus' own");
}

// PlaceholderGroup: 1 placeholders { 1 tag, 2 type, 3 values }.
Result<void> read_placeholders(std::string_view bytes, SearchRequest& request) {
  ProtoReader group(bytes);
  while (group.next()) {
    if (group.field() != 1) continue;
    ProtoReader one(group.bytes());
    DataType type = DataType::none;
    std::vector<std::string_view> values;
    while (one.next()) {
      if (one.field() == 2) type = static_cast<DataType>(one.i32());
      if (one.field() == 3) values.push_back(one.bytes());
    }
    if (!one.ok()) group.fail();
    for (const auto value : values) {
      auto vector = vector_of(type, value);
      if (!vector) return vector.error();
      request.vectors.push_back(std::move(*vector));
      request.vector_types.push_back(type);
      if (request.vectors.size() > queries_max)
        return Error(Code::invalid,
                     "nq [" + std::to_string(request.vectors.size()) +
                         "] is invalid, nq (number of search vector per search request) should be in "
                         "range [1, 16384]");
    }
  }
  if (!group.ok()) return Error(Code::invalid, "failed to unmarshal the placeholder group");
  return {};
}

bool number(const std::string& text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // Of 64 bits with a sign there, so that the sum of two does not wrap around.
  return error == std::errc() && end == text.data() + text.size() && value <= INT64_MAX;
}

Result<void> read_params(SearchRequest& request) {
  for (const auto& [key, value] : request.params) {
    if (key == "anns_field") request.field = value;
    if (key == "metric_type" && !value.empty()) request.metric = metric_named(value);
    if (key == "topk" || key == "limit") {
      if (!number(value, request.top_k)) return Error(Code::invalid, key + " [" + value + "] is invalid");
    }
    if (key == "offset" && !number(value, request.offset))
      return Error(Code::invalid, "offset [" + value + "] is invalid");
    const bool of_iterator = key == "search_iter_v2" && value == "True";
    if (of_iterator || (key == "group_by_field" && !value.empty()) || key == "strict_cast")
      request.special = key;
    if (key == "round_decimal" && value != "-1") request.special = key;
    if (key == "radius" || key == "range_filter") {
      double bound = 0;
      if (std::from_chars(value.data(), value.data() + value.size(), bound).ec == std::errc())
        (key == "radius" ? request.radius : request.range_filter) = bound;
    }
    if (key != "params") continue;
    const auto inner = wire::parse_json(value);
    if (!inner || !inner->is_object()) continue;
    if (const auto* metric = inner->find("metric_type");
        metric != nullptr && metric->is_string() && !metric->string().empty())
      request.metric = metric_named(metric->string());
    if (const auto* radius = inner->find("radius"); radius != nullptr && radius->is_number())
      request.radius = radius->number();
    if (const auto* filter = inner->find("range_filter"); filter != nullptr && filter->is_number())
      request.range_filter = filter->number();
  }
  return {};
}

}  // namespace

std::string encode(const SearchRequest& request) {
  ProtoWriter out;
  out.bytes(2, request.database);
  out.bytes(3, request.collection);
  for (const auto& partition : request.partitions) out.always_bytes(4, partition);
  out.bytes(5, request.expression);
  ProtoWriter placeholder;
  placeholder.bytes(1, "$0");
  const bool sparse =
      !request.vectors.empty() && std::holds_alternative<model::SparseVector>(request.vectors.front());
  placeholder.i32(2, static_cast<int32_t>(sparse ? DataType::sparse_vector : DataType::float_vector));
  for (const auto& vector : request.vectors) placeholder.always_bytes(3, vector_bytes(vector));
  ProtoWriter group;
  group.always_bytes(1, placeholder.view());
  out.bytes(6, group.view());
  out.i32(7, 1);
  for (const auto& field : request.output_fields) out.always_bytes(8, field);
  model::Object inner;
  if (request.radius) inner["radius"] = *request.radius;
  if (request.range_filter) inner["range_filter"] = *request.range_filter;
  Pairs params{{"anns_field", request.field},
               {"topk", std::to_string(request.top_k)},
               {"round_decimal", "-1"},
               {"params", wire::to_json(model::Value(std::move(inner)))}};
  if (request.metric) params.emplace_back("metric_type", name_of(*request.metric));
  if (request.offset > 0) params.emplace_back("offset", std::to_string(request.offset));
  write_pairs(out, 9, params);
  out.u64(12, request.vectors.size());
  out.i32(14, static_cast<int32_t>(Consistency::strong));
  return out.take();
}

Result<SearchRequest> read_search_request(std::string_view bytes) {
  SearchRequest request;
  std::string_view placeholders;
  ProtoReader reader(bytes);
  while (reader.next()) {
    switch (reader.field()) {
      case 2: request.database = reader.text(); break;
      case 3: request.collection = reader.text(); break;
      case 4: request.partitions.push_back(reader.text()); break;
      case 5: request.expression = reader.text(); break;
      case 6: placeholders = reader.bytes(); break;
      case 8: request.output_fields.push_back(reader.text()); break;
      case 9: read_pair(reader, request.params); break;
      case 16: request.by_keys = reader.boolean(); break;
      case 17: request.special = "sub_reqs"; break;
      case 18: request.template_values.emplace_back(reader.bytes()); break;
    }
  }
  if (!reader.ok()) return Error(Code::corrupt, "the message cannot be read");
  if (auto read = read_placeholders(placeholders, request); !read) return read.error();
  if (auto read = read_params(request); !read) return read.error();
  return request;
}

std::optional<SearchAnswer> read_search_answer(std::string_view bytes) {
  SearchAnswer answer;
  ProtoReader outer(bytes);
  while (outer.next()) {
    if (outer.field() == 3) answer.collection = outer.text();
    if (outer.field() != 2) continue;
    ProtoReader reader(outer.bytes());
    while (reader.next()) {
      switch (reader.field()) {
        case 1: answer.queries = reader.i64(); break;
        case 2: answer.top_k = reader.i64(); break;
        case 3: {
          auto column = read_column(reader.bytes());
          if (!column) return std::nullopt;
          answer.columns.push_back(std::move(*column));
          break;
        }
        case 4: reader.append(answer.scores); break;
        case 5: {
          auto ids = read_ids(reader.bytes());
          if (!ids) return std::nullopt;
          answer.ids = std::move(*ids);
          break;
        }
        case 6: reader.append(answer.top_ks); break;
        case 7: answer.output_fields.push_back(reader.text()); break;
      }
    }
    if (!reader.ok()) return std::nullopt;
  }
  if (!outer.ok()) return std::nullopt;
  return answer;
}

std::string encode(const SearchAnswer& answer) {
  ProtoWriter results;
  results.i64(1, answer.queries);
  results.i64(2, answer.top_k);
  for (const auto& column : answer.columns) results.always_bytes(3, encode(column));
  results.packed(4, answer.scores);
  if (!answer.scores.empty()) results.always_bytes(5, encode(answer.ids));
  results.packed(6, answer.top_ks);
  for (const auto& field : answer.output_fields) results.always_bytes(7, field);
  ProtoWriter out;
  out.always_bytes(1, encode(Status()));
  out.always_bytes(2, results.view());
  out.bytes(3, answer.collection);
  return out.take();
}

}  // namespace vmproxy::protocols::milvus
