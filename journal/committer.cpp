// The committer: takes the oldest group, commits it (with one sync for all of it), calls back, and again.
// While it waits for the disk, appenders encode into the next group, so the group grows with the load and the
// disk's latency.
#include <algorithm>

#include "base/fault.h"
#include "base/log.h"
#include "base/thread_class.h"
#include "journal/durable_journal.h"

namespace vmproxy::journal {

void DurableJournal::run() {
  schedule_in_batches();
  Lock hold(mutex_);
  for (;;) {
    wait_for_work(hold);
    if (!refused_.empty()) {
      auto calls = std::move(refused_);
      refused_.clear();
      hold.unlock();
      for (auto& call : calls) call();
      calls.clear();
      hold.lock();
      continue;
    }
    if (reopen_wanted_ || reopen_due()) {
      try_reopen(hold);
      continue;
    }
    if (stopping_) break;
    if (failure_) continue;
    if (trim_due()) {
      place_trim(hold);
      if (trim_owed() > 0) add_trims(group());
      trimmed_at_ = clock_.now();  // also when nothing was left to trim: a look costs a read of the store
    }
    if (!pending_.empty()) commit_front(hold);
    keep_house(hold);
  }

  // Nothing more is committed: whoever still waits is told.
  std::vector<Completion> left;
  for (auto& waiting : pending_) {
    for (auto& completion : waiting.completions) left.push_back(std::move(completion));
  }
  pending_.clear();
  progress_.notify_all();
  hold.unlock();
  for (auto& completion : left)
    completion.finish(Error(Code::cancelled, "journal: closed before this was recorded"));
}

// A trim drops the bodies too, so bodies_dropped_ may be ahead of bodies_wanted_.
Seq DurableJournal::trim_owed() const {
  const Seq intents = trim_wanted_ > trimmed_ ? trim_wanted_ - trimmed_ : 0;
  const Seq bodies = bodies_wanted_ > bodies_dropped_ ? bodies_wanted_ - bodies_dropped_ : 0;
  return std::max(intents, bodies);
}

bool DurableJournal::trim_due() const {
  const Seq owed = trim_owed();
  return owed >= trim_count || (owed > 0 && clock_.now() >= trimmed_at_ + trim_delay);
}

void DurableJournal::wait_for_work(Lock& hold) {
  const auto urgent = [&] {
    return stopping_ || reopen_wanted_ || !refused_.empty() ||
           (!failure_ && !pending_.empty() && (pending_.size() > 1 || pending_.front().urgent));
  };
  const auto lazy = [&] { return !failure_ && (!pending_.empty() || trim_owed() > 0); };
  // wake() notifies once for each time that this is armed: a wake-up for nothing must arm it again.
  const auto armed = [this](Waiting how, auto condition) {
    return [this, how, condition] {
      const bool met = condition();
      waiting_ = met ? Waiting::no : how;
      return met;
    };
  };
  while (!urgent()) {
    if (failure_ && options_.reopen_every > Duration::zero()) {
      if (reopen_due()) break;
      clock_.wait_until(hold, work_, reopen_at_, armed(Waiting::for_urgent, urgent));
      continue;
    }
    if (!lazy()) {
      work_.wait(hold, armed(Waiting::for_any, [&] { return urgent() || lazy(); }));
      continue;
    }
    if (trim_due()) break;
    // Lazy entries gather for a moment, or go with the next urgent group.
    const TimePoint until = !pending_.empty() ? clock_.in(lazy_delay) : trimmed_at_ + trim_delay;
    const bool only_trims = pending_.empty();
    clock_.wait_until(hold, work_, until, armed(only_trims ? Waiting::for_any : Waiting::for_urgent, [&] {
                        return urgent() || (only_trims && !pending_.empty());
                      }));
    if (!pending_.empty() && !only_trims) break;
  }
  waiting_ = Waiting::no;
}

// mutex_ held, not while the store is read. A position inside a hole goes back to where the hole begins: its entry stands
// there, and without it the seqs up to its end would be missing.
void DurableJournal::place_trim(Lock& hold) {
  while (trim_wanted_ > trimmed_ && trim_wanted_ <= acknowledged_) {
    const Seq wanted = trim_wanted_;
    const Seq trimmed = trimmed_;
    hold.unlock();
    auto begins = entry_of(wanted, trimmed);
    hold.lock();
    if (trim_wanted_ != wanted) continue;
    if (!begins) log::warn("journal: cannot be trimmed now", {{"error", begins.error().message}});
    trim_wanted_ = begins ? *begins : trimmed;
    return;
  }
}

void DurableJournal::add_trims(Group& to) {
  const size_t first = to.batch.size();
  if (trim_wanted_ > trimmed_) {
    for (const Kind kind : {Kind::intent, Kind::body, Kind::outcome}) {
      to.erase_range(seq_key(kind, trimmed_), seq_key(kind, trim_wanted_));
    }
    std::string key = meta_key("trimmed");
    std::string value = encode_bytes(encode_number(trim_wanted_)).finish(key);
    to.put(std::move(key), std::move(value));
    to.trims_to = trim_wanted_;
  }
  if (bodies_wanted_ > std::max(bodies_dropped_, trim_wanted_)) {
    to.erase_range(seq_key(Kind::body, bodies_dropped_), seq_key(Kind::body, bodies_wanted_));
    std::string key = meta_key("bodies");
    std::string value = encode_bytes(encode_number(bodies_wanted_)).finish(key);
    to.put(std::move(key), std::move(value));
  }
  to.bodies_to = std::max(bodies_wanted_, trim_wanted_);
  to.complete({0, nullptr, nullptr, first,
               to.batch.size()});  // nobody waits; a failure drops them, they are added anew
}

void DurableJournal::commit_front(Lock& hold) {
  Group& front = pending_.front();
  Seq last = 0;
  for (const auto& completion : front.completions) last = std::max(last, completion.seq);
  if (last >= next_marked_ + next_mark_count) {
    const size_t first = front.batch.size();
    std::string key = meta_key("next");
    std::string value = encode_bytes(encode_number(last)).finish(key);
    front.put(std::move(key), std::move(value));
    front.complete(
        {0, nullptr, nullptr, first, front.batch.size()});  // only with its intents: a failure drops it
    next_marked_ = last;
  }
  const bool promised = options_.durability == Durability::fsync;
  const bool sync = front.force_sync || (promised && (front.sync || unsynced_bytes_ > unsynced_bytes_max));
  front_busy_ = true;
  hold.unlock();

  const TimePoint before = clock_.now();
  auto before_it = VMPROXY_FAULT_HIT("journal.commit");
  if (last != 0 && !before_it.broken()) before_it = VMPROXY_FAULT_HIT("journal.intents");
  Result<void> committed = before_it.broken()
                               ? before_it.disk_error()
                               : store_.commit(front.batch, sync ? store::Sync::yes : store::Sync::no);
  if (const auto fault = VMPROXY_FAULT_HIT("journal.committed"); fault.fails) committed = fault.disk_error();
  const double seconds = std::chrono::duration<double>(clock_.now() - before).count();
  if (sync && committed) sync_seconds_.observe(seconds);

  hold.lock();
  front_busy_ = false;
  if (!committed) {
    fail(committed.error());
    return;
  }
  if (sync) observe_sync(seconds);
  if (front.trims_to != 0) VMPROXY_FAULT("trim.committed");
  acknowledged_ = std::max(acknowledged_, last);
  trimmed_ = std::max(trimmed_, front.trims_to);
  bodies_dropped_ = std::max(bodies_dropped_, front.bodies_to);
  pending_bytes_ -= std::min(pending_bytes_, front.bytes);
  group_done_ = front.number;
  Group done = std::move(front);
  pending_.pop_front();
  progress_.notify_all();
  hold.unlock();
  for (auto& completion : done.completions) completion.finish(std::nullopt);
  VMPROXY_FAULT("journal.told");
  // Outside the lock, where what is freed is freed as well.
  if (sync) {
    unsynced_.clear();
    unsynced_bytes_ = 0;
  } else if (promised) {  // with `os` the operating system decides what of it is there after a failure
    unsynced_bytes_ += done.bytes;
    unsynced_.push_back(std::move(done.batch));
  }
  done = Group();
  hold.lock();
}

// mutex_ held. What of the failed group is on disk is not known; the next open or reopen() decides.
void DurableJournal::fail(Error error) {
  log::error("journal: cannot record; capture of writes is interrupted until it can be opened again",
             {{"error", error.message}});
  failure_ = error.within("journal: a commit failed, nothing is recorded until it is reopened");
  reopen_at_ = clock_.in(options_.reopen_every);
  std::vector<Completion> waiting;
  pending_bytes_ = 0;
  for (auto& group : pending_) {
    group.keep_lazy();
    for (auto& completion : group.completions) waiting.push_back(std::move(completion));
    group.completions.clear();
    pending_bytes_ += group.bytes;
  }
  std::erase_if(pending_, [](const Group& group) { return group.batch.empty(); });
  for (const auto& completion : waiting) {
    if (completion.seq != 0 && (burnt_from_ == 0 || completion.seq < burnt_from_))
      burnt_from_ = completion.seq;
  }
  group_done_ = group_last_;
  for (auto& group : pending_) group.number = ++group_last_;  // settle() waits for them as for new ones
  progress_.notify_all();
  VMPROXY_FAULT("journal.failed");
  refuse([waiting = std::make_shared<std::vector<Completion>>(std::move(waiting)), error = *failure_] {
    for (auto& completion : *waiting) completion.finish(error);
  });
}

void DurableJournal::observe_sync(double seconds) {
  syncs_[sync_count_++ % syncs_.size()] = seconds;
}

void DurableJournal::keep_house(Lock& hold) {
  const TimePoint now = clock_.now();
  if (now < house_kept_at_ + std::chrono::seconds(1)) return;
  house_kept_at_ = now;
  const Seq trimmed = trimmed_;
  const Seq bodies = bodies_dropped_;
  const bool writable = !failure_;
  hold.unlock();
  if (auto bytes = store_.bytes_on_disk()) {
    bytes_.set(static_cast<double>(*bytes));
    if (writable && *bytes > options_.reclaim_above && bodies >= reclaimed_ + options_.reclaim_each) {
      // Files go at once and for good: what says that they may, and the debts put before it, must not be lost after them.
      if (options_.durability == Durability::os || !unsynced_.empty()) {
        store::Batch mark;
        put_meta(mark, "trimmed", encode_number(trimmed));
        const auto fault = VMPROXY_FAULT_HIT("trim.marking");
        auto synced = fault.broken() ? fault.disk_error() : store_.commit(mark, store::Sync::yes);
        if (!synced) {
          hold.lock();
          fail(synced.error());
          return;
        }
        unsynced_.clear();
        unsynced_bytes_ = 0;
      }
      reclaimed_ = bodies;
      for (const Kind kind : {Kind::body, Kind::intent, Kind::outcome}) {
        const Seq to = kind == Kind::body ? bodies : trimmed;
        if (auto asked = store_.reclaim(seq_key(kind, 0), seq_key(kind, to)); !asked) {
          log::warn("journal: cannot give trimmed space back", {{"error", asked.error().message}});
        }
        VMPROXY_FAULT("trim.reclaimed");
      }
    }
  }
  hold.lock();
}

bool DurableJournal::reopen_due() const {
  return failure_ && options_.reopen_every > Duration::zero() && clock_.now() >= reopen_at_;
}

void DurableJournal::try_reopen(Lock& hold) {
  const bool asked = reopen_wanted_;
  hold.unlock();
  auto result = reopen_now();
  hold.lock();
  reopen_at_ = clock_.in(options_.reopen_every);
  if (!result && result.error().message != reopen_error_) {
    log::error("journal: cannot be opened again yet; it is tried again", {{"error", result.error().message}});
  }
  reopen_error_ = result ? "" : result.error().message;
  if (!asked) return;
  reopen_wanted_ = false;
  reopened_ = std::move(result);
  progress_.notify_all();
}

Result<void> DurableJournal::reopen() {
  if (on_committer()) return Error(Code::internal, "journal: reopen() from one of its own callbacks");
  Lock hold(mutex_);
  if (closed_ || stopping_) return Error(Code::precondition, "journal: it is closed");
  if (!failure_) return {};
  reopen_wanted_ = true;
  reopened_.reset();
  wake(true);
  progress_.wait(hold, [&] { return reopened_.has_value() || stopping_; });
  if (!reopened_) return Error(Code::precondition, "journal: it is closed");
  return *reopened_;
}

// Over whatever of them is left the same comes of it: all of them, in their order. The commit that failed is newer, and may be
// on the disk with a trim that is dropped here: what it took away stays away.
Result<void> DurableJournal::commit_unsynced() {
  if (unsynced_.empty()) return {};
  auto trimmed = meta_number("trimmed", 1);
  if (!trimmed) return trimmed.error();
  auto bodies = meta_number("bodies", 1);
  if (!bodies) return bodies.error();
  store::Batch all;
  for (store::Batch batch : unsynced_) all.append(std::move(batch));
  *trimmed = std::max<Seq>(*trimmed, trimmed_);
  put_meta(all, "trimmed", encode_number(*trimmed));
  put_meta(all, "bodies", encode_number(std::max<Seq>(*bodies, bodies_dropped_)));
  all.erase_range(seq_key(Kind::outcome, 0), seq_key(Kind::outcome, *trimmed));
  if (auto committed = store_.commit(all, store::Sync::yes); !committed) return committed;
  unsynced_.clear();
  unsynced_bytes_ = 0;
  return {};
}

Result<void> DurableJournal::reopen_now() {
  if (auto opened = store_.reopen(); !opened) return opened;
  if (auto kept = commit_unsynced(); !kept) return kept;
  VMPROXY_FAULT("journal.reopened");
  Seq acknowledged, burnt_from, next;
  {
    Lock hold(mutex_);
    acknowledged = acknowledged_;
    burnt_from = burnt_from_;
    next = next_.load();
  }
  auto recovered = recover();
  if (!recovered) return recovered.error();
  if (recovered->next <= acknowledged) {
    return Error(Code::corrupt,
                 "journal: intents " + std::to_string(recovered->next) + " to " +
                     std::to_string(acknowledged) +
                     " were recorded but are gone after the failure of the disk. Keep a copy of the "
                     "directory; copy and validate again with a new one");
  }
  store::Batch batch;
  if (burnt_from != 0) {
    for (const Kind kind : {Kind::intent, Kind::body})
      batch.erase_range(seq_key(kind, burnt_from), seq_key(kind, next));
    std::string key = seq_key(Kind::intent, burnt_from);
    std::string value = encode_hole({next - 1}).finish(key);
    batch.put(std::move(key), std::move(value));
    // The failed commit may be on the disk all the same, with a mark that would lie inside the hole now.
    put_meta(batch, "next", encode_number(burnt_from));
  }
  if (!batch.empty()) {
    if (const auto fault = VMPROXY_FAULT_HIT("journal.hole"); fault.broken()) return fault.disk_error();
    if (auto committed = store_.commit(batch, store::Sync::yes); !committed) return committed;
    VMPROXY_FAULT("journal.holed");
  }
  std::vector<Gap> found;
  {
    Lock hold(mutex_);
    if (rows_lost_) {
      found.push_back(
          new_gap("the journal's disk was away so long that facts about mirrored writes were dropped"));
    }
    for (const auto& [number, gap] : slot_gaps_) found.push_back(gap);
    add_owed(found);
  }
  if (auto marked = write_boot_mark(found, false); !marked) return marked;
  VMPROXY_FAULT("journal.recording");
  Lock hold(mutex_);
  failure_.reset();
  acknowledged_ = next - 1;  // a hole is as settled as an intent
  if (burnt_from != 0) next_marked_ = burnt_from;
  // A trim of the commit that failed may be on the disk.
  trimmed_ = std::max(trimmed_, recovered->trimmed);
  trim_wanted_ = std::max(trim_wanted_, trimmed_);
  bodies_dropped_ = std::max({bodies_dropped_, recovered->bodies_dropped, trimmed_});
  burnt_from_ = 0;
  rows_lost_ = false;
  gaps_owed_.clear();            // they come on this thread, so none came meanwhile
  house_kept_at_ = TimePoint();  // space is dear now: give back what was trimmed
  log::info("journal: recording again", {{"next", next}});
  return {};
}

}  // namespace vmproxy::journal
