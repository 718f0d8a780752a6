// Write: a decoded change with the source's semantics, and what came of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/filter.h"
#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::model {

struct Write {
  enum class Kind {
    insert_if_absent,  // existing ids are left alone, silently
    insert,            // an existing id is an error of the whole write
    replace,           // the whole record
    merge,             // existing: patch; absent: create
    update_existing,   // existing: patch; absent: nothing
    delete_keys,
    delete_where,  // filter, and keys when given: both must hold
  };
  Kind kind = Kind::merge;
  CollectionName collection;
  std::vector<Patch> patches;           // in request order; the same key may come twice, later wins
  std::vector<Key> keys;                // delete_keys, delete_where
  std::optional<Filter> filter;         // delete_where; nothing: every record
  std::vector<std::string> partitions;  // delete_where: only in these; empty: in all
  std::optional<uint64_t> limit;        // delete_where: at most so many
};

struct WriteResult {
  uint64_t affected = 0;     // records created, changed or deleted
  std::vector<Key> deleted;  // delete_where: which
};

// A change of what exists rather than of records.
struct SchemaChange {
  enum class Kind { create_collection, alter_collection, drop_collection, create_space, drop_space, other };
  Kind kind = Kind::other;
  Schema schema;        // create, alter: as it shall be
  CollectionName name;  // alter, drop: as it is now; space in create_space, drop_space
};

// How the primary's answer ended a write. Everything that is not proven is uncertain (correctness.md 2).
enum class Outcome : uint8_t { applied, rejected, uncertain };

}  // namespace vmproxy::model
