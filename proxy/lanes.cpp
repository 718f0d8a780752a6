#include "proxy/lanes.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include "base/fault.h"
#include "base/log.h"
#include "base/rule.h"
#include "base/thread_class.h"

namespace vmproxy::proxy {

Lanes::Lanes(Parts parts, LaneOptions options)
    : parts_(parts),
      options_(options),
      health_(parts.clock, parts.random),
      primary_health_(parts.clock, parts.random),
      batch_(std::max(options.batch_max, options.copy_rows_max), options.apply_timeout),
      reads_batch_(options.batch_max, options.apply_timeout),
      applied_upserts_(parts.metrics.counter("mirror_applied_total", "Changes the replica acknowledged",
                                             {{"kind", "upsert"}})),
      applied_deletes_(parts.metrics.counter("mirror_applied_total", "Changes the replica acknowledged",
                                             {{"kind", "delete"}})),
      applied_rows_(parts.metrics.counter("mirror_applied_total", "Changes the replica acknowledged",
                                          {{"kind", "copy"}})) {
  for (size_t i = 0; i < options_.lanes; ++i) lanes_.push_back(std::make_unique<Lane>());
}

Lanes::~Lanes() {
  stop();
}

size_t Lanes::lane_of(const std::string& collection, const std::string& key) const {
  return (std::hash<std::string>()(collection) * 31 + std::hash<std::string>()(key)) % lanes_.size();
}

void Lanes::start(Side primary, TimePoint not_before) {
  std::lock_guard one(life_mutex_);
  {
    std::lock_guard hold(mutex_);
    if (!stopping_) return;
    stopping_ = false;
    not_before_ = not_before;
  }
  if (primary != primary_.exchange(primary)) {
    for (auto& lane : lanes_) lane->queue.demote_images();
  }
  parts_.quarantine.freeze_others_than(primary);
  if (options_.threads) staff();
}

void Lanes::staff() {
  const bool known = std::exchange(understaffed_, false);
  for (auto& lane : lanes_) {
    if (lane->thread.joinable()) continue;
    try {
      lane->thread = std::thread([this, &lane = *lane] { run(lane); });
    } catch (const std::exception& refused) {
      understaffed_ = true;
      if (known) return;
      log::error(
          "a thread that brings changes to the replica cannot be started, so some changes wait. It is tried again; raise the limit of "
          "threads of the process or the machine",
          {{"error", refused.what()}});
      return;
    }
  }
}

void Lanes::keep_staffed() {
  std::unique_lock one(life_mutex_, std::try_to_lock);
  if (!one || !understaffed_) return;
  {
    std::lock_guard hold(mutex_);
    if (stopping_) return;
  }
  staff();
}

void Lanes::stop() {
  std::lock_guard one(life_mutex_);
  {
    std::lock_guard hold(mutex_);
    stopping_ = true;
  }
  wake();
  for (auto& lane : lanes_) {
    if (lane->thread.joinable()) lane->thread.join();
  }
  // Rows of the copy that nobody will write: their range is scanned again.
  for (auto& lane : lanes_) {
    std::deque<CopyPart> left;
    {
      std::lock_guard hold(mutex_);
      left.swap(lane->copies);
      copy_rows_ -= lane->copy_rows;
      lane->copy_rows = 0;
    }
    for (auto& part : left) end_copy(*part.batch, Error(Code::cancelled, "the lanes were stopped"));
  }
}

void Lanes::put(Entry entry, bool ends_doubt) {
  Lane& lane = *lanes_[lane_of(entry.collection, entry.key)];
  bool fresh = false;
  const std::string collection = entry.collection;
  const uint64_t position = entry.position;
  entry.owed = {position};
  // Owed before it can be applied, so that no reader can see a gap between the two.
  parts_.freshness.owed(collection, position);
  if (ends_doubt) parts_.freshness.settled(collection);
  for (const auto seq : lane.queue.put(std::move(entry), &fresh)) parts_.ledger.done(seq);
  if (!fresh) parts_.freshness.arrived(collection, position);  // an older entry's position stands for both
  wake(lane);
}

void Lanes::wake() {
  for (auto& lane : lanes_) wake(*lane);
  changed_.notify_all();
}

void Lanes::wake(Lane& lane) {
  {
    std::lock_guard hold(mutex_);
    ++lane.wakes;
    if (!lane.idle && !stopping_ && lane.queue.size() < options_.gather_entries)
      return;  // it looks again by itself
  }
  lane.work.notify_one();
}

// The oldest change has waited for the batch before anyway: it waits a moment longer for company.
void Lanes::gather(Lane& lane) {
  if (lane.last_batch < 2 || lane.queue.size() == 0) return;
  std::unique_lock lock(mutex_);
  parts_.clock.wait_until(lock, lane.work, parts_.clock.in(options_.gather),
                          [&] { return stopping_ || lane.queue.size() >= options_.gather_entries; });
}

bool Lanes::has(const std::string& collection, const std::string& key) const {
  return lanes_[lane_of(collection, key)]->queue.has(collection, key);
}

size_t Lanes::size() const {
  size_t sum = 0;
  for (const auto& lane : lanes_) sum += lane->queue.size();
  return sum;
}

bool Lanes::wait_empty(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return parts_.clock.wait_until(lock, changed_, deadline, [this] { return stopping_ || size() == 0; }) &&
         size() == 0;
}

void Lanes::pause(const std::string& collection) {
  std::lock_guard hold(mutex_);
  ++paused_[collection];
}

bool Lanes::paused(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  return paused_.contains(collection);
}

void Lanes::resume(const std::string& collection) {
  {
    std::lock_guard hold(mutex_);
    const auto at = paused_.find(collection);
    if (at != paused_.end() && --at->second == 0) paused_.erase(at);
  }
  wake();
}

void Lanes::read_anew(const std::string& collection) {
  const journal::Seq trimmed = parts_.journal.stats().trimmed_below;
  {
    std::lock_guard hold(mutex_);
    std::erase_if(lives_,
                  [&](const auto& life) { return life.second <= trimmed; });  // nothing of before is left
    lives_[collection] = parts_.journal.next();
  }
  for (auto& lane : lanes_) lane->queue.demote_images(collection);
}

std::vector<Entry> Lanes::remove(const std::string& collection) {
  read_anew(collection);
  std::vector<Entry> all;
  for (auto& lane : lanes_) {
    for (auto& entry : lane->queue.remove([&](const Entry& e) { return e.collection == collection; })) {
      for (const auto position : entry.owed) parts_.freshness.arrived(entry.collection, position);
      for (const auto seq : entry.seqs) parts_.ledger.done(seq);
      all.push_back(std::move(entry));
    }
  }
  return all;
}

void Lanes::hold_reads(bool held) {
  {
    std::lock_guard hold(mutex_);
    reads_held_ = held;
  }
  if (!held) wake();
}

// Asks under each queue's lock: who took a READ before it was held has counted it by then.
size_t Lanes::reading() const {
  size_t sum = 0;
  for (const auto& lane : lanes_) sum += lane->queue.reading();
  return sum;
}

std::vector<Entry> Lanes::take_reads() {
  std::vector<Entry> all;
  for (auto& lane : lanes_) {
    for (auto& entry : lane->queue.remove([](const Entry& e) { return !is_known(e); }))
      all.push_back(std::move(entry));
  }
  return all;
}

std::vector<std::pair<std::string, std::string>> Lanes::journaled() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& lane : lanes_) {
    for (auto& key : lane->queue.journaled()) all.push_back(std::move(key));
  }
  return all;
}

