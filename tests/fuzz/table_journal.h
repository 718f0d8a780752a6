// A journal that keeps rows in memory, and nothing else.
#pragma once

#include <map>

#include "row_journal.h"

namespace vmproxy::fuzz {

class TableJournal final : public RowJournal {
 public:
  TableJournal() : RowJournal(std::nullopt) {}
  void put(std::string_view table, std::string_view key, std::string value) {
    rows_[{std::string(table), std::string(key)}] = std::move(value);
  }

  Result<std::optional<std::string>> row(std::string_view table, std::string_view key) override {
    const auto at = rows_.find({std::string(table), std::string(key)});
    return at == rows_.end() ? std::nullopt : std::optional(at->second);
  }
  Result<void> commit_rows(std::vector<journal::Row> rows) override {
    for (auto& row : rows) {
      if (row.value) {
        rows_[{row.table, row.key}] = std::move(*row.value);
      } else {
        rows_.erase({row.table, row.key});
      }
    }
    return {};
  }
  Result<void> scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                         const VisitRow& visit) override {
    for (const auto& [name, value] : rows_) {
      const auto& [in, key] = name;
      if (in == table && key.starts_with(prefix) && key >= from && !visit(key, value)) break;
    }
    return {};
  }
  Result<void> scan_latest_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                const VisitRow& visit) override {
    return scan_rows(table, prefix, from, visit);
  }
  Result<void> erase_rows(std::string_view table, std::string_view prefix) override {
    std::erase_if(rows_, [&](const auto& row) {
      return row.first.first == table && row.first.second.starts_with(prefix);
    });
    return {};
  }

 private:
  std::map<std::pair<std::string, std::string>, std::string> rows_;
};

}  // namespace vmproxy::fuzz
