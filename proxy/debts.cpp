#include "proxy/debts.h"

#include <algorithm>

#include "base/rule.h"
#include "journal/rows.h"
#include "journal/unknown_format.h"
#include "model/codec.h"
#include "proxy/window_max.h"

namespace vmproxy::proxy {
namespace {

constexpr uint8_t row_format = 1;

std::string owner(const std::string& collection, const std::string& key) {
  return collection + '\0' + key;
}

std::optional<Debt> parse(std::string_view key, std::string_view value) {
  const auto end = key.find('\0');
  if (end == std::string_view::npos || key.size() < end + 9) return std::nullopt;
  Debt debt;
  debt.collection = key.substr(0, end);
  debt.key = key.substr(end + 1, key.size() - end - 9);
  for (const char c : key.substr(key.size() - 8)) debt.id = (debt.id << 8) | static_cast<uint8_t>(c);
  model::Reader reader(value);
  if (reader.u8() != row_format) return std::nullopt;
  debt.reason = static_cast<DebtReason>(reader.u8());
  const uint64_t window_ms = reader.u64();
  if (!reader.done() || debt.reason > DebtReason::carried ||
      window_ms > static_cast<uint64_t>(window_max.count()))
    return std::nullopt;
  debt.window = std::chrono::milliseconds(window_ms);
  return debt;
}

}  // namespace

std::string_view name_of(DebtReason reason) {
  switch (reason) {
    case DebtReason::uncertain: return "uncertain";
    case DebtReason::zombie: return "zombie";
    case DebtReason::crash: return "crash";
    case DebtReason::repair: return "repair";
    case DebtReason::retry: return "retry";
    case DebtReason::collapsed: return "collapsed";
    case DebtReason::carried: return "carried";
  }
  return "unknown";
}

Debts::Debts(journal::Journal& journal, Clock& clock, size_t waiting_max)
    : journal_(journal), clock_(clock), waiting_max_(waiting_max) {}

std::string Debts::row_key(const Debt& debt) {
  std::string key = owner(debt.collection, debt.key);
  for (int shift = 56; shift >= 0; shift -= 8) key += static_cast<char>(debt.id >> shift);
  return key;
}

Result<void> Debts::restore(const std::function<void(const Debt&)>& visit) {
  std::lock_guard hold(mutex_);
  const auto now = clock_.now();
  std::optional<Error> unread;
  auto scanned =
      journal_.scan_rows(journal::rows::debts, "", "", [&](std::string_view key, std::string_view value) {
        auto debt = parse(key, value);
        if (!debt) {
          const uint8_t format = value.empty() ? row_format : static_cast<uint8_t>(value.front());
          unread = format != row_format
                       ? journal::unknown_format("a debt to the replica", format, row_format)
                       : Error(Code::corrupt, "a debt row cannot be read; run `vmproxy journal verify`");
          return false;
        }
        ++count_;
        ++count_by_reason_[static_cast<size_t>(debt->reason)];
        next_id_ = std::max(next_id_, debt->id + 1);
        auto& last = last_due_[static_cast<size_t>(debt->reason)];
        last = std::max(last, now + debt->window);
        if (waiting_.size() < waiting_max_ || debt->reason == DebtReason::uncertain) {
          visit(*debt);
          ++owed_[owner(debt->collection, debt->key)];
          waiting_.emplace(now + debt->window, std::move(*debt));
        }
        return true;
      });
  if (!scanned) return scanned;
  if (unread) return *unread;
  return {};
}

void Debts::add(std::vector<Debt>& debts) {
  std::vector<journal::Row> rows;
  {
    std::lock_guard hold(mutex_);
    const auto now = clock_.now();
    for (Debt& debt : debts) {
      debt.id = next_id_++;
      model::Writer writer;
      writer.u8(row_format);
      writer.u8(static_cast<uint8_t>(debt.reason));
      writer.u64(
          static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(debt.window).count()));
      rows.push_back({std::string(journal::rows::debts), row_key(debt), writer.take()});
      ++count_;
      ++count_by_reason_[static_cast<size_t>(debt.reason)];
      auto& last = last_due_[static_cast<size_t>(debt.reason)];
      last = std::max(last, now + debt.window);
      // A window must be closed on time, so its debt is always held in memory; the others may wait on disk.
      if (waiting_.size() < waiting_max_ || debt.reason == DebtReason::uncertain) {
        ++owed_[owner(debt.collection, debt.key)];
        waiting_.emplace(now + debt.window, debt);
      }
    }
    // Under the lock, so that a row's removal can never overtake its creation.
    if (VMPROXY_RULE("debt.durable")) journal_.put_rows(std::move(rows));
  }
}

