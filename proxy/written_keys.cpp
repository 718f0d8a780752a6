#include "proxy/written_keys.h"

#include <algorithm>
#include <optional>

#include "journal/rows.h"

namespace vmproxy::proxy {
namespace {

constexpr std::string_view round_row = "written round";
constexpr size_t round_bytes = 8;

std::string prefix(uint64_t round) {
  std::string out;
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(round >> shift);
  return out;
}

uint64_t round_of(std::string_view row) {
  uint64_t round = 0;
  for (const char c : row.substr(0, round_bytes)) round = round << 8 | static_cast<uint8_t>(c);
  return round;
}

}  // namespace

std::string WrittenKeys::row_key(uint64_t round, const std::string& collection, const std::string& key) {
  return prefix(round) + collection + '\0' + key;
}

Result<void> WrittenKeys::restore() {
  std::lock_guard hold(mutex_);
  auto row = journal_.row(journal::rows::state, round_row);
  if (!row) return row.error();
  if (*row && (*row)->size() == round_bytes) round_ = round_of(**row) + 1;
  return journal_.scan_rows(journal::rows::written, "", "", [this](std::string_view key, std::string_view) {
    ++count_;
    round_ = std::max(round_, round_of(key) + 1);
    return true;
  });
}

void WrittenKeys::note(const std::string& collection, const std::vector<std::string>& keys) {
  if (keys.empty()) return;
  std::lock_guard hold(mutex_);
  if (noted_.size() >= noted_max) {
    noted_.clear();
    ++round_;
  }
  std::vector<journal::Row> rows;
  for (const auto& key : keys) {
    if (!noted_.insert(collection + '\0' + key).second) continue;
    rows.push_back({std::string(journal::rows::written), row_key(round_, collection, key), ""});
  }
  if (rows.empty()) return;
  count_ += rows.size();
  // With the lock held: a round's rows are put before the row that begins the next one.
  journal_.put_rows(std::move(rows));
}

Result<uint64_t> WrittenKeys::begin_round() {
  uint64_t round = 0;
  {
    std::lock_guard hold(mutex_);
    round = ++round_;
    noted_.clear();
  }
  auto begun =
      journal_.commit_rows({{std::string(journal::rows::state), std::string(round_row), prefix(round)}});
  if (!begun) return begun.error();
  return round;
}

Result<std::vector<WrittenKey>> WrittenKeys::before(uint64_t round, size_t max, const WrittenKey* last) {
  std::vector<WrittenKey> found;
  const std::string from = last == nullptr ? "" : row_key(last->round, last->collection, last->key) + '\0';
  auto scanned =
      journal_.scan_rows(journal::rows::written, "", from, [&](std::string_view row, std::string_view) {
        if (row.size() < round_bytes || round_of(row) >= round) return false;
        const auto end = row.find('\0', round_bytes);
        if (end != std::string_view::npos) {
          found.push_back({round_of(row), std::string(row.substr(round_bytes, end - round_bytes)),
                           std::string(row.substr(end + 1))});
        }
        return found.size() < max;
      });
  if (!scanned) return scanned.error();
  return found;
}

Result<bool> WrittenKeys::any(const std::string& collection) {
  const auto round = begin_round();
  if (!round) return round.error();
  bool found = false;
  auto scanned =
      journal_.scan_rows(journal::rows::written, "", "", [&](std::string_view row, std::string_view) {
        if (row.size() < round_bytes || round_of(row) >= *round) return false;
        row.remove_prefix(round_bytes);
        found = row.substr(0, row.find('\0')) == collection;
        return !found;
      });
  if (!scanned) return scanned.error();
  return found;
}

void WrittenKeys::strike(const std::vector<WrittenKey>& compared) {
  std::vector<journal::Row> rows;
  for (const auto& w : compared)
    rows.push_back(
        {std::string(journal::rows::written), row_key(w.round, w.collection, w.key), std::nullopt});
  if (rows.empty()) return;
  {
    std::lock_guard hold(mutex_);
    count_ -= std::min<uint64_t>(count_, rows.size());
  }
  journal_.put_rows(std::move(rows));
}

Result<void> WrittenKeys::strike_before(uint64_t round) {
  std::optional<WrittenKey> last;
  while (true) {
    auto found = before(round, 10'000, last ? &*last : nullptr);
    if (!found) return found.error();
    if (found->empty()) return {};
    strike(*found);
    last = std::move(found->back());
  }
}

uint64_t WrittenKeys::count() const {
  std::lock_guard hold(mutex_);
  return count_;
}

}  // namespace vmproxy::proxy
