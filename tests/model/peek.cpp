#include "tests/model/peek.h"

#include <algorithm>

#include "journal/rows.h"
#include "tests/model/database.h"
#include "tests/model/times.h"

namespace vmproxy::proxy {

using journal::Seq;

bool Peek::lane_step(Mirror& mirror) {
  auto& lanes = mirror.lanes_;
  return lanes.step(*lanes.lanes_.front());
}

bool Peek::lane_may_step(Mirror& mirror) {
  auto& lanes = mirror.lanes_;
  return !lanes.stopping_ && (lanes.size() > 0 || !lanes.lanes_.front()->copies.empty());
}

void Peek::chores(Mirror& mirror) {
  mirror.pay_due();
  mirror.close_windows(false);
}

bool Peek::chores_wait(Mirror& mirror) {
  const TimePoint now = mirror.clock_.now();
  if (const auto due = mirror.debts_.next_due(); due && *due <= now) return true;
  return std::any_of(mirror.windows_.begin(), mirror.windows_.end(),
                     [&](const auto& window) { return window.closes <= now; });
}

TimePoint Peek::retry_at(Mirror& mirror) {
  TimePoint at{};
  for (const auto* health : {&mirror.lanes_.health_, &mirror.lanes_.primary_health_}) {
    if (!health->problem().empty()) at = std::max(at, health->retry_at());
  }
  return at;
}

bool Peek::time_matters(Mirror& mirror) {
  const TimePoint now = mirror.clock_.now();
  if (mirror.not_before_.load() > now) return true;
  if (const auto due = mirror.debts_.next_due(); due && *due > now) return true;
  return std::any_of(mirror.windows_.begin(), mirror.windows_.end(), [&](const auto& window) {
    return window.closes > now && window.closes != TimePoint::max();
  });
}

void Peek::forget_debts(Mirror& mirror, const std::string& collection, const std::string& key) {
  std::vector<Debt> gone;
  {
    std::lock_guard hold(mirror.debts_.mutex_);
    auto& waiting = mirror.debts_.waiting_;
    for (auto at = waiting.begin(); at != waiting.end();) {
      if (at->second.collection == collection && at->second.key == key) {
        mirror.debts_.handed_out_.emplace(at->second.id, at->first);
        gone.push_back(std::move(at->second));
        at = waiting.erase(at);
      } else {
        ++at;
      }
    }
  }
  for (const auto& debt : gone) {
    if (debt.reason != DebtReason::uncertain) continue;
    mirror.in_flight_.close_window(collection, key);
    mirror.freshness_.settled(collection);
  }
  mirror.debts_.paid(gone);
}

void Peek::forget_entry(Mirror& mirror, const std::string& collection, const std::string& key) {
  for (auto& lane : mirror.lanes_.lanes_) {
    for (auto& entry :
         lane->queue.remove([&](const Entry& e) { return e.collection == collection && e.key == key; })) {
      mirror.debts_.paid(entry.debts);
      for (const auto seq : entry.seqs) mirror.ledger_.done(seq);
    }
  }
}

void Peek::forget_windows(Mirror& mirror) {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const auto& [due, debt] : mirror.debts_.waiting_) keys.emplace_back(debt.collection, debt.key);
  for (const auto& [collection, key] : keys) forget_debts(mirror, collection, key);
}

void Peek::bring_forward(Mirror& mirror, const std::string& key, TimePoint due) {
  std::lock_guard hold(mirror.debts_.mutex_);
  auto& waiting = mirror.debts_.waiting_;
  for (auto at = waiting.begin(); at != waiting.end(); ++at) {
    if (at->second.key != key || at->second.reason != DebtReason::uncertain || at->first <= due) continue;
    auto node = waiting.extract(at);
    node.key() = due;
    waiting.insert(std::move(node));
    return;
  }
}

// In half windows: due, soon, later.
long long Peek::ticks_until(TimePoint time, TimePoint now) {
  if (time == TimePoint::max()) return 99;
  if (time <= now) return 0;
  return (time - now + model_check::tick / 2) / model_check::tick;
}

namespace {

void number(std::string& out, long long value) {
  out += std::to_string(value);
  out += ' ';
}

class Ranks {
 public:
  void add(uint64_t value) { values_.push_back(value); }
  void close() {
    std::sort(values_.begin(), values_.end());
    values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
  }
  long long of(uint64_t value) const {
    const auto at = std::lower_bound(values_.begin(), values_.end(), value);
    return at == values_.end() || *at != value ? -1 : at - values_.begin();
  }
  long long below(uint64_t value) const {  // how many are
    return std::lower_bound(values_.begin(), values_.end(), value) - values_.begin();
  }

