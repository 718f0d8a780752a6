// Kept: a journal over a store in memory, on a clock that the test moves. Rows that nobody waits for wait for that clock, so
// they are on the disk when the test says so.
#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <functional>

#include "base/fake_clock.h"
#include "journal/journal.h"
#include "journal/rows.h"
#include "store/memory_store.h"
#include "tests/store/print_result.h"

namespace vmproxy::support {

// The message has each of these in it.
inline bool says_all(const Error& error, const std::vector<std::string>& words) {
  return std::all_of(words.begin(), words.end(),
                     [&](const std::string& word) { return error.message.find(word) != std::string::npos; });
}

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
  // Each row of this table becomes what `other` makes of it, on the disk.
  void rewrite(std::string_view table, const std::function<std::string(std::string)>& other) {
    commit();
    std::vector<journal::Row> changed;
    REQUIRE(journal->scan_rows(table, "", "", [&](std::string_view key, std::string_view value) {
      changed.push_back({std::string(table), std::string(key), other(std::string(value))});
      return true;
    }));
    REQUIRE_FALSE(changed.empty());
    REQUIRE(journal->commit_rows(std::move(changed)));
  }
  // ... another number of its format in front, as a version may leave it that this one does not know.
  void write_format(std::string_view table, uint8_t format) {
    rewrite(table, [format](std::string value) {
      value.at(0) = static_cast<char>(format);
      return value;
    });
  }
  // ... cut off in its middle.
  void cut(std::string_view table) {
    rewrite(table, [](const std::string& value) { return value.substr(0, value.size() / 2 + 1); });
  }
  // Rows of this table that are on the disk.
  size_t rows(std::string_view table) {
    size_t count = 0;
    REQUIRE(journal->scan_rows(table, "", "",
                               [&count](std::string_view, std::string_view) { return ++count > 0; }));
    return count;
  }
};

}  // namespace vmproxy::support
