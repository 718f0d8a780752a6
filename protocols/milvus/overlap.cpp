#include "protocols/milvus/overlap.h"

#include <algorithm>

namespace vmproxy::protocols::milvus {

Overlap::Mark Overlap::mark_of(const model::Id& id) {
  if (const auto* number = std::get_if<int64_t>(&id.value)) return static_cast<uint64_t>(*number);
  return std::hash<std::string>()(model::to_string(id));
}

std::shared_ptr<Overlap::State> Overlap::state_of(const std::string& collection) {
  if (auto known = states_[collection].lock()) return known;
  std::erase_if(states_, [](const auto& entry) { return entry.second.expired(); });
  auto made = std::make_shared<State>();
  states_[collection] = made;
  return made;
}

bool Overlap::enter(std::unique_lock<std::mutex>& lock, State& state, bool write, Deadline deadline) {
  const uint64_t turn = ++state.next_turn;
  state.waiting.emplace(turn, write);
  const bool entered = clock_.wait_until(lock, changed_, deadline, [&] {
    if ((write ? state.alone : state.writing) > 0) return false;
    return std::all_of(state.waiting.begin(), state.waiting.find(turn),
                       [&](const auto& earlier) { return earlier.second == write; });
  });
  state.waiting.erase(turn);
  if (entered) ++(write ? state.writing : state.alone);
  changed_.notify_all();
  return entered;
}

Result<Overlap::Write> Overlap::write(const std::string& collection, std::span<const model::Key> keys,
                                      Deadline deadline) {
  std::vector<Mark> marks;
  marks.reserve(keys.size());
  for (const auto& key : keys) marks.push_back(mark_of(key.id));
  std::unique_lock lock(mutex_);
  auto state = state_of(collection);
  if (!enter(lock, *state, true, deadline)) {
    return Error(Code::cancelled, "a write of collection '" + collection +
                                      "' waited until its deadline for a read that must not be disturbed");
  }
  for (const Mark mark : marks) ++state->keys[mark].writing;
  return Write(*this, std::move(state), std::move(marks));
}

Overlap::Write::~Write() {
  if (!state_) return;
  std::lock_guard hold(owner_->mutex_);
  state_->last_end = ++state_->now;
  for (const Mark mark : marks_) {
    Seen& seen = state_->keys[mark];
    --seen.writing;
    seen.ended = state_->now;
    state_->ended.emplace_back(state_->now, mark);
  }
  --state_->writing;
  owner_->forget(*state_);
  owner_->changed_.notify_all();
}

// What ended before the oldest read began is of no account to any.
void Overlap::forget(State& state) {
  while (!state.ended.empty()) {
    const auto [when, mark] = state.ended.front();
    const bool needed = !state.reads.empty() && when > *state.reads.begin();
    if (needed && state.ended.size() <= ended_max_) return;
    if (needed) state.forgotten = when;
    state.ended.pop_front();
    const auto seen = state.keys.find(mark);
    if (seen != state.keys.end() && seen->second.writing == 0 && seen->second.ended == when)
      state.keys.erase(seen);
  }
}

Overlap::Read Overlap::read(const std::string& collection) {
  std::lock_guard hold(mutex_);
  auto state = state_of(collection);
  const uint64_t begin = ++state->now;
  state->reads.insert(begin);
  return {*this, std::move(state), begin, false};
}

Result<Overlap::Read> Overlap::read_alone(const std::string& collection, Deadline deadline) {
  std::unique_lock lock(mutex_);
  auto state = state_of(collection);
  if (!enter(lock, *state, false, deadline)) {
    return Error(Code::timeout, "a read of collection '" + collection +
                                    "' waited until its deadline for the writes before it");
  }
  const uint64_t begin = ++state->now;
  state->reads.insert(begin);
  return Read(*this, std::move(state), begin, true);
}

Overlap::Read::~Read() {
  if (!state_) return;
  std::lock_guard hold(owner_->mutex_);
  state_->reads.erase(state_->reads.find(begin_));
  if (alone_) --state_->alone;
  owner_->forget(*state_);
  owner_->changed_.notify_all();
}

bool Overlap::Read::crossed(std::span<const Mark> marks) const {
  std::lock_guard hold(owner_->mutex_);
  if (state_->forgotten > begin_) return !marks.empty();
  return std::ranges::any_of(marks, [&](Mark mark) {
    const auto seen = state_->keys.find(mark);
    return seen != state_->keys.end() && (seen->second.writing > 0 || seen->second.ended > begin_);
  });
}

bool Overlap::Read::crossed_any() const {
  std::lock_guard hold(owner_->mutex_);
  return state_->writing > 0 || state_->last_end > begin_;
}

}  // namespace vmproxy::protocols::milvus
