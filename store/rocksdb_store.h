// The Store on RocksDB, one directory. Write-ahead-log recovery refuses holes (kTolerateCorruptedTailRecords only for
// a torn tail), parallel flushes and async_io stay off (docs/decisions: bugs of 7.8).
#pragma once

#include "base/metrics.h"
#include "store/store.h"

namespace vmproxy::store {

// Code::precondition: another process holds the directory. Code::corrupt: damage that it found. Code::io: disk.
Result<std::unique_ptr<Store>> open_rocksdb(const std::string& directory);

}  // namespace vmproxy::store
