#include "backfill/record_bytes.h"

namespace vmproxy::backfill {
namespace {

constexpr uint64_t node_bytes = 64;  // of a map's node, a variant, a small string

uint64_t value_bytes(const model::Value& value) {
  if (value.is_string()) return node_bytes + value.string().size();
  uint64_t bytes = node_bytes;
  if (value.is_array()) {
    for (const auto& item : value.array()) bytes += value_bytes(item);
  } else if (value.is_object()) {
    for (const auto& [name, item] : value.object()) bytes += node_bytes + name.size() + value_bytes(item);
  }
  return bytes;
}

}  // namespace

uint64_t record_bytes(const model::Record& record) {
  uint64_t bytes = 2 * node_bytes + record.key.partition.size();
  if (const auto* text = std::get_if<std::string>(&record.key.id.value)) bytes += text->size();
  for (const auto& [name, vector] : record.vectors) {
    bytes += node_bytes + name.size();
    if (const auto* dense = std::get_if<model::DenseVector>(&vector)) {
      bytes += dense->size() * sizeof(float);
    } else {
      bytes += std::get<model::SparseVector>(vector).indices.size() * (sizeof(float) + sizeof(uint32_t));
    }
  }
  if (record.document) bytes += record.document->size();
  if (record.metadata) {
    for (const auto& [name, value] : *record.metadata) bytes += node_bytes + name.size() + value_bytes(value);
  }
  return bytes;
}

}  // namespace vmproxy::backfill
