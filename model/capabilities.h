// Capabilities: what one system can hold and promises.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace vmproxy::model {

// What a system can hold and promises, as constants. mapping/ decides by these what is carried, changed or refused.
struct Capabilities {
  // A read by key that starts after a write was acknowledged sees it (correctness.md 3, READ).
  bool read_after_write = true;
  // Bound that the server itself enforces on how long a request may still execute after we lost it; absent: no bound
  // is proven, and its uncertain writes become suspects.
  std::optional<Duration> max_exec;
  // How long an attempt of ours whose answer was lost may still take effect. Conservative where not enforced.
  Duration max_zombie = std::chrono::seconds(10);
  Duration staleness = Duration::zero();  // of its scan
  Duration read_wait =
      Duration::zero();  // what a read that sees all acknowledged writes takes by design, at most

  bool id_u64 = false, id_i64 = false, id_uuid = false, id_string = false;
  uint32_t id_bytes_max = 0;  // of string ids; 0: no bound
  bool partitions = false;
  bool partitions_later = false;  // a collection may get its first one at any time
  bool spaces = false;            // collections live under a path (tenant/database)
  bool documents = false;         // has a place for Record::document
  bool named_vectors = false;     // several vectors, or a vector with a name of the user's choice
  bool sparse_vectors = false;
  bool requires_vector = false;      // a record without a vector cannot be stored
  uint32_t dimension_max = 0;        // 0: no bound
  bool metadata_objects = false;     // nested objects in metadata
  bool metadata_arrays = false;      // arrays of scalars of one type
  bool metadata_arrays_any = false;  // arrays of anything
  bool metadata_nulls = false;       // a field that is null differs from an absent one
  bool metadata_empty = false;       // empty metadata differs from absent metadata
  bool metadata_u64 = false;         // integers above the largest int64
  bool declared_fields = false;      // typed fields besides dynamic metadata
  bool declared_nullable = false;    // ... that may be absent from a record
  bool declared_json_any = true;     // those of JSON hold any value, else objects only
  bool vectors_f16 = false, vectors_bf16 = false, vectors_binary = false;  // kinds besides dense_f32
  bool exact_search = false;          // search is exact where no index was built
  bool metric_fixed = false;          // a collection keeps the metric that it was created with
  bool insert_only = false;           // upsert(insert_only) is atomic per record in the database
  uint32_t batch_records_max = 1000;  // of upsert, erase and read
};

}  // namespace vmproxy::model