 private:
  std::vector<uint64_t> values_;
};

int key_number(const std::string& encoded) {
  const auto key = model::decode_key(encoded);
  return key ? model_check::number_of(*key) : 9;
}
int key_of_owner(const std::string& name) {  // collection NUL key
  return key_number(name.substr(name.find('\0') + 1));
}

// Of a row whose key ends with a debt's number: what it says without that.
void dump_row(std::string& out, const std::string& table, const std::string& key, const std::string* value) {
  if (table == journal::rows::written || table == journal::rows::state) return;
  if (table == journal::rows::quarantine) {
    out += value == nullptr ? "q-" : "q+";  // its key is a number, and the time is in it
    return;
  }
  out += table;
  out += table == journal::rows::debts && key.size() > 8 ? key.substr(0, key.size() - 8) : key;
  out += value == nullptr ? "-" : "=" + *value;
  out += ';';
}

void dump_intent(std::string& out, const journal::IntentHead& head, const journal::IntentBody& body,
                 const Ranks& seqs) {
  number(out, seqs.of(head.seq));
  number(out, static_cast<int>(head.cls) * 2 + static_cast<int>(head.primary));
  for (const auto& key : head.keys) number(out, model_check::number_of(key));
  number(out, head.enumerated_from == 0 ? -1 : seqs.below(head.enumerated_from));
  number(out, static_cast<long long>(head.epoch));
  out += body.body;
}

void dump_outcome(std::string& out, Seq seq, const journal::OutcomeRecord& outcome, const Ranks& seqs) {
  number(out, seqs.of(seq));
  number(out, static_cast<int>(outcome.whole));
  for (const auto item : outcome.items) number(out, static_cast<int>(item));
}

void dump_state(std::string& out, const model_check::InlineJournal::State& state, const Ranks& seqs) {
  for (const auto& [seq, intent] : state.intents) dump_intent(out, intent.head, intent.body, seqs);
  out += "o";
  for (const auto& [seq, outcome] : state.outcomes) dump_outcome(out, seq, outcome, seqs);
  out += "r";
  std::vector<std::string> rows;
  for (const auto& [name, value] : state.rows) {
    rows.emplace_back();
    dump_row(rows.back(), name.first, name.second, &value);
  }
  std::sort(rows.begin(), rows.end());
  for (const auto& row : rows) out += row;
}

}  // namespace

