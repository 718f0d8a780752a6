// Rows: pending ones first, then the store.
#include "journal/durable_journal.h"

namespace vmproxy::journal {

std::optional<std::optional<std::string>> DurableJournal::find_pending(const std::string& key) const {
  for (auto group = pending_.rbegin(); group != pending_.rend(); ++group) {
    if (auto found = group->find(key)) return found;
  }
  return std::nullopt;
}

// Waits until what was put before this call is committed, so that scans see it. Not when that would wait for
// itself.
void DurableJournal::settle() {
  if (on_committer()) return;
  Lock hold(mutex_);
  if (pending_.empty() || failure_ || closed_) return;
  const uint64_t number = pending_.back().number;
  pending_.back().urgent = true;
  wake(true);
  progress_.wait(hold, [&] { return group_done_ >= number || failure_ || stopping_; });
}

Result<std::optional<std::string>> DurableJournal::row(std::string_view table, std::string_view key) {
  const std::string full = row_key(table, key);
  std::optional<std::string> value;
  std::optional<std::optional<std::string>> pending;
  {
    Lock hold(mutex_);
    pending = find_pending(full);
  }
  if (pending) {
    value = std::move(*pending);
  } else {
    auto stored = store_.get(full);
    if (!stored) return stored.error();
    value = std::move(*stored);
  }
  if (!value) return std::optional<std::string>();
  auto payload = unseal(full, *value);
  if (!payload) return payload.error();
  return std::optional<std::string>(std::string(*payload));
}

Result<std::vector<bool>> DurableJournal::rows_exist(std::string_view table,
                                                     const std::vector<std::string>& keys) {
  std::vector<bool> result(keys.size());
  std::vector<std::string> unknown;
  std::vector<size_t> positions;
  {
    std::vector<std::string> full;
    full.reserve(keys.size());
    for (const auto& key : keys) full.push_back(row_key(table, key));
    Lock hold(mutex_);
    for (size_t i = 0; i < full.size(); ++i) {
      if (auto pending = find_pending(full[i])) {
        result[i] = pending->has_value();
      } else {
        unknown.push_back(std::move(full[i]));
        positions.push_back(i);
      }
    }
  }
  if (unknown.empty()) return result;
  auto stored = store_.get_many(unknown);
  if (!stored) return stored.error();
  for (size_t i = 0; i < positions.size(); ++i) result[positions[i]] = (*stored)[i].has_value();
  return result;
}

Result<void> DurableJournal::scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                       const VisitRow& visit) {
  const std::string start = row_key(table, "");
  const std::string end = after_prefix(row_key(table, prefix));
  std::optional<Error> damaged;
  auto scanned = store_.scan(row_key(table, std::max(prefix, from)), end, [&](auto key, auto value) {
    auto payload = unseal(key, value);
    if (!payload) {
      damaged = payload.error();
      return false;
    }
    return visit(key.substr(start.size()), *payload);
  });
  if (!scanned) return scanned;
  if (damaged) return *damaged;
  return {};
}

Result<void> DurableJournal::scan_latest_rows(std::string_view table, std::string_view prefix,
                                              std::string_view from, const VisitRow& visit) {
  const std::string start = row_key(table, "");
  const std::string first = row_key(table, std::max(prefix, from));
  const std::string end = after_prefix(row_key(table, prefix));
  // Taken before the stored ones: what is committed meanwhile is in both, and seen once.
  std::map<std::string, std::optional<std::string>> pending;
  {
    Lock hold(mutex_);
    std::vector<std::string> keys;
    for (const auto& group : pending_) group.keys_between(first, end, keys);
    for (auto& key : keys) {
      auto found = find_pending(key);
      if (found) pending.insert_or_assign(std::move(key), std::move(*found));
    }
  }
  std::optional<Error> damaged;
  const auto show = [&](std::string_view key, std::string_view value) {
    auto payload = unseal(key, value);
    if (!payload) {
      damaged = payload.error();
      return false;
    }
    return visit(key.substr(start.size()), *payload);
  };
  bool wanted = true;
  auto next = pending.begin();
  const auto show_pending_before = [&](std::optional<std::string_view> key) {
    for (; wanted && next != pending.end() && (!key || next->first < *key); ++next) {
      if (next->second) wanted = show(next->first, *next->second);
    }
  };
  auto scanned = store_.scan(first, end, [&](auto key, auto value) {
    show_pending_before(key);
    if (!wanted) return false;
    if (next != pending.end() && next->first == key) return true;  // the newer one comes next
    wanted = show(key, value);
    return wanted;
  });
  if (!scanned) return scanned;
  show_pending_before(std::nullopt);
  if (damaged) return *damaged;
  return {};
}

Result<void> DurableJournal::erase_rows(std::string_view table, std::string_view prefix) {
  std::string from = row_key(table, prefix);
  std::string to = after_prefix(from);
  return wait_for([&](Done done) {
    Lock hold(mutex_);
    if (auto error = refusal(0)) {
      refuse([done = std::move(done), error = *error] { done(error); });
      return;
    }
    Group& group = this->group();
    const size_t first = group.batch.size();
    group.erase_visible_range(std::move(from), std::move(to));
    group.complete({0, nullptr, std::move(done), first, group.batch.size()});
    group.sync = group.urgent = true;
    wake(true);
  });
}

}  // namespace vmproxy::journal
