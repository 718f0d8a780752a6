// A batch of a lane becomes what the replica holds, one collection's share after the other: the calls, and what becomes of
// those that fail.
#include <algorithm>
#include <map>
#include <utility>

#include "base/fault.h"
#include "base/log.h"
#include "base/rule.h"
#include "proxy/lanes.h"

namespace vmproxy::proxy {

void Lanes::apply(Lane& lane, std::vector<Entry> entries) {
  std::map<std::string, std::vector<Entry>> groups;
  for (auto& entry : entries) groups[entry.collection].push_back(std::move(entry));
  for (auto& [name, group] : groups) {
    const auto collection = parts_.collections.find(name);
    if (!collection && paused(name)) {
      // A change of collections is under way, and may end with the name where it was: it says what is owed then.
      if (primary_ == Side::source) {
        for (Entry& entry : group) entry.image = entry.journaled = false;  // H20: or of another life
      }
      for (const auto seq : lane.queue.give_back(std::move(group))) parts_.ledger.done(seq);
      health_.unused();
      primary_health_.unused();
      continue;
    }
    if (!collection) {
      finished(lane, group);  // dropped or no longer included: nothing is owed
      health_.unused();
      primary_health_.unused();
      continue;
    }
    // H20: what a dropped collection of this name was to hold is nothing for the one that has it now.
    const journal::Seq began = life_of(name);
    for (Entry& entry : group) {
      if (entry.seq < began) entry.image = entry.journaled = false;
    }
    apply_collection(lane, *collection, began, group);
    if (group.empty()) continue;
    const bool other_life = !same_life(*collection);  // H20: while it was applied
    const journal::Seq begins = life_of(name);
    for (Entry& entry : group) {
      if (other_life || entry.seq < begins) entry.image = entry.journaled = false;
    }
    for (const auto seq : lane.queue.give_back(std::move(group))) parts_.ledger.done(seq);
  }
}

void Lanes::apply_collection(Lane& lane, const Collection& collection, journal::Seq life,
                             std::vector<Entry>& entries) {
  if (auto ours = claim(collection); !ours) {
    ++failed_;
    if (health_.failed(ours.error().message)) {
      log::warn("mirror does not write; its changes are kept, the application is not affected",
                {{"collection", collection.key}, {"error", ours.error().message}});
    }
    return;
  }
  auto found = states(collection, entries);
  if (!found) {
    if (found.error().code == Code::not_found && gone(collection)) {
      primary_health_.succeeded();
      health_.unused();
      return;
    }
    ++failed_;
    if (primary_health_.failed(found.error().message)) {
      log::warn("mirror cannot read; it retries, the application is not affected",
                {{"collection", collection.key}, {"error", found.error().message}});
    }
    // What needs no reading goes on: after a promotion that is what brings everything back when the primary is dead.
    std::vector<Entry> images, reads;
    for (Entry& entry : entries) (entry.image ? images : reads).push_back(std::move(entry));
    entries = std::move(images);
    if (!entries.empty() && !reads.empty()) {
      apply_collection(lane, collection, life, entries);
    } else {
      health_.unused();
    }
    for (auto& entry : reads) entries.push_back(std::move(entry));
    return;
  }
  if (std::any_of(entries.begin(), entries.end(), [](const Entry& entry) { return !entry.image; }) &&
      primary_health_.succeeded()) {
    wake();
  }
  if (!found->unread.empty()) set_aside(lane, collection, found->unread, entries);
  if (entries.empty()) {
    health_.unused();
    return;
  }
  const std::vector<model::Record>& records = found->records;
  const std::vector<model::Key>& absent = found->absent;
  const Side side = replica();
  const size_t sent = records.size() + absent.size();
  const TimePoint began = parts_.clock.now();
  const Deadline deadline = began + options_.apply_timeout;
  Result<protocols::ApplyResult> upserted = protocols::ApplyResult{};
  Result<protocols::ApplyResult> erased = protocols::ApplyResult{};
  if (!records.empty()) upserted = upsert(collection, records, deadline);
  if (upserted && !absent.empty()) erased = erase(collection, absent, deadline);
  const Duration took = parts_.clock.now() - began;
  if (upserted && erased) {
    batch_.answered(sent, took);
    lane.made = false;
    if (health_.succeeded()) {
      log::info("replica answers again", {{"collection", collection.key}});
      wake();
    }
    // H20: it may have landed on the collection's next life, or is older than what a comparison has seen: read again.
    if (!same_life(collection) || life_of(collection.key) != life) return;
    for (const auto& refusal : upserted->refused) {
      const auto& record = records[refusal.index];
      parts_.quarantine.add(collection.key, model::encode(record.key), refusal.error.message, record,
                            primary_);
    }
    for (const auto& refusal : erased->refused) {
      parts_.quarantine.add(collection.key, model::encode(absent[refusal.index]), refusal.error.message,
                            std::nullopt, primary_);
    }
    applied_upserts_.add(static_cast<double>(records.size()));
    applied_deletes_.add(static_cast<double>(absent.size()));
    finished(lane, entries);
    entries.clear();
    return;
  }
  Error error = !upserted ? upserted.error() : erased.error();
  if (error.code == Code::not_found) {
    Result<void> made;
    // Dropped by a call that is being mirrored: what exists is for that call to say.
    if (!paused(collection.key) && same_life(collection)) {
      made = side == Side::target ? parts_.collections.create_on_target(collection, deadline)
                                  : parts_.collections.create_on_source(collection, deadline);
    }
    if (made && !std::exchange(lane.made, true)) {
      health_.unused();
      return;  // tried again at once; found missing all the same, later
    }
    if (!made) error = made.error();
  }
  const bool for_good = refused_for_good(error);
  if (for_good && entries.size() > 1) {
    // One bad record fails its batch: find it by halves.
    std::vector<Entry> half(
        std::make_move_iterator(entries.begin() + static_cast<ptrdiff_t>(entries.size() / 2)),
        std::make_move_iterator(entries.end()));
    entries.resize(entries.size() / 2);
    apply_collection(lane, collection, life, entries);
    apply_collection(lane, collection, life, half);
    for (auto& entry : half) entries.push_back(std::move(entry));
    return;
  }
  if (for_good) {
    parts_.quarantine.add(collection.key, entries.front().key, error.message,
                          records.empty() ? std::nullopt : std::optional(records.front()), primary_);
    VMPROXY_FAULT("lane.quarantined");
    finished(lane, entries);
    entries.clear();
    return;
  }
  ++failed_;
  batch_.failed(sent, took);
  std::vector<model::Key> keys;
  for (const auto& record : records) keys.push_back(record.key);
  for (const auto& key : absent) keys.push_back(key);
  owe_zombies(collection.key, keys, error);
  if (health_.failed(error.message)) {
    log::warn("replica does not take changes; they are kept and tried again, the application is not affected",
              {{"collection", collection.key}, {"error", error.message}});
  }
}

Result<protocols::ApplyResult> Lanes::upsert(const Collection& collection,
                                             const std::vector<model::Record>& records, Deadline deadline) {
  if (VMPROXY_FAULT_HIT("lane.upserting").fails) return Error(Code::unavailable, "the replica cannot serve");
  auto done =
      parts_.transfer.upsert(replica(), collection, records, protocols::UpsertMode::replace, deadline);
  if (VMPROXY_FAULT_HIT("lane.upserted").drops)
    done = Error(Code::connection_lost, "the replica's answer was lost");
  return done;
}

Result<protocols::ApplyResult> Lanes::erase(const Collection& collection, const std::vector<model::Key>& keys,
                                            Deadline deadline) {
  if (VMPROXY_FAULT_HIT("lane.erasing").fails) return Error(Code::unavailable, "the replica cannot serve");
  auto done = parts_.transfer.erase(replica(), collection, keys, deadline);
  if (VMPROXY_FAULT_HIT("lane.erased").drops)
    done = Error(Code::connection_lost, "the replica's answer was lost");
  return done;
}

Result<void> Lanes::claim(const Collection& collection) {
  if (replica() == Side::source || parts_.collections.claimed(collection)) return {};
  return parts_.collections.create_on_target(collection, parts_.clock.in(options_.apply_timeout));
}

journal::Seq Lanes::life_of(const std::string& collection) const {
  std::lock_guard hold(mutex_);
  const auto at = lives_.find(collection);
  return at == lives_.end() ? 0 : at->second;
}

bool Lanes::same_life(const Collection& collection) const {
  const auto now = parts_.collections.find(collection.key);
  return now && now->plan->source().incarnation == collection.plan->source().incarnation;
}

void Lanes::owe_zombies(const std::string& collection, const std::vector<model::Key>& keys,
                        const Error& error) {
  if (error.surely_not_done() || !VMPROXY_RULE("zombie.read")) return;
  std::vector<Debt> debts;
  for (const auto& key : keys) {
    debts.push_back({0, collection, model::encode(key), DebtReason::zombie,
                     parts_.transfer.driver(replica()).capabilities().max_zombie});
  }
  parts_.debts.add(debts);
  VMPROXY_FAULT("lane.owed");
}

// C6: a debt of this key that is not paid with the entry ends in a READ, and the primary may be dead by then. The journal
// answers that with the key's last write, unless the primary was asked since and can do no other any more (of a key at risk it
// never is). A debt that waits on the disk only is not known here: its READ needs the primary.
std::optional<Ledger::Hold> Lanes::stays_journaled(const Entry& entry) {
  if (primary_ != Side::target) return std::nullopt;
  if (parts_.debts.held(entry.collection, entry.key) <= entry.debts.size()) return std::nullopt;
  if (!entry.image && !parts_.in_flight.busy(entry.collection, entry.key) &&
      !parts_.quarantine.at_risk(entry.collection, entry.key))
    return std::nullopt;
  return Ledger::Hold(parts_.ledger, entry.seq);
}

void Lanes::finished(Lane& lane, const std::vector<Entry>& entries) {
  VMPROXY_FAULT("lane.finishing");
  lane.queue.complete(entries, [this](const Entry& entry) { return stays_journaled(entry); });
  for (const Entry& entry : entries) {
    parts_.debts.paid(entry.debts);
    parts_.quarantine.remove(entry.quarantined);
    VMPROXY_FAULT("lane.paid");
    for (const auto seq : entry.seqs) parts_.ledger.done(seq);
    for (const auto position : entry.owed) parts_.freshness.arrived(entry.collection, position);
  }
  VMPROXY_FAULT("lane.finished");
  applied_ += entries.size();
  if (lane.queue.size() == 0) {
    const std::lock_guard hold(
        mutex_);  // or who waits for empty lanes could miss it between looking and waiting
    changed_.notify_all();
  }
}

}  // namespace vmproxy::proxy
