#include "protocols/milvus/session.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "protocols/milvus/overlap.h"

namespace vmproxy::protocols::milvus {
namespace {

constexpr Duration time_kept =
    std::chrono::seconds(2);  // a clock that is set back makes reads wait no longer
constexpr Duration time_usable = std::chrono::minutes(10);  // where asking would block
// Marks that are older say nothing: every read asks for what is half a second old.
constexpr Duration mark_kept = std::chrono::seconds(2);

uint64_t ticks(Duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) << 18;
}

uint64_t minus(uint64_t timestamp, Duration d) {
  return timestamp - std::min(timestamp, ticks(d));
}

}  // namespace

// Two keys may share one: then a read waits longer than it has to.
uint64_t Session::mark_of(const std::string& collection, const model::Key& key) {
  return std::hash<std::string>()(collection) ^ (Overlap::mark_of(key.id) * 0x9e3779b97f4a7c15);
}

void Session::wrote(const std::string& collection, std::span<const model::Key> keys, uint64_t timestamp,
                    Deadline deadline) {
  const bool asks = timestamp == 0 && !gives_none();
  if (asks) timestamp = server_time_(deadline);
  if (timestamp == 0) in_doubt(collection);
  std::vector<uint64_t> marks;
  marks.reserve(keys.size());
  for (const auto& key : keys) marks.push_back(mark_of(collection, key));
  std::lock_guard hold(mutex_);
  if (timestamp != 0 || asks) learn(timestamp, asks);
  if (timestamp == 0) return;
  for (const uint64_t mark : marks) {
    uint64_t& known = marks_[mark];
    if (known >= timestamp) continue;
    known = timestamp;
    order_.emplace_back(timestamp, mark);
  }
  uint64_t& last = last_[collection];
  last = std::max(last, timestamp);
  if (new_name_of(collection) != nullptr)
    forgotten_ = std::max(forgotten_, timestamp);  // nobody knows its marks
  forget(timestamp);
}

void Session::in_doubt(const std::string& collection) {
  std::lock_guard hold(mutex_);
  doubted_[collection] = clock_.in(doubt);
  if (const auto* name = new_name_of(collection)) doubted_[*name] = clock_.in(doubt);
}

const std::string* Session::new_name_of(const std::string& collection) const {
  const auto became = became_.find(collection);
  return became != became_.end() && became->second.until > clock_.now() ? &became->second.name : nullptr;
}

void Session::renamed(const std::string& from, const std::string& to) {
  std::lock_guard hold(mutex_);
  std::erase_if(became_, [&](const auto& one) { return one.second.until <= clock_.now(); });
  became_[from] = {to, clock_.in(doubt)};
  if (const auto last = last_.find(from); last != last_.end())
    forgotten_ = std::max(forgotten_, last->second);
  if (const auto doubted = doubted_.find(from); doubted != doubted_.end()) {
    TimePoint& until = doubted_[to];
    until = std::max(until, doubted->second);
  }
}

void Session::forget(uint64_t newest) {
  const uint64_t old = minus(newest, mark_kept);
  while (!order_.empty() && (order_.front().first < old || order_.size() > marks_max_)) {
    const auto [timestamp, mark] = order_.front();
    forgotten_ = std::max(forgotten_, timestamp);
    order_.pop_front();
    if (const auto known = marks_.find(mark); known != marks_.end() && known->second == timestamp)
      marks_.erase(known);
  }
  std::erase_if(last_, [&](const auto& one) {
    if (one.second >= old) return false;
    forgotten_ = std::max(forgotten_, one.second);
    return true;
  });
}

bool Session::time_is_known(Duration age_max) const {
  return time_ && clock_.now() - time_->at < age_max;
}

bool Session::gives_none() {
  std::lock_guard hold(mutex_);
  return time_is_known(time_kept) && time_->timestamp == 0;
}

uint64_t Session::time_there() const {
  return time_->timestamp == 0 ? 0 : time_->timestamp + ticks(clock_.now() - time_->at);
}

// Every answer is late, so of what they tell the latest is nearest; one that was asked for is new. What was written before the
// first one may have been written, and acknowledged, by the process before this one.
void Session::learn(uint64_t timestamp, bool asked) {
  if (forgotten_ == 0) forgotten_ = timestamp;
  const bool later = !time_ || timestamp > time_there();
  const bool fresher = !time_is_known(time_kept) && (asked || timestamp + ticks(others_age) > time_there());
  if (later || fresher) time_ = ServerTime{timestamp, clock_.now()};
}

uint64_t Session::needed(const std::string& collection, std::span<const model::Key> keys) {
  const TimePoint now = clock_.now();
  std::erase_if(doubted_, [&](const auto& one) { return one.second <= now; });
  const uint64_t time = time_there();
  if (doubted_.contains(collection) || time == 0) return 0;
  uint64_t needed = std::max(forgotten_, minus(time, others_age));
  if (keys.empty()) {
    const auto last = last_.find(collection);
    return last == last_.end() ? needed : std::max(needed, last->second);
  }
  for (const auto& key : keys) {
    const auto mark = marks_.find(mark_of(collection, key));
    if (mark != marks_.end()) needed = std::max(needed, mark->second);
  }
  return needed;
}

uint64_t Session::guarantee(const std::string& collection, std::span<const model::Key> keys,
                            Deadline deadline) {
  {
    std::lock_guard hold(mutex_);
    if (time_is_known(time_kept)) return needed(collection, keys);
  }
  const uint64_t timestamp = server_time_(deadline);
  std::lock_guard hold(mutex_);
  learn(timestamp, true);
  return needed(collection, keys);
}

std::string Session::token(const std::string& collection, std::span<const model::Key> keys) {
  std::lock_guard hold(mutex_);
  const uint64_t timestamp = time_is_known(time_usable) ? needed(collection, keys) : 0;
  return timestamp == 0 ? std::string() : std::to_string(timestamp);
}

uint64_t Session::timestamp(std::string_view token) {
  uint64_t timestamp = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), timestamp);
  return error == std::errc() && end == token.data() + token.size() ? timestamp : 0;
}

}  // namespace vmproxy::protocols::milvus