void Lanes::use_journaled(const std::vector<std::pair<std::string, std::string>>& keys) {
  for (const auto& lane : lanes_) lane->queue.use_journaled(keys);
  wake();
}

bool Lanes::has_journaled(const std::string& collection, const std::string& key) const {
  return lanes_[lane_of(collection, key)]->queue.has_journaled(collection, key);
}

std::pair<std::vector<std::string>, size_t> Lanes::reads(size_t max) const {
  std::vector<std::string> names;
  size_t count = 0;
  for (const auto& lane : lanes_) {
    lane->queue.visit([&](const std::string& collection, const std::string& encoded, bool, bool known) {
      if (known) return;
      ++count;
      if (names.size() >= max) return;
      const auto key = model::decode_key(encoded);
      names.push_back(collection + " " + (key ? model::to_string(key->id) : "?"));
    });
  }
  return {std::move(names), count};
}

size_t Lanes::images() const {
  size_t count = 0;
  for (const auto& lane : lanes_) count += lane->queue.images();
  return count;
}

void Lanes::run(Lane& lane) {
  schedule_in_batches();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t seen = lane.wakes;
    lock.unlock();
    bool worked = false;
    try {
      gather(lane);
      worked = step(lane);
    } catch (const std::exception& e) {
      log::error("a lane failed; it goes on", {{"what", e.what()}});
    }
    lock.lock();
    if (worked || stopping_) continue;
    const TimePoint now = parts_.clock.now();
    TimePoint until = now + std::chrono::milliseconds(500);
    if (not_before_ > now) until = not_before_;
    for (const auto* health : {&health_, &primary_health_}) {
      const TimePoint retry = health->retry_at();
      if (retry > now) {
        until = std::min(until, retry);
      } else if (!health->problem().empty() && lane.queue.size() > 0) {
        until =
            std::min(until, now + std::chrono::milliseconds(20));  // another lane tried and needed nothing
      }
    }
    lane.idle = true;
    parts_.clock.wait_until(lock, lane.work, until, [&] { return stopping_ || lane.wakes != seen; });
    lane.idle = false;
  }
}

