#include "proxy/lane_queue.h"

#include <algorithm>
#include <exception>

#include "base/rule.h"

namespace vmproxy::proxy {
namespace {

constexpr size_t looks_max = 4096;  // at entries, in one hold of the lock

template <class T>
void append(std::vector<T>& to, std::vector<T>& from) {
  for (auto& item : from) to.push_back(std::move(item));
}

template <class T>
void make_room(std::vector<T>& to, const std::vector<T>& from) {
  if (!from.empty()) to.reserve(to.size() + from.size());
}

// A debt of nothing but attempts on the replica whose answers were lost: any value written from now on outlives them.
bool of_lost_attempts(const Entry& entry) {
  return entry.seqs.empty() && entry.waits.empty() && !entry.debts.empty() &&
         std::all_of(entry.debts.begin(), entry.debts.end(),
                     [](const Debt& debt) { return debt.reason == DebtReason::zombie; });
}

bool is_known(const Entry& entry) {
  return entry.image || (entry.journaled && entry.waits.empty());
}

// Of a debt, which brings no image: the key's last write is where it was.
void keep_journaled(Entry& newer, const Entry& older) {
  if (newer.image || !newer.seqs.empty() || !(older.image || older.journaled) || older.seq == 0) return;
  newer.journaled = true;
  newer.seq = older.seq;
  newer.item = older.item;
}

}  // namespace

std::vector<journal::Seq> LaneQueue::put(Entry entry, bool* fresh) {
  std::lock_guard hold(mutex_);
  const std::string name = owner(entry);
  const auto at = entries_.find(name);
  if (fresh != nullptr) *fresh = at == entries_.end();
  if (at == entries_.end()) {
    order_.emplace(entry.position, name);
    entries_.emplace(name, std::move(entry));
    count();
    return {};
  }
  Entry& older = at->second;
  if (older.image && of_lost_attempts(entry)) {
    append(older.debts, entry.debts);  // C6: a READ would need the primary, which may be dead by then
    return {};
  }
  keep_journaled(entry, older);
  entry.owed = std::move(older.owed);  // the older position stands for both
  // H61: what the older READ waited for is waited for by the one that takes its place.
  if (VMPROXY_RULE("read.inherits-wait")) append(entry.waits, older.waits);
  append(entry.debts, older.debts);
  append(entry.quarantined, older.quarantined);
  std::vector<journal::Seq> finished;
  if (entry.seqs.empty()) {
    entry.seqs = std::move(older.seqs);
  } else {
    finished = std::move(older.seqs);
  }
  // An image that waits for a broad op could be overtaken by it: read back instead.
  if (!entry.waits.empty()) entry.image = false;
  order_.erase(older.position);
  order_.emplace(entry.position, name);
  older = std::move(entry);
  return finished;
}

std::vector<Entry> LaneQueue::take(size_t max, const std::function<bool(const Entry&)>& ready) {
  std::vector<Entry> taken;
  uint64_t from = 0;
  // However many are not ready, one behind them that is will be found; but writers do not wait at the lock for that long.
  for (bool more = true; more && taken.empty();) {
    std::lock_guard hold(mutex_);
    taken.reserve(std::min(max, entries_.size()));  // nothing is moved that has no place
    auto at = order_.lower_bound(from);
    for (size_t looked_at = 0; at != order_.end() && taken.size() < max && looked_at < looks_max;
         ++looked_at) {
      const auto entry = entries_.find(at->second);
      Applying* applying = nullptr;
      try {
        if (!ready(entry->second)) {
          ++at;
          continue;
        }
        applying = &applying_[at->second];
      } catch (const std::exception&) {
        if (taken.empty()) throw;
        count();
        return taken;  // no memory for more: what was taken must not be lost
      }
      ++applying->entries;
      applying->image = applying->image && entry->second.image;
      applying->known = applying->known && is_known(entry->second);
      taken.push_back(std::move(entry->second));
      entries_.erase(entry);
      at = order_.erase(at);
    }
    count();
    more = at != order_.end() && max > 0;
    if (more) from = at->first;
  }
  return taken;
}

void LaneQueue::complete(const std::vector<Entry>& entries) {
  std::lock_guard hold(mutex_);
  for (const Entry& entry : entries) end(owner(entry));
  count();
}

void LaneQueue::end(const std::string& name) {
  const auto at = applying_.find(name);
  if (at != applying_.end() && --at->second.entries == 0) applying_.erase(at);
}

// Of each entry all or nothing: room is made before anything moves.
std::vector<journal::Seq> LaneQueue::give_back(std::vector<Entry> entries) {
  std::vector<journal::Seq> finished;
  std::lock_guard hold(mutex_);
  for (Entry& entry : entries) {
    const std::string name = owner(entry);
    const auto applied = applying_.find(name);
    if (applied == applying_.end()) continue;
    const auto [at, alone] = entries_.try_emplace(name);
    if (alone) {
      try {
        order_.emplace(entry.position, name);
      } catch (...) {
        entries_.erase(at);
        throw;
      }
      at->second = std::move(entry);
    } else {
      Entry& newer = at->second;
      auto& seqs = newer.seqs.empty() ? newer.seqs : finished;
      make_room(newer.owed, entry.owed);
      make_room(newer.waits, entry.waits);
      make_room(newer.debts, entry.debts);
      make_room(newer.quarantined, entry.quarantined);
      make_room(seqs, entry.seqs);
      // C6, as in put(): the image is written again, and outlives what was lost on the replica.
      const bool stays = entry.image && entry.waits.empty() && of_lost_attempts(newer);
      keep_journaled(newer, entry);
      append(newer.owed, entry.owed);
      append(newer.waits, entry.waits);
      append(newer.debts, entry.debts);
      append(newer.quarantined, entry.quarantined);
      append(seqs, entry.seqs);
      if (stays) {
        newer.image = true;
        newer.seq = entry.seq;
        newer.item = entry.item;
      }
      if (!newer.waits.empty()) newer.image = false;
    }
    end(name);
    count();
  }
  return finished;
}

bool LaneQueue::is_applying(const Entry& entry) const {
  std::lock_guard hold(mutex_);
  return applying_.contains(owner(entry));
}

bool LaneQueue::has(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  const std::string name = collection + '\0' + key;
  return entries_.contains(name) || applying_.contains(name);
}

void LaneQueue::demote_images() {
  std::lock_guard hold(mutex_);
  for (auto& [name, entry] : entries_) entry.image = entry.journaled = false;
}

std::vector<std::pair<std::string, std::string>> LaneQueue::journaled() const {
  std::lock_guard hold(mutex_);
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& [name, entry] : entries_) {
    if (!entry.image && is_known(entry)) keys.emplace_back(entry.collection, entry.key);
  }
  return keys;
}

