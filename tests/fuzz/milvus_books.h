// A collection of Milvus with a field of each kind, for targets that need one.
#pragma once

#include "protocols/milvus/collection.h"
#include "protocols/milvus/rows.h"

namespace vmproxy::fuzz {

namespace milvus = protocols::milvus;

inline milvus::CollectionSchema books() {
  using milvus::DataType;
  milvus::CollectionSchema schema;
  schema.name = "books";
  const auto add = [&](int64_t id, std::string name, DataType type) -> milvus::FieldSchema& {
    auto& field = schema.fields.emplace_back();
    field.id = id;
    field.name = std::move(name);
    field.type = type;
    return field;
  };
  add(100, "id", DataType::int64).primary = true;
  add(101, "vector", DataType::float_vector).type_params = {{"dim", "2"}};
  add(102, "title", DataType::varchar).type_params = {{"max_length", "64"}};
  add(103, "year", DataType::int32);
  add(104, "price", DataType::float64);
  add(105, "new", DataType::boolean);
  add(106, "info", DataType::json);
  add(107, "tags", DataType::array).element = DataType::varchar;
  add(108, "score", DataType::float32);
  add(109, "note", DataType::varchar).nullable = true;
  schema.dynamic = true;
  return schema;
}

// As its server shows it: one index, one partition besides the default one.
inline milvus::Collection books_shown() {
  milvus::Collection out;
  out.described.schema = books();
  out.described.name = "books";
  out.described.id = 7;
  auto& index = out.indexes.emplace_back();
  index.name = "by_vector";
  index.id = 8;
  index.params = {{"metric_type", "L2"}, {"index_type", "FLAT"}};
  index.field = "vector";
  out.partitions = {{"_default", 9, 0, 0}, {"more", 10, 0, 0}};
  return out;
}

inline model::Record book(int64_t n) {
  const char* colours[] = {"red", "green", "blue"};
  model::Record record;
  record.key = milvus::key_of(n);
  record.vectors["vector"] = model::DenseVector{1, static_cast<float>(n)};
  record.metadata = model::Object{{"title", "title " + std::to_string(n)},
                                  {"year", 1990 + n},
                                  {"price", static_cast<double>(n) / 4},
                                  {"new", n % 2 == 0},
                                  {"info", model::Object{{"colour", colours[n % 3]}, {"n", n}}},
                                  {"tags", model::Array{"a", "b" + std::to_string(n)}},
                                  {"score", static_cast<double>(0.1f * static_cast<float>(n))}};
  if (n % 2 == 0) (*record.metadata)["note"] = "note " + std::to_string(n);
  if (n % 4 != 0)
    (*record.metadata)["extra"] = n % 4 == 1 ? model::Value(n) : model::Value("dynamic " + std::to_string(n));
  return record;
}

}  // namespace vmproxy::fuzz
