// Intents: heads, bodies, outcomes, the scan over them, and figures.
#include <algorithm>

#include "journal/durable_journal.h"

namespace vmproxy::journal {
namespace {

Error dropped(Seq seq, const char* what) {
  return {Code::not_found,
          "journal: " + std::string(what) + " " + std::to_string(seq) + " is not there (any more)"};
}

}  // namespace

Result<IntentHead> DurableJournal::head(Seq seq) {
  const std::string key = seq_key(Kind::intent, seq);
  auto value = store_.get(key);
  if (!value) return value.error();
  if (!*value) return dropped(seq, "intent");
  auto entry = decode_head(key, **value);
  if (!entry) return entry.error();
  if (auto* head = std::get_if<IntentHead>(&*entry)) return std::move(*head);
  return dropped(seq, "intent");
}

Result<IntentBody> DurableJournal::body(Seq seq) {
  const std::string key = seq_key(Kind::body, seq);
  auto value = store_.get(key);
  if (!value) return value.error();
  if (!*value) return dropped(seq, "the body of intent");
  return decode_body(key, **value);
}

Result<std::optional<OutcomeRecord>> DurableJournal::outcome_of(Seq seq) {
  const std::string key = seq_key(Kind::outcome, seq);
  std::optional<std::optional<std::string>> pending;
  {
    Lock hold(mutex_);
    pending = find_pending(key);
  }
  std::optional<std::string> value;
  if (pending) {
    value = std::move(*pending);
  } else {
    auto stored = store_.get(key);
    if (!stored) return stored.error();
    value = std::move(*stored);
  }
  if (!value) return std::optional<OutcomeRecord>();
  auto outcome = decode_outcome(key, *value);
  if (!outcome) return outcome.error();
  return std::optional<OutcomeRecord>(std::move(*outcome));
}

// Where the entry stands that covers `seq`: at `seq`, or where the hole begins that it lies in; nothing below `from` is
// looked at. `seq` itself when none covers it.
Result<Seq> DurableJournal::entry_of(Seq seq, Seq from) {
  if (from >= seq) return seq;
  auto there = store_.get(seq_key(Kind::intent, seq));
  if (!there) return there.error();
  if (*there) return seq;
  // Rare, so holes are not kept in memory: the entry before is looked for on the disk.
  std::string before, entry_bytes;
  auto scanned =
      store_.scan(seq_key(Kind::intent, from), seq_key(Kind::intent, seq), [&](auto key, auto value) {
        before.assign(key);
        entry_bytes.assign(value);
        return true;
      });
  if (!scanned) return scanned.error();
  if (before.empty()) return seq;
  auto entry = decode_head(before, entry_bytes);
  if (!entry) return entry.error();
  const auto* hole = std::get_if<Hole>(&*entry);
  if (hole == nullptr || hole->last < seq) return seq;
  return *seq_of(before);
}

Result<std::vector<HeadOrHole>> DurableJournal::heads_from(Seq from, size_t count_max) {
  std::vector<HeadOrHole> heads;
  std::optional<Error> damaged;
  size_t bytes = 0;
  auto scanned = store_.scan(seq_key(Kind::intent, from), after_prefix("i"), [&](auto key, auto value) {
    auto entry = decode_head(key, value);
    if (!entry) {
      damaged = entry.error();
      return false;
    }
    heads.push_back(std::move(*entry));
    bytes += value.size();
    return heads.size() < count_max && bytes < (4u << 20);
  });
  if (!scanned) return scanned.error();
  if (damaged) return *damaged;
  return heads;
}

Result<void> DurableJournal::scan(Seq from, const VisitIntent& visit) {
  Seq trimmed;
  {
    Lock hold(mutex_);
    trimmed = trimmed_;
    from = std::max(from, trimmed);
  }
  auto begins = entry_of(from, trimmed);
  if (!begins) return begins.error();
  from = *begins;
  // In steps, so that no snapshot is held while the visitor works.
  constexpr size_t step = 1024;
  for (;;) {
    auto heads = heads_from(from, step);
    if (!heads) return heads.error();
    if (heads->empty()) return {};
    std::map<Seq, OutcomeRecord> outcomes;
    std::optional<Error> damaged;
    Seq last = from;
    for (const auto& entry : *heads) {
      if (const auto* head = std::get_if<IntentHead>(&entry)) last = head->seq;
    }
    // Pending ones before the stored ones: an outcome that is committed meanwhile is found by one of the two.
    std::vector<std::pair<std::string, std::string>> pending;
    {
      Lock hold(mutex_);
      for (Seq seq = from; !pending_.empty() && seq <= last; ++seq) {
        std::string key = seq_key(Kind::outcome, seq);
        if (auto found = find_pending(key); found && *found)
          pending.emplace_back(std::move(key), std::move(**found));
      }
    }
    for (const auto& [key, value] : pending) {
      auto outcome = decode_outcome(key, value);
      if (!outcome) return outcome.error();
      outcomes.emplace(*seq_of(key), std::move(*outcome));
    }
    auto scanned = store_.scan(seq_key(Kind::outcome, from), seq_key(Kind::outcome, last + 1),
                               [&](auto key, auto value) {
                                 auto outcome = decode_outcome(key, value);
                                 if (!outcome) {
                                   damaged = outcome.error();
                                   return false;
                                 }
                                 outcomes.emplace(*seq_of(key), std::move(*outcome));
                                 return true;
                               });
    if (!scanned) return scanned;
    if (damaged) return *damaged;
    for (const auto& entry : *heads) {
      if (const auto* hole = std::get_if<Hole>(&entry)) {
        from = hole->last + 1;
        continue;
      }
      const auto& head = std::get<IntentHead>(entry);
      if (head.seq != from) {
        Lock hold(mutex_);
        if (head.seq > std::max(trimmed_, trim_wanted_)) {
          return Error(Code::corrupt,
                       "journal: intents " + std::to_string(from) + " to " + std::to_string(head.seq - 1) +
                           " are missing; the replica may lack these writes. Copy and validate again");
        }
      }
      from = head.seq + 1;
      std::optional<OutcomeRecord> outcome;
      if (const auto found = outcomes.find(head.seq); found != outcomes.end())
        outcome = std::move(found->second);
      if (!visit(head, outcome)) return {};
    }
  }
}

std::optional<Error> DurableJournal::failure() {
  Lock hold(mutex_);
  return failure_;
}

Stats DurableJournal::stats() {
  Stats stats;
  std::vector<double> syncs;
  {
    Lock hold(mutex_);
    stats.next_seq = next_.load();
    stats.trimmed_below = trimmed_;
    stats.intents = stats.next_seq - trimmed_;
    stats.gaps_open = gaps_.size();
    stats.clean_start = clean_start_;
    syncs.assign(syncs_.begin(),
                 syncs_.begin() + static_cast<ptrdiff_t>(std::min(sync_count_, syncs_.size())));
  }
  if (auto bytes = store_.bytes_on_disk()) stats.bytes = *bytes;
  if (!syncs.empty()) {
    std::sort(syncs.begin(), syncs.end());
    stats.sync_seconds_p50 = syncs[syncs.size() / 2];
    stats.sync_seconds_p99 = syncs[syncs.size() * 99 / 100];
  }
  return stats;
}

}  // namespace vmproxy::journal
