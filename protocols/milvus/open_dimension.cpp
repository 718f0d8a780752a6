#include "protocols/milvus/open_dimension.h"

#include <algorithm>

namespace vmproxy::protocols::milvus {

bool is_open(const CollectionSchema& schema) {
  return std::ranges::any_of(schema.fields, [](const FieldSchema& field) { return is_open(field); });
}

uint32_t dimension_of(const FieldSchema& field) {
  return is_open(field) ? 0 : number_param(field, "dim");
}

namespace {

bool open(const model::VectorField& field) {
  return field.kind != model::VectorKind::sparse && field.dimension == 0;
}

const model::DenseVector* vector_of(const model::Record& record, const model::VectorField& field) {
  auto at = record.vectors.find(field.name);
  if (at == record.vectors.end()) at = record.vectors.find(std::string());
  return at == record.vectors.end() ? nullptr : std::get_if<model::DenseVector>(&at->second);
}

}  // namespace

bool is_open(const model::Schema& schema) {
  return std::ranges::any_of(schema.vectors, open);
}

bool take_dimensions(model::Schema& schema, std::span<const model::Record> records) {
  for (const auto& record : records) {
    const bool tells = std::ranges::all_of(schema.vectors, [&](const auto& field) {
      const auto* vector = vector_of(record, field);
      return !open(field) || (vector != nullptr && !vector->empty());
    });
    if (!tells) continue;
    for (auto& field : schema.vectors) {
      if (open(field)) field.dimension = static_cast<uint32_t>(vector_of(record, field)->size());
    }
    return true;
  }
  return false;
}

}  // namespace vmproxy::protocols::milvus
