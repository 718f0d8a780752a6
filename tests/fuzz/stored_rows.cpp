// Rows that a migration keeps of its work: how far a copy and a comparison came, debts, quarantine, what was asked for. The first
// byte of an input says which, the rest is the row's value. What is read of a row, written, is read as the same.
#include "backfill/checkpoints.h"
#include "base/log.h"
#include "cutover/audit.h"
#include "cutover/validation_request.h"
#include "hurried_clock.h"
#include "journal/rows.h"
#include "model/codec.h"
#include "proxy/debts.h"
#include "proxy/quarantine.h"
#include "table_journal.h"
#include "tests/fuzz/target.h"
#include "validation/pass_rows.h"

using namespace vmproxy;
using fuzz::must;
using fuzz::TableJournal;
using journal::Side;

namespace {

const model::CollectionName things{"space", "things"};

bool same(const backfill::RangeRow& a, const backfill::RangeRow& b) {
  return a.cursor == b.cursor && a.done == b.done && a.counts.records == b.counts.records &&
         a.counts.dropped == b.counts.dropped && a.counts.quarantined == b.counts.quarantined &&
         a.counts.duplicates == b.counts.duplicates;
}

bool same(const validation::Counts& a, const validation::Counts& b) {
  return a.compared == b.compared && a.looked_up == b.looked_up && a.different == b.different &&
         a.missing == b.missing && a.extra == b.extra && a.repaired == b.repaired &&
         a.unsettled == b.unsettled;
}

// Nothing: the row was refused, and is called what it is.
template <class T>
const T* read(const Result<T>& result) {
  if (result) return &*result;
  must(result.error().code == Code::corrupt || result.error().code == Code::unsupported,
       "damage is called so");
  must(!result.error().message.empty(), "and it is said where");
  return nullptr;
}

// Where copy and comparison write their rows is theirs: the key under which a first run keeps one is where the input goes.
template <class Put>
std::string key_of(std::string_view table, Put put) {
  TableJournal journal;
  put(journal);
  std::string last;
  (void)journal.scan_rows(table, "", "", [&](std::string_view key, std::string_view) {
    last = key;
    return true;
  });
  return last;
}

void copy_plan(const std::string& value) {
  TableJournal journal;
  const backfill::Checkpoints checkpoints(journal, 7);
  static const std::string key = key_of(journal::rows::checkpoints, [](TableJournal& first) {
    (void)backfill::Checkpoints(first, 7).commit_plan(things, {}, {});
  });
  journal.put(journal::rows::checkpoints, key, value);
  const auto plan = checkpoints.plan(things);
  if (read(plan) == nullptr) return;
  must(plan->has_value() && checkpoints.commit_plan(things, **plan, {}).has_value(), "a plan is kept");
  const auto again = checkpoints.plan(things);
  must(again && *again && (*again)->mapping_hash == (*plan)->mapping_hash &&
           (*again)->incarnation == (*plan)->incarnation && (*again)->total == (*plan)->total &&
           (*again)->ranges == (*plan)->ranges,
       "and comes back");
}

void copy_progress(const std::string& value) {
  TableJournal journal;
  const backfill::Checkpoints checkpoints(journal, 7);
  static const std::string key = key_of(journal::rows::checkpoints, [](TableJournal& first) {
    (void)backfill::Checkpoints(first, 7).commit(things, 3, {});
  });
  journal.put(journal::rows::checkpoints, key, value);
  const auto row = checkpoints.progress(things, 3);
  if (read(row) == nullptr) return;
  must(checkpoints.commit(things, 3, *row).has_value() && same(checkpoints.progress(things, 3).value(), *row),
       "how far a copy came comes back");
}

void comparison(const std::string& value) {
  TableJournal journal;
  const validation::PassRows rows(journal);
  const validation::RangeName name{"things", Side::target, 3};
  static const std::string key = key_of(journal::rows::validation, [&](TableJournal& first) {
    (void)validation::PassRows(first).commit(name, {});
  });
  journal.put(journal::rows::validation, key, value);
  const auto row = rows.progress(name);
  if (read(row) == nullptr) return;
  must(rows.commit(name, *row).has_value(), "how far a comparison came is kept");
  const auto again = rows.progress(name).value();
  must(again.cursor == row->cursor && again.done == row->done && same(again.counts, row->counts),
       "and comes back");
}

void finding(const std::string& value) {
  TableJournal journal;
  const validation::PassRows rows(journal);
  journal.put(journal::rows::validation, "f" + std::string(7, '\0') + "\5", value);
  must(rows.next_finding().value() == 6, "the next finding has the next number");
  const auto found = rows.findings(10);
  if (read(found) == nullptr) return;
  must(found->size() == 1, "one finding");
  rows.put({"things", Side::source, 0}, {}, 6, *found);
  const auto both = rows.findings(10).value();
  must(both.size() == 2 && both[0].collection == both[1].collection && both[0].key == both[1].key &&
           both[0].kind == both[1].kind && both[0].detail == both[1].detail,
       "a finding comes back");
}

void debt(const std::string& value) {
  fuzz::HurriedClock clock;
  const std::string key = std::string("things\0one", 10) + std::string(7, '\0') + "\5";
  std::vector<proxy::Debt> found;
  const auto restore = [&](TableJournal& journal) {
    found.clear();
    proxy::Debts debts(journal, clock, 10);
    auto restored = debts.restore([&](const proxy::Debt& debt) { found.push_back(debt); });
    if (restored) {
      must(debts.count() == 1 && found.size() == 1 && debts.owed("things", "one").value(), "a debt is owed");
      must(debts.last_due(found[0].reason).value() >= clock.now(), "and falls due once its window is over");
    }
    return restored;
  };
  TableJournal journal;
  journal.put(journal::rows::debts, key, value);
  const auto restored = restore(journal);
  if (!restored) {
    must(restored.error().code == Code::corrupt || restored.error().code == Code::unsupported,
         "damage is called so");
    return;
  }
  const proxy::Debt first = found[0];
  TableJournal other;
  std::vector<proxy::Debt> again{first};
  proxy::Debts(other, clock, 10).add(again);
  must(restore(other).has_value() && found[0].reason == first.reason && found[0].window == first.window &&
           found[0].collection == first.collection && found[0].key == first.key,
       "a debt comes back");
}

void quarantined(const std::string& value) {
  fuzz::HurriedClock clock;
  TableJournal journal;
  journal.put(journal::rows::quarantine, "00000000000000000005", value);
  proxy::Quarantine quarantine(journal, clock);
  const auto restored = quarantine.restore();
  if (!restored) {
    must(restored.error().code == Code::corrupt || restored.error().code == Code::unsupported,
         "damage is called so");
    must(!quarantine.find(5).value().has_value(), "what is refused at the start is shown to nobody");
    return;
  }
  const auto item = quarantine.find(5).value().value();
  must(cutover::rfc3339(WallTime(std::chrono::milliseconds(item.since_unix_ms))).size() == 24,
       "a time that can be shown");
  must(!item.unread || !item.record, "what could not be read has no record");
  must(quarantine.count() == 1 && quarantine.holds(item.collection, item.key) &&
           quarantine.number_of(item.collection, item.key, item.primary) == 5,
       "a key in quarantine is known to be there");
  const bool first = item.unread
                         ? quarantine.add_unread(item.collection, item.key, item.reason, item.primary)
                         : quarantine.add(item.collection, item.key, item.reason, item.record, item.primary);
  must(!first && quarantine.count() == 1, "a refusal takes the place of the one before");
  const auto again = quarantine.find(6).value().value();
  must(again.collection == item.collection && again.key == item.key && again.reason == item.reason &&
           again.unread == item.unread && again.primary == item.primary &&
           again.record.has_value() == item.record.has_value(),
       "and comes back");
  must(!item.record || model::encode_record(*again.record) == model::encode_record(*item.record),
       "with its record");
  quarantine.remove({6});
  must(quarantine.count() == 0 && !quarantine.holds(item.collection), "and goes");
}

void asked_for(const std::string& value) {
  fuzz::RowJournal journal{value};
  const auto request = cutover::load_validation_request(journal);
  if (read(request) == nullptr) return;
  const auto& options = request->options;
  must(options.sample_percent > 0 && options.sample_percent <= 100, "a percentage");
  must(journal.commit_rows({cutover::row_of(*request)}).has_value(), "a request is kept");
  const auto again = cutover::load_validation_request(journal).value();
  must(again.number == request->number && again.open == request->open && again.options.full == options.full &&
           again.options.repair == options.repair && again.options.sample_percent == options.sample_percent,
       "and comes back");
}

void noted(const std::string& value) {
  fuzz::HurriedClock clock;
  TableJournal journal;
  journal.put(journal::rows::audit, "00000000000000000005", value);
  cutover::Audit audit(journal, clock, 2);
  const size_t before = audit.list().value().size();
  for (int i = 0; i < 3; ++i) audit.note({"who", "why", {}}, "action", "result");
  const auto after = audit.list().value();
  must(before <= 1 && after.size() == 2 && after[1] == after[0],
       "what is noted is shown, and no more than is kept");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  log::configure("none", "text");  // an audit says each note
  const std::string value(fuzz::text_of(data, size).substr(1));
  switch (data[0]) {
    case 'p': copy_plan(value); break;
    case 'r': copy_progress(value); break;
    case 'c': comparison(value); break;
    case 'f': finding(value); break;
    case 'd': debt(value); break;
    case 'q': quarantined(value); break;
    case 'v': asked_for(value); break;
    default: noted(value);
  }
  return 0;
}
