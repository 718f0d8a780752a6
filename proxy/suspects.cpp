#include "proxy/suspects.h"

#include <algorithm>
#include <functional>

#include "journal/rows.h"

namespace vmproxy::proxy {

Result<void> Suspects::restore() {
  std::lock_guard hold(mutex_);
  return journal_.scan_rows(journal::rows::suspects, "", "", [this](std::string_view row, std::string_view) {
    ++count_;
    if (known_.size() < known_max) known_.insert(std::hash<std::string_view>()(row));
    return true;
  });
}

void Suspects::mark(const std::string& collection, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  std::vector<journal::Row> rows;
  std::lock_guard hold(mutex_);
  for (const auto& key : keys) {
    std::string row = row_of(collection, key);
    const size_t hash = std::hash<std::string_view>()(row);
    const bool full = known_.size() >= known_max;
    if (full ? !known_.contains(hash) : known_.insert(hash).second) ++count_;
    rows.push_back({std::string(journal::rows::suspects), std::move(row), ""});
  }
  // With the lock held: a mark and its end reach the journal in their order.
  journal_.put_rows(std::move(rows));
}

void Suspects::strike(const std::vector<SuspectKey>& keys) {
  if (keys.empty()) return;
  std::vector<journal::Row> rows;
  std::lock_guard hold(mutex_);
  for (const auto& [collection, key] : keys) {
    std::string row = row_of(collection, key);
    known_.erase(std::hash<std::string_view>()(row));
    rows.push_back({std::string(journal::rows::suspects), std::move(row), std::nullopt});
  }
  count_ -= std::min<uint64_t>(count_, keys.size());
  journal_.put_rows(std::move(rows));
}

Result<std::vector<SuspectKey>> Suspects::after(const SuspectKey* last, size_t max) {
  std::vector<SuspectKey> found;
  const std::string from = last == nullptr ? "" : row_of(last->collection, last->key) + '\0';
  auto scanned = journal_.scan_latest_rows(
      journal::rows::suspects, "", from, [&](std::string_view row, std::string_view) {
        const auto end = row.find('\0');
        if (end != std::string_view::npos)
          found.push_back({std::string(row.substr(0, end)), std::string(row.substr(end + 1))});
        return found.size() < max;
      });
  if (!scanned) return scanned.error();
  return found;
}

uint64_t Suspects::count() const {
  std::lock_guard hold(mutex_);
  return count_;
}

}  // namespace vmproxy::proxy
