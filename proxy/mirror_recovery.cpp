// Replay after a start (correctness.md 10). The journal holds every write that is not proven to be on the replica; each
// of its keys is read again from the primary, or, after a promotion, written from the journal where that was allowed before
// the restart too: the primary may be dead. Only keys are read here, not bodies, so that serving begins at once.
#include <algorithm>
#include <cstdlib>

#include "base/fault.h"
#include "base/log.h"
#include "base/rule.h"
#include "journal/rows.h"
#include "proxy/mirror.h"

namespace vmproxy::proxy {
namespace {

// Also those that the primary made up, which only the outcome names.
std::vector<model::Key> keys_of(const journal::IntentHead& head,
                                const std::optional<journal::OutcomeRecord>& outcome) {
  std::vector<model::Key> keys = head.keys;
  if (outcome && head.cls == journal::IntentClass::read_back) {
    for (const auto& made : outcome->images) keys.push_back(made.key);
  }
  return keys;
}

}  // namespace

Result<std::map<std::string, journal::Seq>> Mirror::lives() {
  std::map<std::string, journal::Seq> began;
  auto scanned = journal_.scan_rows(
      journal::rows::state, life_rows, "", [&](std::string_view row, std::string_view seq) {
        began.emplace(row.substr(life_rows.size()), std::strtoull(std::string(seq).c_str(), nullptr, 10));
        return true;
      });
  if (!scanned) return scanned.error();
  return began;
}

Result<void> Mirror::recover(Side primary, uint64_t epoch, bool clean_start) {
  primary_ = primary;
  lanes_.begin_with(primary);
  auto debts = debts_.restore([this](const Debt& debt) {
    if (debt.reason == DebtReason::uncertain) open_window(debt.collection, debt.key, 0);
  });
  if (!debts) return debts;
  auto quarantined = quarantine_.restore();
  if (!quarantined) return quarantined;
  auto written = written_.restore();
  if (!written) return written;
  auto suspects = suspects_.restore();
  if (!suspects) return suspects;
  VMPROXY_FAULT("recover.rows");
  auto landing = journal_.row(journal::rows::state, landing_row);
  if (!landing) return landing.error();
  if (!clean_start || *landing) {
    // H57: attempts that were on the wire when the process died must have landed or died first. A clean stop of a run that was
    // still waiting for that does not end it.
    not_before_ = clock_.in(transfer_.driver(other(primary)).capabilities().max_zombie);
    landing_noted_ = true;
    journal_.put_rows({{std::string(journal::rows::state), std::string(landing_row), ""}});
  }
  if (auto again = owe_unread(); !again) return again;
  const auto lives = this->lives();
  if (!lives) return lives.error();
  uint64_t intents = 0;
  // Collections with a predicate whose outcome is unknown -> keys that it may still hit.
  std::map<std::string, std::vector<std::string>> endangered;
  std::map<std::string, journal::Seq> endangered_from;
  const journal::Seq first = journal_.stats().trimmed_below;
  // Until whoever asked for this has unresolved_ddl(): a second crash meanwhile must find those intents, too (H60).
  const Ledger::Hold whole(ledger_, first);
  auto looked = journal_.scan(
      first, [&](const journal::IntentHead& head, const std::optional<journal::OutcomeRecord>& outcome) {
        const bool uncertain = !outcome || outcome->whole == model::Outcome::uncertain;
        // Of the former primary too: its window was carried over the change, and its late effect there is repaired as any other.
        if (head.cls == journal::IntentClass::predicate && uncertain &&
            VMPROXY_RULE("predicate.window-after-crash")) {
          const std::string name = model::to_string(head.collection);
          const auto at = endangered_from.emplace(name, head.seq).first;
          at->second = std::min(at->second,
                                VMPROXY_RULE("predicate.from-enumeration") ? head.enumerated_from : head.seq);
          endangered[name];
        }
        return true;
      });
  if (!looked) return looked;
  // Before the ledger lets go of any of them below: another crash within the window needs them again.
  for (const auto& [name, from] : endangered_from) ledger_.hold(from);
  auto scanned = journal_.scan(
      first, [&](const journal::IntentHead& head, const std::optional<journal::OutcomeRecord>& outcome) {
        ++intents;
        ledger_.open(head.seq);
        const std::string name = model::to_string(head.collection);
        const auto at = endangered_from.find(name);
        const bool in_danger = at != endangered_from.end() && head.seq >= at->second;
        if (in_danger) {
          for (const auto& key : keys_of(head, outcome)) endangered[name].push_back(model::encode(key));
        }
        if (head.primary != primary && VMPROXY_RULE("flip.old-epoch")) {
          ledger_.expect(head.seq, 0);  // of an epoch that ended with everything applied or carried as a debt
          return true;
        }
        const auto life = lives->find(name);
        const bool of_this_life = life == lives->end() || head.seq >= life->second;
        recover_intent(head, outcome,
                       primary == Side::target && (head.epoch == epoch || !VMPROXY_RULE("flip.old-epoch")) &&
                           of_this_life && !in_danger);
        VMPROXY_FAULT("recover.intent");
        return true;
      });
  if (!scanned) return scanned;
  for (auto& [name, keys] : endangered) {
    const OpId window = in_flight_.open_collection_window(name, std::move(keys));
    freshness_.doubt(name, 0);
    std::lock_guard hold(mutex_);
    const Duration longest = std::max(window_of(Side::source), window_of(Side::target));
    windows_.push_back({window, name, clock_.in(longest), endangered_from[name], true});
  }
  // What passed while nothing could be recorded has no intent: how long it may still be executed only its gap tells.
  if (journal_.has_gaps()) {
    const Duration longest = std::max(window_of(Side::source), window_of(Side::target));
    gaps_act_until_ = std::max(gaps_act_until_.load(), clock_.in(longest));
  }
  VMPROXY_FAULT("recover.done");
  if (intents > 0 || !clean_start) {
    log::info("journal replayed",
              {{"intents", intents}, {"debts", debts_.count()}, {"clean_start", clean_start}});
  }
  return {};
}

// Given up for a change of the primary that the crash cut short, or set aside because it could not be read: it is asked for again,
// so that nobody has to clear a quarantine for what comes by itself. What only the former primary has stays (H46).
Result<void> Mirror::owe_unread() {
  std::vector<Debt> debts;
  std::vector<uint64_t> numbers;
  auto scanned = quarantine_.each([&](const Quarantined& item) {
    if (!item.unread || item.primary != primary_) return true;
    debts.push_back({0, item.collection, item.key, DebtReason::retry, Duration::zero()});
    numbers.push_back(item.number);
    return true;
  });
  if (!scanned) return scanned;
  debts_.add(debts);  // before the rows of the quarantine go: one of the two is always on the disk
  quarantine_.remove(numbers);
  return {};
}

void Mirror::recover_intent(const journal::IntentHead& head,
                            const std::optional<journal::OutcomeRecord>& outcome, bool may_be_images) {
  const std::string name = model::to_string(head.collection);
  // Also of a collection that is not included: it may have got the name of one that is, or lost it to that.
  if (head.cls == journal::IntentClass::ddl && !outcome) unresolved_ddl_.push_back(name);
  // Keys that the primary made up are named by the outcome only.
  const bool nameless = head.cls == journal::IntentClass::opaque || head.makes_keys ||
                        (head.cls == journal::IntentClass::read_back && head.keys.empty());
  if (nameless && (!outcome || outcome->whole == model::Outcome::uncertain))
    gaps_act_until_ = std::max(gaps_act_until_.load(), clock_.in(window_of(head.primary)));
  if (nameless && !outcome) {
    journal_.record_gap("operation '" + head.operation + "' was under way when the process ended");
  }
  std::vector<std::string> changed;
  std::vector<Entry> entries;
  std::vector<Debt> debts;
  const std::vector<model::Key> keys = keys_of(head, outcome);
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto what = !outcome ? model::Outcome::uncertain
                               : (i < outcome->items.size() ? outcome->items[i] : outcome->whole);
    if (what == model::Outcome::rejected) continue;
    changed.push_back(model::encode(keys[i]));
    Entry entry = read_entry(name, changed.back());
    // Applied says that nothing overlapped it: see finish_keyed(). A window that is open again may be that of a later write.
    entry.image = may_be_images && head.cls == journal::IntentClass::image &&
                  what == model::Outcome::applied && !in_flight_.busy(name, entry.key);
    // The order of such writes of a key is that of the journal, and who was told that one was refused was told so after that
    // had become durable.
    entry.journaled = may_be_images && head.cls == journal::IntentClass::image;
    entry.seq = head.seq;
    entry.item = static_cast<uint32_t>(i);
    entry.seqs.push_back(head.seq);
    entries.push_back(std::move(entry));
    // With an outcome the debt row is there already: it was put before the outcome was.
    if (!outcome && VMPROXY_RULE("crash.uncertain")) {
      debts.push_back({0, name, changed.back(), DebtReason::uncertain, window_of(head.primary)});
      open_window(name, changed.back(), 0);
    }
  }
  touch(name, changed);
  if (!debts.empty()) debts_.add(debts);
  // A DDL stays open until somebody asked what exists.
  if (!outcome && head.cls != journal::IntentClass::ddl) {
    journal::OutcomeRecord uncertain;
    uncertain.whole = model::Outcome::uncertain;
    journal_.outcome(head.seq, std::move(uncertain));
  }
  ledger_.expect(head.seq, changed.size());
  for (auto& entry : entries) {
    if (VMPROXY_RULE("crash.replay")) put(std::move(entry));
  }
}

}  // namespace vmproxy::proxy
