// Capabilities of invented systems, from one that holds everything to one that holds flat fields only.
#pragma once

#include "model/capabilities.h"
#include "model/schema.h"

namespace vmproxy::sides {

inline model::Capabilities everything() {
  model::Capabilities side;
  side.id_u64 = side.id_i64 = side.id_uuid = side.id_string = true;
  side.partitions = side.documents = side.named_vectors = side.sparse_vectors = true;
  side.metadata_objects = side.metadata_arrays = side.metadata_arrays_any = side.metadata_nulls =
      side.metadata_empty = side.metadata_u64 = true;
  side.declared_fields = side.declared_nullable = true;
  side.vectors_f16 = true;
  return side;
}

// Text ids, one nameless vector, a document, metadata of scalars.
inline model::Capabilities flat() {
  model::Capabilities side;
  side.id_string = side.documents = side.requires_vector = true;
  return side;
}

// Integer or text ids, JSON metadata, no documents.
inline model::Capabilities json() {
  model::Capabilities side;
  side.id_i64 = side.id_string = side.named_vectors = side.requires_vector = true;
  side.metadata_objects = side.metadata_arrays = side.metadata_arrays_any = side.metadata_nulls = true;
  side.declared_fields = true;
  return side;
}

inline model::Schema collection(model::IdKind kind = model::IdKind::string) {
  model::Schema schema;
  schema.name = {"", "things"};
  schema.id_kind = kind;
  schema.vectors.push_back({});
  schema.vectors[0].dimension = 3;
  schema.has_document = true;
  return schema;
}

}  // namespace vmproxy::sides
