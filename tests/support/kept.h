// Kept: a journal over a store in memory, on a clock that the test moves. Rows that nobody waits for wait for that clock, so
// they are on the disk when the test says so.
#pragma once

#include <catch2/catch.hpp>

#include "base/fake_clock.h"
#include "journal/journal.h"
#include "journal/rows.h"
#include "store/memory_store.h"
#include "tests/store/print_result.h"

namespace vmproxy::support {

struct Kept {
  FakeClock clock;
  Metrics metrics;
  std::unique_ptr<store::MemoryStore> store = store::make_memory_store();
  std::unique_ptr<journal::Journal> journal;

  Kept() {
    auto opened = journal::Journal::open(*store, clock, metrics, {});
    if (!opened) FAIL(opened.error().message);
    journal = std::move(*opened);
  }
  // With it everything before it is on the disk.
  void commit() { REQUIRE(journal->commit_rows({})); }
  // Rows of this table that are on the disk.
  size_t rows(std::string_view table) {
    size_t count = 0;
    REQUIRE(journal->scan_rows(table, "", "",
                               [&count](std::string_view, std::string_view) { return ++count > 0; }));
    return count;
  }
};

}  // namespace vmproxy::support
