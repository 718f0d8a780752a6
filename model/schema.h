// Schema: what a collection declares. `native` keeps everything else that its system showed of it, so that the
// system's own API can be answered from here when the system is gone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "model/key.h"
#include "model/value.h"

namespace vmproxy::model {

// Distances are stored in one form (smaller is nearer):
//   l2: squared Euclidean distance; cosine: 1 - cosine; inner_product: 1 - dot product.
// Dialects convert to what their API shows.
enum class Metric : uint8_t { l2, cosine, inner_product };

enum class VectorKind : uint8_t { dense_f32, dense_f16, dense_bf16, binary, sparse };

struct VectorField {
  std::string name;  // "" where the system has one nameless vector
  VectorKind kind = VectorKind::dense_f32;
  uint32_t dimension = 0;  // 0: not known yet, or sparse
  Metric metric = Metric::l2;
  Value index;  // parameters of its index as the system names them: {"type": "hnsw", "m": 16, ...}
};

enum class FieldKind : uint8_t { boolean, int8, int16, int32, int64, float32, float64, string, json, array };

struct Field {
  std::string name;
  FieldKind kind = FieldKind::json;
  FieldKind element = FieldKind::json;  // of an array
  uint32_t length_max = 0;              // of a string or array; 0: no bound
  bool nullable = true;
};

struct Schema {
  CollectionName name;
  std::string native_id;     // the system's own identifier of this collection (a UUID), may be empty
  uint64_t incarnation = 0;  // grows each time the collection is created again; 0: not assigned
  std::string id_name = "id";
  IdKind id_kind = IdKind::string;
  uint32_t id_length_max = 0;
  bool generated_ids = false;
  std::vector<VectorField> vectors;
  std::vector<Field> fields;  // declared fields; others go to dynamic metadata
  bool dynamic = true;        // metadata of any name is allowed
  bool has_document = false;  // the system keeps a document apart from the fields
  std::vector<std::string> partitions;
  Value metadata;  // of the collection itself
  Value native;    // as the system showed it
};

inline bool same_metrics(const Schema& a, const Schema& b) {
  return std::ranges::equal(a.vectors, b.vectors, {}, &VectorField::metric, &VectorField::metric);
}

}  // namespace vmproxy::model