void Peek::dump(Mirror& mirror, const model_check::InlineJournal& journal, bool may_crash, TimePoint now,
                std::string& out) {
  auto& flight = mirror.in_flight_;
  auto& debts = mirror.debts_;
  auto& ledger = mirror.ledger_;
  auto& lanes = mirror.lanes_;
  Ranks seqs, ops;
  for (const auto& [seq, intent] : journal.now().intents) seqs.add(seq);
  for (const auto& [seq, intent] : journal.disk().intents) seqs.add(seq);
  seqs.close();
  for (const auto& [id, op] : flight.ops_) ops.add(id);
  ops.close();
  // The in-flight table.
  out += "\nF";
  std::map<OpId, const InFlight::Op*> sorted;
  for (const auto& [id, op] : flight.ops_) sorted[id] = &op;
  for (const auto& [id, op] : sorted) {
    number(out, op->broad * 2 + op->window);
    for (const auto& key : op->keys) number(out, key_number(key));
    for (const bool overlapped : op->overlapped) number(out, overlapped);
    for (const OpId wait : op->waits) {
      if (ops.of(wait) >= 0) number(out, ops.of(wait));
    }
    std::vector<std::string> reread(op->reread.begin(), op->reread.end());
    std::sort(reread.begin(), reread.end());
    for (const auto& key : reread) number(out, key_number(key) + 10);
    if (may_crash && !op->broad) number(out, seqs.below(op->from) + 100);
    out += '|';
  }
  for (const auto& [name, collection] : flight.collections_) {
    std::map<int, int> windows;
    for (const auto& [key, count] : collection.windows) windows[key_number(key)] = count;
    for (const auto& [key, count] : windows) {
      number(out, key);
      number(out, count);
    }
  }
  // Windows of collections, debts.
  out += "\nW";
  for (const auto& window : mirror.windows_) {
    number(out, ops.of(window.window));
    number(out, ticks_until(window.closes, now));
    number(out, may_crash && window.held != 0 ? seqs.below(window.held) : -1);
  }
  number(out, ticks_until(mirror.not_before_, now));
  out += "\nD";
  std::vector<std::string> owed;
  for (const auto& [due, debt] : debts.waiting_) {
    std::string one;
    number(one, key_number(debt.key));
    number(one, static_cast<int>(debt.reason));
    number(one, ticks_until(due, now));
    owed.push_back(std::move(one));
  }
  std::sort(owed.begin(), owed.end());
  for (const auto& one : owed) out += one;
  number(out, static_cast<long long>(debts.handed_out_.size()));
  // Lanes.
  const auto write = [&](Seq seq, uint32_t item) {
    const auto at = journal.now().intents.find(seq);
    if (at != journal.now().intents.end()) out += at->second.body.body;
    number(out, item);
  };
  out += "\nL";
  number(out, lanes.stopping_ * 4 + (lanes.health_.problem().empty() ? 0 : 2) +
                  (lanes.primary_health_.problem().empty() ? 0 : 1));
  number(out, static_cast<int>(lanes.primary_.load()));
  for (const auto& [name, count] : lanes.paused_) number(out, count);
  for (auto& lane : lanes.lanes_) {
    auto& queue = lane->queue;
    for (const auto& [position, queued] : queue.order_) {
      const Entry& entry = queued->entry;
      number(out, key_number(entry.key));
      number(out, entry.image + 2 * entry.journaled);
      if (entry.image || entry.journaled) {
        write(entry.seq, entry.item);
        number(out, entry.seq >= lanes.life_of(entry.collection));
      }
      std::set<long long> waits;
      for (const OpId wait : entry.waits) waits.insert(ops.of(wait));
      for (const auto wait : waits) {
        if (wait >= 0) number(out, wait + 20);
      }
      std::vector<long long> reasons;
      for (const auto& debt : entry.debts) reasons.push_back(static_cast<int>(debt.reason) + 40);
      std::sort(reasons.begin(), reasons.end());
      for (const auto reason : reasons) number(out, reason);
      if (may_crash) {
        for (const Seq seq : entry.seqs) number(out, seqs.of(seq) + 60);
      }
      out += entry.seqs.empty() ? "." : ":";  // decides what a newer entry takes over
    }
    std::map<int, const LaneQueue::Applying*> applying;
    for (const auto& [name, one] : queue.applying_) applying[key_of_owner(name)] = &one;
    for (const auto& [key, one] : applying) {
      number(out, key + 80);
      number(out, one->entries * 2 + one->image);
      if (one->last) write(one->last->seq, one->last->item);
    }
    std::map<int, const LaneQueue::Kept*> kept;
    for (const auto& [name, one] : queue.kept_) kept[key_of_owner(name)] = &one;
    for (const auto& [key, one] : kept) {
      number(out, key + 90);
      write(one->last.seq, one->last.item);
    }
    for (const auto& part : lane->copies) {
      out += 'c';
      for (const auto& row : part.rows) {
        number(out, model_check::number_of(row.key));
        number(out, model_check::value_of(row));
      }
    }
  }
  // What a crash would find.
  out += "\nT";
  for (const auto& [name, value] : journal.now().rows) {
    if (name.first == journal::rows::touched || name.first == journal::rows::suspects ||
        name.first == journal::rows::quarantine)
      dump_row(out, name.first, name.second, &value);
  }
  if (!may_crash) return;
  out += "\nJ";
  for (const auto& [seq, expected] : ledger.open_) {
    number(out, seqs.of(seq));
    number(out, expected == UINT64_MAX ? -1 : static_cast<long long>(expected));
  }
  out += 'h';
  for (const auto& [seq, count] : ledger.held_) {
    number(out, seqs.below(seq));
    number(out, count);
  }
  dump_state(out, journal.disk(), seqs);
  for (const auto& put : journal.waiting()) {
    out += "\n+";
    number(out, static_cast<int>(put.kind));
    using Kind = model_check::InlineJournal::Put::Kind;
    if (put.kind == Kind::intent) dump_intent(out, put.intent.head, put.intent.body, seqs);
    if (put.kind == Kind::outcome) dump_outcome(out, put.seq, put.outcome, seqs);
    if (put.kind == Kind::trim) number(out, seqs.below(put.seq));
    for (const auto& row : put.rows) dump_row(out, row.table, row.key, row.value ? &*row.value : nullptr);
  }
}

}  // namespace vmproxy::proxy
