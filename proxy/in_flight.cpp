#include "proxy/in_flight.h"

#include <algorithm>
#include <cassert>

#include "base/rule.h"

namespace vmproxy::proxy {

OpId InFlight::begin_keyed(const std::string& collection, std::vector<std::string> keys, uint64_t from) {
  std::lock_guard hold(mutex_);
  const OpId id = next_++;
  Op& op = ops_[id];
  op.collection = collection;
  op.from = from;
  enlist(id, op, keys);
  return id;
}

void InFlight::add_keys(OpId id, const std::vector<std::string>& keys) {
  std::lock_guard hold(mutex_);
  const auto at = ops_.find(id);
  assert(at != ops_.end() && !at->second.broad);
  enlist(id, at->second, keys);
}

void InFlight::enlist(OpId id, Op& op, const std::vector<std::string>& keys) {
  Collection& c = collections_[op.collection];
  const size_t first = op.keys.size();
  op.keys.insert(op.keys.end(), keys.begin(), keys.end());
  op.overlapped.resize(op.keys.size(), false);
  for (const OpId other : c.broad) {
    Op& broad = ops_.at(other);
    if (VMPROXY_RULE("predicate.overlap")) op.overlapped.assign(op.keys.size(), true);
    if (VMPROXY_RULE("predicate.reread")) broad.reread.insert(keys.begin(), keys.end());
    if (!broad.window) op.waits.insert(other);
  }
  for (size_t i = first; i < op.keys.size(); ++i) {
    auto& others = c.keyed[op.keys[i]];
    // Itself among them when the same key comes twice in one batch: only a READ tells what became of it.
    for (const OpId other : others) {
      if (VMPROXY_RULE("overlap.later")) op.overlapped[i] = true;
      Op& o = ops_.at(other);
      for (size_t j = 0; j < o.keys.size(); ++j) {
        if (o.keys[j] == op.keys[i] && VMPROXY_RULE("overlap.earlier")) o.overlapped[j] = true;
      }
    }
    if (c.windows.contains(op.keys[i]) && VMPROXY_RULE("window.registered")) op.overlapped[i] = true;
    others.push_back(id);
  }
}

OpId InFlight::begin_broad_locked(const std::string& collection, bool window) {
  const OpId id = next_++;
  Collection& c = collections_[collection];
  Op op;
  op.collection = collection;
  op.broad = true;
  op.window = window;
  op.alone = ops_.empty() && passing_.empty() && key_windows_ == 0;
  for (auto& [key, others] : c.keyed) {
    if (VMPROXY_RULE("predicate.reread-in-flight")) op.reread.insert(key);
    for (const OpId other : others) {
      Op& o = ops_.at(other);
      if (VMPROXY_RULE("predicate.overlap")) o.overlapped.assign(o.keys.size(), true);
      if (!window) o.waits.insert(id);
    }
  }
  for (const auto& [key, count] : c.windows) {
    if (VMPROXY_RULE("predicate.open-windows")) op.reread.insert(key);
  }
  c.broad.insert(id);
  ops_.emplace(id, std::move(op));
  return id;
}

OpId InFlight::begin_broad(const std::string& collection, uint64_t* from) {
  std::lock_guard hold(mutex_);
  for (const auto& [id, op] : ops_) {
    if (from != nullptr && !op.broad && op.collection == collection) *from = std::min(*from, op.from);
  }
  return begin_broad_locked(collection, false);
}

InFlight::Keyed InFlight::end_keyed(OpId id) {
  std::lock_guard hold(mutex_);
  const auto at = ops_.find(id);
  assert(at != ops_.end() && !at->second.broad);
  Op op = std::move(at->second);
  ops_.erase(at);
  Collection& c = collections_[op.collection];
  for (const auto& key : op.keys) {
    const auto entry = c.keyed.find(key);
    if (entry == c.keyed.end()) continue;
    std::erase(entry->second, id);
    if (entry->second.empty()) c.keyed.erase(entry);
  }
  Keyed result;
  result.overlapped = std::move(op.overlapped);
  for (const OpId wait : op.waits) {
    if (ops_.contains(wait)) result.waits.push_back(wait);
  }
  return result;
}

InFlight::Broad InFlight::end_broad(OpId id) {
  std::lock_guard hold(mutex_);
  const auto at = ops_.find(id);
  assert(at != ops_.end() && at->second.broad);
  Op op = std::move(at->second);
  ops_.erase(at);
  Collection& c = collections_[op.collection];
  c.broad.erase(id);
  Broad result;
  result.keys.assign(op.reread.begin(), op.reread.end());
  for (const OpId other : c.broad) {
    if (!ops_.at(other).window) result.waits.push_back(other);
  }
  return result;
}

bool InFlight::alone(OpId id) const {
  std::lock_guard hold(mutex_);
  const auto at = ops_.find(id);
  return at != ops_.end() && at->second.alone && next_ == id + 1;
}

OpId InFlight::enter() {
  std::lock_guard hold(mutex_);
  passing_.insert(next_);
  return next_++;
}

void InFlight::leave(OpId id) {
  std::lock_guard hold(mutex_);
  passing_.erase(id);
}

OpId InFlight::next() const {
  std::lock_guard hold(mutex_);
  return next_;
}

bool InFlight::passing_before(OpId id) const {
  std::lock_guard hold(mutex_);
  return !passing_.empty() && *passing_.begin() < id;
}

void InFlight::open_window(const std::string& collection, const std::string& key) {
  std::lock_guard hold(mutex_);
  Collection& c = collections_[collection];
  ++c.windows[key];
  ++key_windows_;
  // A write in flight now was registered before the window, but overlaps the uncertain one all the same.
  const auto at = c.keyed.find(key);
  if (at == c.keyed.end()) return;
  for (const OpId other : at->second) {
    Op& o = ops_.at(other);
    for (size_t j = 0; j < o.keys.size(); ++j) {
      if (o.keys[j] == key) o.overlapped[j] = true;
    }
  }
}

void InFlight::close_window(const std::string& collection, const std::string& key) {
  std::lock_guard hold(mutex_);
  auto& windows = collections_[collection].windows;
  const auto at = windows.find(key);
  if (at == windows.end()) return;
  --key_windows_;
  if (--at->second == 0) windows.erase(at);
}

OpId InFlight::open_collection_window(const std::string& collection, std::vector<std::string> keys) {
  std::lock_guard hold(mutex_);
  const OpId id = begin_broad_locked(collection, true);
  ops_.at(id).reread.insert(keys.begin(), keys.end());
  return id;
}

std::vector<std::string> InFlight::close_collection_window(OpId window) {
  return end_broad(window).keys;
}

void InFlight::collect(const std::string& collection, const std::vector<std::string>& keys) {
  std::lock_guard hold(mutex_);
  const auto at = collections_.find(collection);
  if (at == collections_.end()) return;
  for (const OpId id : at->second.broad) {
    if (Op& op = ops_.at(id); op.window) op.reread.insert(keys.begin(), keys.end());
  }
}

bool InFlight::any_window() const {
  std::lock_guard hold(mutex_);
  return key_windows_ > 0 || std::ranges::any_of(ops_, [](const auto& item) { return item.second.window; });
}

std::vector<std::pair<std::string, std::string>> InFlight::in_windows(size_t max) const {
  std::lock_guard hold(mutex_);
  std::set<std::pair<std::string, std::string>> found;
  const auto take = [&](const std::string& collection, const std::string& key) {
    if (found.size() >= max) return false;
    found.emplace(collection, key);
    return true;
  };
  for (const auto& [name, collection] : collections_) {
    for (const auto& [key, count] : collection.windows) {
      if (!take(name, key)) break;
    }
  }
  for (const auto& [id, op] : ops_) {
    if (!op.window) continue;
    for (const auto& key : op.reread) {
      if (!take(op.collection, key)) break;
    }
  }
  return {found.begin(), found.end()};
}

bool InFlight::broad_in_flight(OpId op) const {
  std::lock_guard hold(mutex_);
  return ops_.contains(op);
}

std::vector<OpId> InFlight::broad_of(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  std::vector<OpId> result;
  const auto at = collections_.find(collection);
  if (at == collections_.end()) return result;
  for (const OpId id : at->second.broad) {
    if (!ops_.at(id).window) result.push_back(id);
  }
  return result;
}

bool InFlight::busy(const std::string& collection, const std::string& key) const {
  std::lock_guard hold(mutex_);
  const auto at = collections_.find(collection);
  if (at == collections_.end()) return false;
  return !at->second.broad.empty() || at->second.keyed.contains(key) || at->second.windows.contains(key);
}

size_t InFlight::size() const {
  std::lock_guard hold(mutex_);
  return ops_.size();
}

}  // namespace vmproxy::proxy
