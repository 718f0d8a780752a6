// The end of a write: what its outcome leaves to be brought to the replica, as entries of the lanes or as debts.
#include <algorithm>
#include <set>
#include <utility>

#include "base/fault.h"
#include "base/rule.h"
#include "journal/rows.h"
#include "proxy/images.h"
#include "proxy/mirror.h"

namespace vmproxy::proxy {
namespace {

model::Outcome outcome_at(const journal::OutcomeRecord& outcome, size_t index) {
  return index < outcome.items.size() ? outcome.items[index] : outcome.whole;
}

}  // namespace

Unjournaled::Unjournaled(Mirror& mirror, Side primary) : mirror_(&mirror), primary_(primary) {
  ++mirror.unjournaled_;
}

void Unjournaled::end(bool may_act) {
  if (mirror_ == nullptr) return;
  if (may_act) mirror_->gaps_act_late(primary_);
  --mirror_->unjournaled_;
  mirror_ = nullptr;
}

Unfollowed::Unfollowed(Mirror& mirror) : mirror_(mirror) {
  ++mirror_.unfollowed_;
}

Unfollowed::~Unfollowed() {
  --mirror_.unfollowed_;
}

void Mirror::gaps_act_late(Side primary) {
  const TimePoint until = clock_.in(window_of(primary));
  TimePoint before = gaps_act_until_;
  while (before < until && !gaps_act_until_.compare_exchange_weak(before, until)) {
  }
}

void Mirror::names_changed() {
  const OpId now = in_flight_.next();
  OpId before = names_known_from_;
  while (before < now && !names_known_from_.compare_exchange_weak(before, now)) {
  }
  if (in_flight_.any_window()) gaps_act_late(Side::source);
}

void Mirror::passed(const InFlight::Passing& passing, Side primary) {
  if (passing.id() < names_known_from_) gaps_act_late(primary);
}

void Mirror::finish(Ticket ticket, journal::OutcomeRecord outcome,
                    std::function<void(Result<void>)> durable) {
  ++writes_;
  const bool may_act = outcome.whole == model::Outcome::uncertain ||
                       std::ranges::find(outcome.items, model::Outcome::uncertain) != outcome.items.end();
  // Not journaled and sent all the same: the capture gap stands for it (correctness.md 3), but its keys are read back
  // anyway, so that the gap is as small as can be.
  const bool nameless = ticket.makes_keys && ticket.keys.size() == ticket.named;
  // The intent does not name the keys that the primary made up: a replay finds them here.
  if (ticket.makes_keys) {
    for (size_t i = ticket.named; i < ticket.keys.size(); ++i)
      outcome.images.push_back({ticket.keys[i], std::nullopt});
  }
  // Put before its intent may be trimmed, which is all that stands for it until then.
  if (outcome.whole != model::Outcome::rejected) {
    std::string gap;
    if (ticket.cls == journal::IntentClass::opaque)
      gap = "operation '" + ticket.operation + "' may have changed records that cannot be named";
    if (nameless)
      gap = "operation '" + ticket.operation + "' made records in '" + ticket.collection_key +
            "' whose keys are not known";
    if (!gap.empty()) {
      // Before the gap: who sees that one sees this.
      if (may_act) gaps_act_late(ticket.primary);
      journal_.owe_gap(std::move(gap));
    }
  }
  ticket.unfollowed.reset();
  {
    std::lock_guard ordered(finish_mutex_);
    if (ticket.broad) {
      finish_broad(ticket, outcome);
    } else {
      finish_keyed(ticket, outcome);
    }
    freshness_.ended(ticket.collection_key, ticket.op);
  }
  if (ticket.broad) ledger_.release(ticket.enumerated_from);
  if (ticket.unjournaled)
    ticket.unjournaled->end(may_act);  // its keys are owed or queued, its own gap is marked
  if (ticket.passing && may_act) passed(*ticket.passing, ticket.primary);
  ticket.passing.reset();
  VMPROXY_FAULT("mirror.outcome");
  if (ticket.seq != 0) {
    journal_.outcome(ticket.seq, std::move(outcome), std::move(durable));
  } else if (durable) {
    durable({});
  }
}

void Mirror::touch(const std::string& collection, const std::vector<std::string>& keys) {
  written_.note(collection, keys);
  const uint64_t generation = generation_;
  if (generation == 0 || keys.empty()) return;
  std::vector<journal::Row> rows;
  for (const auto& key : keys) {
    rows.push_back({std::string(journal::rows::touched), touched_key(generation, collection, key), ""});
  }
  journal_.put_rows(std::move(rows));
}

void Mirror::open_window(const std::string& collection, const std::string& key, OpId write) {
  in_flight_.open_window(collection, key);
  freshness_.doubt(collection, write);
}

bool Mirror::reads_settle() const {
  const auto& primary = transfer_.driver(primary_).capabilities();
  return primary.read_after_write && primary.max_exec.has_value();
}

void Mirror::suspect_reads(const std::string& collection, const std::vector<std::string>& keys) {
  if (!transfer_.driver(primary_).capabilities().read_after_write && VMPROXY_RULE("suspect.stale"))
    suspects_.mark(collection, keys);
}

Entry Mirror::read_entry(const std::string& collection, std::string key) {
  Entry entry;
  entry.collection = collection;
  entry.key = std::move(key);
  entry.position = next_position();
  return entry;
}

void Mirror::put(Entry entry) {
  const WriteMarks::Coming coming(marks_, entry.collection, entry.key);
  place(std::move(entry));
}

void Mirror::place(Entry entry) {
  // What the target's journal has may be the last copy of an acknowledged write, if the target dies (C6): as a debt it would
  // have to be read from there. Its bytes stay in the journal; the entry only says where. A READ that brings no write goes where
  // the key's last one stands.
  const bool brings_none = entry.seqs.empty() && !entry.unjournaled;
  const bool only_here =
      primary_ == Side::target &&
      (entry.image || entry.journaled || (brings_none && lanes_.has_journaled(entry.collection, entry.key)));
  if (only_here || lanes_.size() < options_.entries_max) {
    lanes_.put(std::move(entry));
    return;
  }
  // H55: no memory for days of outage: only the key is owed, on disk.
  bool first = false;
  {
    std::lock_guard hold(mutex_);
    first = collapsed_collections_[entry.collection]++ == 0;
  }
  if (first) freshness_.block(entry.collection);
  std::vector<Debt> debts{{0, entry.collection, entry.key, DebtReason::collapsed, Duration::zero()}};
  debts_.add(debts);
  debts_.put_back(std::move(entry.debts));
  VMPROXY_FAULT("mirror.collapsed");
  for (const auto seq : entry.seqs) ledger_.done(seq);
}

void Mirror::finish_keyed(Ticket& ticket, journal::OutcomeRecord& outcome) {
  std::vector<std::string> changed;
  std::vector<Debt> debts;
  std::vector<size_t> entries;
  for (size_t i = 0; i < ticket.encoded.size(); ++i) {
    const auto what = outcome_at(outcome, i);
    if (what == model::Outcome::rejected) continue;
    changed.push_back(ticket.encoded[i]);
    entries.push_back(i);
    if (what == model::Outcome::uncertain && VMPROXY_RULE("uncertain.read-again")) {
      debts.push_back(
          {0, ticket.collection_key, ticket.encoded[i], DebtReason::uncertain, window_of(ticket.primary)});
      // Before end_keyed, so that an op that begins now finds either the op or its window.
      open_window(ticket.collection_key, ticket.encoded[i], ticket.op);
    }
  }
  touch(ticket.collection_key, changed);
  VMPROXY_FAULT("mirror.touched");
  if (!debts.empty()) debts_.add(debts);
  VMPROXY_FAULT("mirror.owed");
  // Before the op ends, until each key has its entry: at every moment one of the two says that it is dirty.
  const WriteMarks::Coming coming(marks_, ticket.collection_key, changed);
  const auto flight = in_flight_.end_keyed(ticket.op);
  if (ticket.seq != 0) ledger_.expect(ticket.seq, entries.size());
  std::vector<std::string> read;
  for (const size_t i : entries) {
    Entry entry = read_entry(ticket.collection_key, ticket.encoded[i]);
    const bool certain = outcome_at(outcome, i) == model::Outcome::applied;
    entry.image = certain &&
                  (ticket.cls == journal::IntentClass::image || !VMPROXY_RULE("image.whole-records")) &&
                  !flight.overlapped[i] && ticket.seq != 0;
    // Writes of a key line up after the promotion: what was journaled last may be what the target did last, whatever became of
    // those before it.
    entry.journaled =
        ticket.primary == Side::target && ticket.cls == journal::IntentClass::image && ticket.seq != 0;
    entry.unjournaled = ticket.seq == 0;
    entry.seq = ticket.seq;
    entry.item = static_cast<uint32_t>(i);
    entry.waits = flight.waits;
    if (!entry.waits.empty()) entry.image = false;
    if (!entry.image) read.push_back(entry.key);
    // What is journaled as applied is written from the journal after a restart: nothing else would say that it must be read.
    if (!entry.image && certain && ticket.primary == Side::target) {
      outcome.items.resize(ticket.encoded.size(), outcome.whole);
      outcome.items[i] = model::Outcome::uncertain;
    }
    if (ticket.seq != 0) entry.seqs.push_back(ticket.seq);
    place(std::move(entry));
  }
  suspect_reads(ticket.collection_key, read);
}

void Mirror::finish_broad(Ticket& ticket, const journal::OutcomeRecord& outcome) {
  const WriteMarks::Coming coming(marks_, ticket.collection_key);  // as in finish_keyed
  auto flight = in_flight_.end_broad(ticket.op);
  if (outcome.whole == model::Outcome::rejected) {
    if (ticket.seq != 0) ledger_.expect(ticket.seq, 0);
    lanes_.wake();
    return;
  }
  std::vector<std::string> keys;
  if (VMPROXY_RULE("predicate.enumerated")) keys = ticket.encoded;
  if (VMPROXY_RULE("broad.overlapped-read")) keys.insert(keys.end(), flight.keys.begin(), flight.keys.end());
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  touch(ticket.collection_key, keys);
  // H62: what windows are about may be executed late on a key that only this write has hit.
  in_flight_.collect(ticket.collection_key, keys);
  if (outcome.whole == model::Outcome::uncertain && VMPROXY_RULE("predicate.window")) {
    // H42: it may still run and hit keys that are written later: everything in the window is read again at its end.
    const OpId window = in_flight_.open_collection_window(ticket.collection_key, keys);
    freshness_.doubt(ticket.collection_key, ticket.op);
    ledger_.hold(ticket.enumerated_from);
    // After a kill nothing says of a key whose own window was open that it belongs to this one, once its debt is paid.
    std::vector<Debt> debts;
    for (const auto& key : flight.keys) {
      if (!VMPROXY_RULE("predicate.window-owed")) break;
      open_window(ticket.collection_key, key, ticket.op);
      debts.push_back({0, ticket.collection_key, key, DebtReason::uncertain, window_of(ticket.primary)});
    }
    if (!debts.empty()) debts_.add(debts);
    std::lock_guard hold(mutex_);
    windows_.push_back(
        {window, ticket.collection_key, clock_.in(window_of(ticket.primary)), ticket.enumerated_from, true});
  }
  // After a kill its intent stands for the keys that it names. The others have intents or debts of their own, and those
  // stand until their keys are read.
  const std::set<std::string> named(ticket.encoded.begin(),
                                    ticket.encoded.begin() + static_cast<std::ptrdiff_t>(ticket.named));
  const auto stands_for = [&](const std::string& key) {
    return ticket.seq != 0 && (named.contains(key) || !VMPROXY_RULE("broad.own-names"));
  };
  if (ticket.seq != 0)
    ledger_.expect(ticket.seq, static_cast<uint64_t>(std::count_if(keys.begin(), keys.end(), stands_for)));
  suspect_reads(ticket.collection_key, keys);
  for (auto& key : keys) {
    const bool its_own = stands_for(key);
    Entry entry = read_entry(ticket.collection_key, std::move(key));
    entry.waits = flight.waits;
    entry.unjournaled = !its_own;
    if (its_own) entry.seqs.push_back(ticket.seq);
    place(std::move(entry));
  }
  lanes_.wake();
}

}  // namespace vmproxy::proxy