void Debts::refill() {
  std::unordered_set<DebtId> known;
  for (const auto& [due, debt] : waiting_) known.insert(debt.id);
  const auto now = clock_.now();
  // The latest rows: one paid a moment ago would be paid twice, one added a moment ago be missed. An error: tried again.
  (void)journal_.scan_latest_rows(journal::rows::debts, "", "",
                                  [&](std::string_view key, std::string_view value) {
                                    auto debt = parse(key, value);
                                    if (!debt || known.contains(debt->id) || handed_out_.contains(debt->id))
                                      return true;
                                    if (waiting_.size() >= waiting_max_) return false;
                                    ++owed_[owner(debt->collection, debt->key)];
                                    // Written long ago for lack of memory; waiting its window again is safe and never too early.
                                    waiting_.emplace(now + debt->window, std::move(*debt));
                                    return true;
                                  });
}

std::vector<Debt> Debts::due(size_t max) {
  std::lock_guard hold(mutex_);
  // Not only when memory is empty: there may always be an open window in it.
  if (more_on_disk() && waiting_.size() <= waiting_max_ / 2) refill();
  const auto now = clock_.now();
  std::vector<Debt> result;
  while (result.size() < max && !waiting_.empty() && waiting_.begin()->first <= now) {
    handed_out_.emplace(waiting_.begin()->second.id, waiting_.begin()->first);
    result.push_back(std::move(waiting_.begin()->second));
    waiting_.erase(waiting_.begin());
  }
  return result;
}

void Debts::paid(const std::vector<Debt>& debts) {
  if (debts.empty()) return;
  std::lock_guard hold(mutex_);
  std::vector<journal::Row> rows;
  for (const Debt& debt : debts) {
    if (handed_out_.erase(debt.id) == 0) continue;
    rows.push_back({std::string(journal::rows::debts), row_key(debt), std::nullopt});
    --count_;
    --count_by_reason_[static_cast<size_t>(debt.reason)];
    const auto at = owed_.find(owner(debt.collection, debt.key));
    if (at != owed_.end() && --at->second == 0) owed_.erase(at);
  }
  if (!rows.empty()) journal_.put_rows(std::move(rows));
}

std::vector<Debt> Debts::take_all_but(DebtReason reason) {
  std::lock_guard hold(mutex_);
  std::vector<Debt> result;
  do {
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      if (at->second.reason == reason) {
        ++at;
        continue;
      }
      handed_out_.emplace(at->second.id, at->first);
      result.push_back(std::move(at->second));
      at = waiting_.erase(at);
    }
    if (more_on_disk()) refill();
  } while (std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const auto& item) { return item.second.reason != reason; }));
  return result;
}

void Debts::put_back(std::vector<Debt> debts) {
  std::lock_guard hold(mutex_);
  for (Debt& debt : debts) {
    const auto at = handed_out_.find(debt.id);
    if (at == handed_out_.end()) continue;
    waiting_.emplace(at->second, std::move(debt));
    handed_out_.erase(at);
  }
}

Result<bool> Debts::owed(const std::string& collection, const std::string& key) {
  {
    std::lock_guard hold(mutex_);
    if (owed_.contains(owner(collection, key))) return true;
    if (!more_on_disk()) return false;
  }
  bool found = false;
  const std::string prefix = owner(collection, key);
  auto scanned = journal_.scan_latest_rows(journal::rows::debts, prefix, "",
                                           [&](std::string_view row, std::string_view) {
                                             found = row.size() == prefix.size() + 8;
                                             return !found;
                                           });
  if (!scanned) return scanned.error();
  return found;
}

uint64_t Debts::count() const {
  std::lock_guard hold(mutex_);
  return count_;
}

uint64_t Debts::count(DebtReason reason) const {
  std::lock_guard hold(mutex_);
  return count_by_reason_[static_cast<size_t>(reason)];
}

size_t Debts::held(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  const auto at = owed_.find(owner(collection, key));
  return at == owed_.end() ? 0 : static_cast<size_t>(at->second);
}

Debts::Waiting Debts::waiting_but(DebtReason reason) const {
  std::lock_guard hold(mutex_);
  Waiting found;
  for (const auto& [due, debt] : waiting_) {
    if (debt.reason == reason) continue;
    if (debt.reason == DebtReason::collapsed) {
      ++found.others;
    } else {
      found.keys.emplace_back(debt.collection, debt.key);
    }
  }
  found.others += count_ - handed_out_.size() - waiting_.size();
  return found;
}

std::optional<TimePoint> Debts::last_due(DebtReason reason) const {
  std::lock_guard hold(mutex_);
  if (count_by_reason_[static_cast<size_t>(reason)] == 0) return std::nullopt;
  return last_due_[static_cast<size_t>(reason)];
}

std::optional<TimePoint> Debts::next_due() const {
  std::lock_guard hold(mutex_);
  if (waiting_.empty()) return more_on_disk() ? std::optional(clock_.now()) : std::nullopt;
  return waiting_.begin()->first;
}

Duration Debts::oldest_age() const {
  std::lock_guard hold(mutex_);
  TimePoint oldest = clock_.now();
  const TimePoint now = oldest;
  if (!waiting_.empty()) oldest = std::min(oldest, waiting_.begin()->first);
  for (const auto& [id, due] : handed_out_) oldest = std::min(oldest, due);
  return now - oldest;
}

}  // namespace vmproxy::proxy
