// A journal on RocksDB in a directory, opened as the product opens it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "journal/journal.h"
#include "store/rocksdb_store.h"

namespace vmproxy::journal {

struct OnDisk {
  SystemClock clock;
  Metrics metrics;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<Journal> journal;

  Result<void> open(const std::string& path) {
    auto opened = store::open_rocksdb(path);
    if (!opened) return opened.error();
    store = std::move(*opened);
    auto started = Journal::open(*store, clock, metrics, {});
    if (!started) return started.error();
    journal = std::move(*started);
    return {};
  }
};

}  // namespace vmproxy::journal
