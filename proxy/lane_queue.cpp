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

// The key's last write is one before. Not so where a debt is all that is left of one.
bool brings_no_write(const Entry& entry) {
  return entry.seqs.empty() && !entry.image && !entry.unjournaled &&
         std::ranges::none_of(entry.debts,
                              [](const Debt& debt) { return debt.reason == DebtReason::collapsed; });
}

}  // namespace

bool is_known(const Entry& entry) {
  return entry.image || (entry.journaled && entry.waits.empty());
}

std::vector<journal::Seq> LaneQueue::put(Entry entry, bool* fresh) {
  std::lock_guard hold(mutex_);
  if (brings_no_write(entry)) {
    const auto last = last_write(name_of(entry));
    entry.journaled = last.has_value();
    if (last) {
      entry.seq = last->seq;
      entry.item = last->item;
    }
  }
  const auto at = entries_.find(owner_of(entry));
  if (fresh != nullptr) *fresh = at == entries_.end();
  if (at == entries_.end()) {
    add(std::move(entry));
    count();
    return {};
  }
  Entry& older = at->entry;
  if (older.image && of_lost_attempts(entry)) {
    append(older.debts, entry.debts);  // C6: a READ would need the primary, which may be dead by then
    return {};
  }
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
  order_.emplace(entry.position, &*at);
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
      Entry& entry = at->second->entry;
      Applying* applying = nullptr;
      try {
        if (!ready(entry)) {
          ++at;
          continue;
        }
        applying = &applying_[name_of(entry)];
      } catch (const std::exception&) {
        if (taken.empty()) throw;
        count();
        return taken;  // no memory for more: what was taken must not be lost
      }
      ++applying->entries;
      applying->image = applying->image && entry.image;
      applying->last = std::nullopt;
      if (is_known(entry)) applying->last = Journaled{entry.seq, entry.item};
      taken.push_back(std::move(entries_.extract(entries_.find(owner_of(entry))).value().entry));
      at = order_.erase(at);
    }
    count();
    more = at != order_.end() && max > 0;
    if (more) from = at->first;
  }
  return taken;
}

void LaneQueue::complete(const std::vector<Entry>& entries, const Keep& keep) {
  std::vector<std::string> names;
  names.reserve(entries.size());
  // Asked before the lock is taken: the debts may be looked for on the disk meanwhile, and writers wait at this lock.
  std::vector<std::optional<Ledger::Hold>> holds(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    names.push_back(name_of(entries[i]));
    if (keep && (entries[i].image || entries[i].journaled)) holds[i] = keep(entries[i]);
  }
  std::lock_guard hold(mutex_);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!holds[i]) continue;
    kept_.insert_or_assign(names[i], Kept{{entries[i].seq, entries[i].item}, std::move(*holds[i])});
  }
  for (size_t i = 0; i < entries.size(); ++i) {  // nothing fails from here on
    if (!holds[i]) {
      kept_.erase(names[i]);
      // Its intent may be trimmed from now on.
      auto* const newer = find(owner_of(entries[i]));
      if (newer != nullptr && newer->seq == entries[i].seq) newer->image = newer->journaled = false;
    }
    end(names[i]);
  }
  count();
}

// The newest entry of the key knows; else what was kept of the one before.
std::optional<LaneQueue::Journaled> LaneQueue::last_write(const std::string& name) const {
  if (const auto* entry = find(name); entry != nullptr)
    return is_known(*entry) ? std::optional(Journaled{entry->seq, entry->item}) : std::nullopt;
  if (const auto at = applying_.find(name); at != applying_.end()) return at->second.last;
  if (const auto at = kept_.find(name); at != kept_.end()) return at->second.last;
  return std::nullopt;
}

bool LaneQueue::has_journaled(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  return last_write(collection + '\0' + key).has_value();
}

Entry* LaneQueue::find(const Owner& owner) const {
  const auto at = entries_.find(owner);
  return at == entries_.end() ? nullptr : &at->entry;
}

Entry* LaneQueue::find(std::string_view name) const {
  const size_t end = name.find('\0');
  return find(Owner{name.substr(0, end), name.substr(end + 1)});
}

