// The Store on RocksDB. One directory:
//   db/      RocksDB
//   slot     the slot of Store::write_slot (see slot_file.h)
//   synced   how far synced commits went, to notice a write-ahead log that lost its tail (see
//   rocksdb_options.h)
#pragma once

#include "base/metrics.h"
#include "store/store.h"

namespace vmproxy::store {

// Code::precondition: another process holds the directory. Code::corrupt: damage that it found. Code::io:
// disk.
Result<std::unique_ptr<Store>> open_rocksdb(const std::string& directory);

}  // namespace vmproxy::store