// What is thrown (no thread, no memory) costs no entry: those that were not done are owed again as they were.
void Lanes::apply_whole(Lane& lane, const std::vector<Entry>& taken) {
  try {
    apply(lane, taken);
  } catch (const std::exception& broken) {
    bool noted = false;
    while (!owe_again(lane, taken, broken.what(), noted)) {
      std::unique_lock lock(mutex_);
      parts_.clock.wait_until(lock, lane.work, parts_.clock.in(std::chrono::milliseconds(20)),
                              [] { return false; });
    }
    throw;
  }
}

// False: not all of it yet, for want of memory. `noted`: what may be on the wire is owed a READ for that.
bool Lanes::owe_again(Lane& lane, const std::vector<Entry>& taken, const char* why, bool& noted) {
  try {
    if (!noted) {
      std::vector<Debt> debts;
      for (const Entry& entry : taken) {
        if (!lane.queue.is_applying(entry)) continue;
        debts.push_back({0, entry.collection, entry.key, DebtReason::zombie,
                         parts_.transfer.driver(replica()).capabilities().max_zombie});
      }
      parts_.debts.add(debts);
      ++failed_;
      health_.failed("changes could not be brought to the replica, on our side: " + std::string(why));
      primary_health_.unused();
      noted = true;
    }
    for (const auto seq : lane.queue.give_back(taken)) parts_.ledger.done(seq);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

bool Lanes::step(Lane& lane) {
  CopyPart part;
  bool copying = false;
  {
    std::unique_lock lock(mutex_);
    if (VMPROXY_RULE("crash.wait") && parts_.clock.now() < not_before_) return false;
  }
  const size_t allowed = health_.allowed();
  if (allowed == 0) return false;
  const ReplicaHealth::Turn turn(health_, allowed);
  const size_t reads_allowed = primary_health_.allowed();
  std::optional<ReplicaHealth::Turn> reads_turn(std::in_place, primary_health_, reads_allowed);
  const size_t reads_max = std::min(reads_allowed, reads_batch_.now());
  size_t reads = 0;
  const std::vector<Entry> entries =
      lane.queue.take(std::min({allowed, options_.batch_max, batch_.now()}), [&](const Entry& entry) {
        {
          std::lock_guard hold(mutex_);
          if (paused_.contains(entry.collection) || (reads_held_ && !entry.image)) return false;
        }
        // H60: it would go with a drop that the target did not answer.
        if (parts_.collections.drop_may_land(entry.collection) && VMPROXY_RULE("ddl.lands-first"))
          return false;
        for (const OpId op : entry.waits) {
          if (VMPROXY_RULE("read.waits") && parts_.in_flight.broad_in_flight(op)) return false;
        }
        return entry.image || reads++ < reads_max;
      });
  // Not only in the end: under load it would nearly always be some lane's that has nothing to read.
  if (reads == 0) reads_turn.reset();
  bool worked = !entries.empty();
  if (worked) lane.last_batch = entries.size();
  if (worked) VMPROXY_FAULT("lane.taken");
  if (worked) apply_whole(lane, entries);
  if (worked && !health_.problem().empty()) return true;
  {
    std::lock_guard hold(mutex_);
    copying = !stopping_ && !lane.copies.empty();
    if (copying) {
      part = std::move(lane.copies.front());
      lane.copies.pop_front();
      lane.copy_rows -= part.rows.size();
      copy_rows_ -= part.rows.size();
    }
  }
  if (copying) {
    changed_.notify_all();  // room for more rows
    copy_part(std::move(part));
    worked = true;
  }
  return worked;
}

}  // namespace vmproxy::proxy