// All or nothing: where it throws, `entry` is as it was.
void LaneQueue::add(Entry&& entry) {
  // Before anything moves: with room for one more, insert() fails for nothing but the memory of its node, and takes nothing then.
  if (entries_.size() >= entries_.bucket_count()) entries_.rehash(2 * (entries_.size() + 1));
  const auto place = order_.emplace(entry.position, nullptr).first;
  Queued queued{std::move(entry)};
  try {
    place->second = &*entries_.insert(std::move(queued)).first;
  } catch (...) {
    entry = std::move(queued.entry);
    order_.erase(place);
    throw;
  }
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
    const std::string name = name_of(entry);
    const auto applied = applying_.find(name);
    if (applied == applying_.end()) continue;
    if (auto* const queued = find(name); queued == nullptr) {
      add(std::move(entry));
    } else {
      Entry& newer = *queued;
      auto& seqs = newer.seqs.empty() ? newer.seqs : finished;
      make_room(newer.owed, entry.owed);
      make_room(newer.waits, entry.waits);
      make_room(newer.debts, entry.debts);
      make_room(newer.quarantined, entry.quarantined);
      make_room(seqs, entry.seqs);
      // C6, as in put(): the image is written again, and outlives what was lost on the replica.
      const bool stays = entry.image && entry.waits.empty() && of_lost_attempts(newer);
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
  return applying_.contains(name_of(entry));
}

bool LaneQueue::has(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  return find(Owner{collection, key}) != nullptr || applying_.contains(collection + '\0' + key);
}

void LaneQueue::demote_images() {
  demote(nullptr);
}
void LaneQueue::demote_images(const std::string& collection) {
  demote(&collection);
}

void LaneQueue::demote(const std::string* collection) {
  const std::string owners = collection == nullptr ? std::string() : *collection + '\0';
  std::lock_guard hold(mutex_);
  for (const auto& [entry] : entries_) {
    if (collection == nullptr || entry.collection == *collection) entry.image = entry.journaled = false;
  }
  for (auto& [name, applying] : applying_) {
    if (name.starts_with(owners)) applying.last.reset();
  }
  std::erase_if(kept_, [&](const auto& kept) { return kept.first.starts_with(owners); });
}

std::vector<std::pair<std::string, std::string>> LaneQueue::journaled() const {
  std::lock_guard hold(mutex_);
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& [entry] : entries_) {
    if (!entry.image && is_known(entry)) keys.emplace_back(entry.collection, entry.key);
  }
  return keys;
}

void LaneQueue::use_journaled(const std::vector<std::pair<std::string, std::string>>& keys) {
  std::lock_guard hold(mutex_);
  for (const auto& [collection, key] : keys) {
    auto* const entry = find(Owner{collection, key});
    if (entry != nullptr && is_known(*entry)) entry->image = true;
  }
}

std::vector<Entry> LaneQueue::remove(const std::function<bool(const Entry&)>& which) {
  std::lock_guard hold(mutex_);
  std::vector<Entry> removed;
  for (auto at = entries_.begin(); at != entries_.end();) {
    if (!which(at->entry)) {
      ++at;
      continue;
    }
    order_.erase(at->entry.position);
    kept_.erase(name_of(at->entry));
    removed.emplace_back();
    removed.back() = std::move(entries_.extract(at++).value().entry);
  }
  count();
  return removed;
}

void LaneQueue::visit(
    const std::function<void(const std::string&, const std::string&, bool, bool)>& see) const {
  std::lock_guard hold(mutex_);
  for (const auto& [entry] : entries_) see(entry.collection, entry.key, entry.image, is_known(entry));
  for (const auto& [name, applying] : applying_) {
    if (find(name) != nullptr) continue;
    const size_t end = name.find('\0');
    see(name.substr(0, end), name.substr(end + 1), applying.image, applying.last.has_value());
  }
}

size_t LaneQueue::images() const {
  std::lock_guard hold(mutex_);
  auto count = std::ranges::count_if(entries_, [](const auto& queued) { return queued.entry.image; });
  for (const auto& [name, applying] : applying_) {
    const auto* const queued = find(name);
    if (applying.image && (queued == nullptr || !queued->image)) ++count;
  }
  return static_cast<size_t>(count);
}

size_t LaneQueue::reading() const {
  std::lock_guard hold(mutex_);
  return static_cast<size_t>(
      std::count_if(applying_.begin(), applying_.end(), [](const auto& item) { return !item.second.image; }));
}

}  // namespace vmproxy::proxy
