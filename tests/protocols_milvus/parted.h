// A collection "things" of two partitions in a database in memory.
#pragma once

#include <catch2/catch.hpp>

#include "memory_backend.h"
#include "protocols/milvus/collection.h"
#include "protocols/milvus/rows.h"
#include "things.h"

namespace vmproxy::protocols::milvus::test {

inline Collection parted() {
  Collection collection;
  collection.described.name = collection.described.schema.name = "things";
  add_things_fields(collection.described);
  collection.partitions = {{std::string(default_partition), 1, 0, 0}, {"old", 2, 0, 0}};
  collection.loaded = true;
  return collection;
}

// Records 1 and 2 in each of the two partitions.
inline void fill(MemoryBackend& backend, const Collection& collection) {
  backend.catalog_.collections.push_back(to_schema(collection));
  model::Write write;
  write.collection = backend.catalog_.collections[0].name;
  for (const char* partition : {"", "old"}) {
    for (const int64_t id : {1, 2})
      write.patches.push_back({key_of(id, partition), {}, {}, false, {}, {}, false});
  }
  REQUIRE(backend.write(write).has_value());
}

}  // namespace vmproxy::protocols::milvus::test