void LaneQueue::use_journaled(const std::vector<std::pair<std::string, std::string>>& keys) {
  std::lock_guard hold(mutex_);
  for (const auto& [collection, key] : keys) {
    const auto at = entries_.find(collection + '\0' + key);
    if (at != entries_.end() && is_known(at->second)) at->second.image = true;
  }
}

std::vector<Entry> LaneQueue::remove(const std::function<bool(const Entry&)>& which) {
  std::lock_guard hold(mutex_);
  std::vector<Entry> removed;
  for (auto at = entries_.begin(); at != entries_.end();) {
    if (!which(at->second)) {
      ++at;
      continue;
    }
    order_.erase(at->second.position);
    removed.push_back(std::move(at->second));
    at = entries_.erase(at);
  }
  count();
  return removed;
}

void LaneQueue::visit(
    const std::function<void(const std::string&, const std::string&, bool, bool)>& see) const {
  std::lock_guard hold(mutex_);
  for (const auto& [name, entry] : entries_) see(entry.collection, entry.key, entry.image, is_known(entry));
  for (const auto& [name, applying] : applying_) {
    if (entries_.contains(name)) continue;
    const size_t end = name.find('\0');
    see(name.substr(0, end), name.substr(end + 1), applying.image, applying.known);
  }
}

size_t LaneQueue::reading() const {
  std::lock_guard hold(mutex_);
  return static_cast<size_t>(
      std::count_if(applying_.begin(), applying_.end(), [](const auto& item) { return !item.second.image; }));
}

}  // namespace vmproxy::proxy
