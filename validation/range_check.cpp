#include "validation/range_check.h"

#include <algorithm>
#include <functional>
#include <set>

#include "base/fault.h"
#include "base/log.h"

namespace vmproxy::validation {
namespace {

Error stopped() {
  return {Code::cancelled, "the validation was stopped"};
}

std::string shown(const model::Key& key) {
  const std::string id = model::to_string(key.id).substr(0, 200);
  return key.partition.empty() ? id : key.partition + "/" + id;
}

// Below this share the keys are scanned alone and the sampled records read by key.
constexpr double whole_scan_percent = 50;

}  // namespace

RangeCheck::RangeCheck(Shared shared, const Comparison& comparison, RangeName name, size_t worker)
    : at_(shared),
      comparison_(comparison),
      name_(std::move(name)),
      who_("worker " + std::to_string(worker)),
      backoff_(shared.parts.random) {}

Result<void> RangeCheck::run() {
  auto row = at_.rows.progress(name_);
  if (!row) return row.error();
  if (row->done) return {};
  auto range = at_.rows.range(name_);
  if (!range) return range.error();
  row_ = std::move(*row);
  range_ = std::move(*range);
  cursor_ = row_.cursor;
  auto checked = check();
  at_.parts.waiting(who_, "");
  return checked;
}

Result<void> RangeCheck::check() {
  while (true) {
    if (auto looked = look_again(); !looked) return looked;
    if (auto settled = settle(); !settled) return settled;
    if (at_.parts.stopping()) return stopped();
    if (scanned_ && pages_.empty()) return finish();
    const bool room = suspects() < suspects_max && pages_.size() < pages_max;
    const TimePoint now = at_.parts.clock.now();
    if (!scanned_ && room && now >= at_.rate.ready()) {
      if (auto done = scan(); !done) return done;
      continue;
    }
    TimePoint until = next_due();
    if (!scanned_ && room) until = std::min(until, at_.rate.ready());
    at_.parts.wait_until(std::min(until, now + std::chrono::seconds(1)));
  }
}

Result<void> RangeCheck::scan() {
  const bool source = name_.scanned == Side::source;
  const bool whole = source && at_.options.sample_percent >= whole_scan_percent;
  const protocols::ReadParts parts{whole, whole};
  const auto& schema = source ? comparison_.plan().source() : comparison_.plan().target();
  auto found = at_.parts.driver(name_.scanned)
                   .scan(schema, range_, cursor_, std::max<size_t>(at_.options.batch, 1), parts, deadline());
  if (VMPROXY_FAULT_HIT("check.scanned").drops) found = Error(Code::connection_lost, "the answer was lost");
  if (!found) return tolerate(found.error());
  if (found->records.empty() && !found->done && found->cursor == cursor_) {
    return Error(Code::internal,
                 "the scan of the " + std::string(source ? "source" : "target") + " does not move on");
  }
  at_.rate.spent(static_cast<double>(found->records.size() + found->unread.size()));
  Page page;
  page.cursor = found->cursor;
  page.last = found->done;
  const auto left_out = [&](const auto& one) {
    if (source) return !sampled(one.key);
    auto key = comparison_.plan().key_to_source(one.key);
    return !sampled(key ? *key : one.key);
  };
  std::erase_if(found->records, left_out);
  std::erase_if(found->unread, left_out);
  (source ? page.counts.compared : page.counts.looked_up) = found->records.size() + found->unread.size();
  if (auto looked = first_look(page, std::move(*found)); !looked) return tolerate(looked.error());
  goes_on();
  cursor_ = page.cursor;
  scanned_ = page.last;
  pages_.push_back(std::move(page));
  return {};
}

Result<void> RangeCheck::first_look(Page& page, protocols::ScanPage found) {
  std::vector<model::Key> keys;
  keys.reserve(found.records.size() + found.unread.size());
  for (const auto& record : found.records) keys.push_back(record.key);
  for (const auto& one : found.unread) keys.push_back(one.key);
  if (keys.empty()) return {};
  return name_.scanned == Side::source ? first_look_at_source(page, keys, std::move(found))
                                       : first_look_at_target(page, keys);
}

Result<void> RangeCheck::first_look_at_source(Page& page, const std::vector<model::Key>& keys,
                                              protocols::ScanPage found) {
  const bool whole = at_.options.sample_percent >= whole_scan_percent;
  std::map<model::Key, Look> looks;
  if (whole) {
    auto targets = comparison_.read(Side::target, keys, {}, deadline());
    if (!targets) return targets.error();
    const auto seen = [&](const model::Key& key, Found at_source) {
      Look look;
      look.source = std::move(at_source);
      if (const auto target = targets->find(key); target != targets->end()) look.target = target->second;
      looks.insert_or_assign(key, std::move(look));
    };
    for (auto& record : found.records) {
      const auto key = record.key;
      seen(key, {std::move(record), {}});
    }
    for (auto& one : found.unread) seen(one.key, {std::nullopt, std::move(one.error.message)});
  } else {
    auto both = comparison_.look(keys, at_.primary, deadline());
    if (!both) return both.error();
    looks = std::move(*both);
  }
  for (auto& [key, look] : looks) {
    if (!comparison_.judge(look, at_.primary)) continue;
    suspect(page, key, std::nullopt, std::move(look), dirty(key));
  }
  return {};
}

Result<void> RangeCheck::first_look_at_target(Page& page, const std::vector<model::Key>& keys) {
  std::vector<model::Key> ours;  // as the source has them
  for (const auto& key : keys) {
    if (auto here = comparison_.plan().key_to_source(key)) {
      ours.push_back(std::move(*here));
    } else {
      suspect(page, key, key, {}, false);
    }
  }
  auto sources = comparison_.read(Side::source, ours, {false, false}, deadline());
  if (!sources) return sources.error();
  for (const auto& key : ours) {
    if (!sources->contains(key))
      suspect(page, key, std::nullopt, {}, true);  // seen in part only: looked at twice more
  }
  return {};
}

void RangeCheck::suspect(Page& page, model::Key key, std::optional<model::Key> foreign, Look look,
                         bool owed) {
  Suspect suspect;
  suspect.key = std::move(key);
  suspect.foreign = std::move(foreign);
  suspect.last = std::move(look);
  suspect.seen = !owed;
  suspect.due = at_.parts.clock.in(at_.options.recheck_wait);
  page.suspects.push_back(std::move(suspect));
}

Result<void> RangeCheck::look_again() {
  const TimePoint now = at_.parts.clock.now();
  for (auto& page : pages_) {
    auto looked = look_again(page, now);
    if (looked) looked = look_at_foreign(page, now);
    if (!looked) return tolerate(looked.error());
  }
  return {};
}

Result<void> RangeCheck::look_again(Page& page, TimePoint now) {
  std::vector<model::Key> keys;
  std::vector<bool> owed;
  for (const auto& suspect : page.suspects) {
    if (suspect.foreign || suspect.due > now) continue;
    keys.push_back(suspect.key);
    owed.push_back(dirty(suspect.key));
  }
  if (keys.empty()) return {};
  auto looks = comparison_.look(keys, at_.primary, deadline());
  if (!looks) return looks.error();
  size_t i = 0;
  std::vector<Suspect> open;
  for (auto& suspect : page.suspects) {
    if (suspect.foreign || suspect.due > now) {
      open.push_back(std::move(suspect));
      continue;
    }
    Look& look = (*looks)[suspect.key];
    auto mismatch = comparison_.judge(look, at_.primary);
    // The other direction's scan counts these.
    if (look.source.absent() != (name_.scanned == Side::target)) mismatch.reset();
    const bool is_owed = owed[i++] || dirty(suspect.key);
    const Verdict verdict = take_in(suspect, std::move(look), is_owed, mismatch.has_value());
    decide(page, suspect, verdict, mismatch);
    if (verdict == Verdict::open) open.push_back(std::move(suspect));
  }
  page.suspects = std::move(open);
  goes_on();
  return {};
}

// Keys of the target that no key of the source can become: the source cannot have them.
Result<void> RangeCheck::look_at_foreign(Page& page, TimePoint now) {
  std::vector<model::Key> keys;
  for (const auto& suspect : page.suspects) {
    if (suspect.foreign && suspect.due <= now) keys.push_back(*suspect.foreign);
  }
  if (keys.empty()) return {};
  auto found = at_.parts.target.read_each(comparison_.plan().target(), keys, {false, false}, deadline());
  if (!found) return found.error();
  std::set<model::Key> there;
  for (const auto& record : found->records) there.insert(record.key);
  for (const auto& refusal : found->refused) there.insert(keys[refusal.index]);
  const bool extra = at_.primary == Side::source;
  const Mismatch mismatch{extra ? Mismatch::Kind::extra : Mismatch::Kind::missing,
                          std::string("on the target only; no id of the source becomes this one") +
                              (extra ? "" : ", so no repair can reach it")};
  std::erase_if(page.suspects, [&](Suspect& suspect) {
    if (!suspect.foreign || suspect.due > now) return false;
    decide(page, suspect, there.contains(*suspect.foreign) ? Verdict::mismatch : Verdict::equal, mismatch);
    return true;
  });
  return {};
}

void RangeCheck::decide(Page& page, Suspect& suspect, Verdict verdict,
                        const std::optional<Mismatch>& mismatch) {
  switch (verdict) {
    case Verdict::equal: return;
    case Verdict::open: suspect.due = at_.parts.clock.in(at_.options.recheck_wait); return;
    case Verdict::unsettled:
      ++page.counts.unsettled;
      // A clean pass closes gaps, but it does not vouch for this key: whatever the replica still gets of it is followed
      // by a READ, and it is compared before the primary changes.
      page.repairs.push_back(suspect.key);
      return;
    case Verdict::mismatch:
      if (!suspect.foreign && at_.parts.sink.quarantined(comparison_.name(), suspect.key)) return;
      break;
  }
  switch (mismatch->kind) {
    case Mismatch::Kind::missing: ++page.counts.missing; break;
    case Mismatch::Kind::extra: ++page.counts.extra; break;
    case Mismatch::Kind::different: ++page.counts.different; break;
  }
  page.findings.push_back(
      {name_.collection, shown(suspect.key), std::string(name_of(mismatch->kind)), mismatch->detail});
  if (!at_.options.repair) return;
  if (!suspect.foreign) {
    page.repairs.push_back(suspect.key);
  } else if (at_.primary == Side::source) {
    page.strays.push_back(*suspect.foreign);
  } else {
    return;  // the source cannot take it
  }
  ++page.counts.repaired;
}

// Pages at the front whose suspects are all decided: repairs first, then counts, findings and cursor in one
// step.
Result<void> RangeCheck::settle() {
  while (!pages_.empty() && pages_.front().suspects.empty()) {
    Page& page = pages_.front();
    if (!page.strays.empty()) {
      if (auto erased = at_.parts.sink.erase_strays(comparison_.name(), page.strays); !erased)
        return tolerate(erased.error());
      page.strays.clear();
    }
    if (!page.repairs.empty()) {
      const auto fault = VMPROXY_FAULT_HIT("check.repairing");
      auto owed = fault.fails ? fault.disk_error() : at_.parts.sink.repair(comparison_.name(), page.repairs);
      if (!owed) return tolerate(owed.error());
      VMPROXY_FAULT("check.repaired");
    }
    row_.cursor = page.cursor;
    row_.counts += page.counts;
    {
      auto& state = at_.parts.state;
      std::lock_guard hold(state.mutex);
      const uint64_t room =
          at_.options.differences_max > state.findings ? at_.options.differences_max - state.findings : 0;
      if (page.findings.size() > room) page.findings.resize(room);
      at_.rows.put(name_, row_, state.findings, page.findings);
      state.findings += page.findings.size();
      state.counts += page.counts;
      at_.parts.different.set(static_cast<double>(state.counts.differences()));
    }
    VMPROXY_FAULT("check.settled");
    pages_.pop_front();
  }
  return {};
}

Result<void> RangeCheck::finish() {
  row_.done = true;
  while (true) {
    auto kept = at_.rows.commit(name_, row_);
    if (const auto fault = VMPROXY_FAULT_HIT("check.finished"); fault.fails) kept = fault.disk_error();
    if (kept) return {};
    if (at_.parts.stopping()) return stopped();
    if (auto passes = tolerate(kept.error()); !passes) return passes;
  }
}

bool RangeCheck::sampled(const model::Key& key) const {
  if (at_.options.sample_percent >= 100) return true;
  uint64_t hash = std::hash<std::string>{}(model::encode(key)) ^ at_.salt;
  hash = (hash ^ hash >> 31) * 0x9e3779b97f4a7c15ull;
  return static_cast<double>(hash >> 11) * 0x1.0p-53 * 100 < at_.options.sample_percent;
}

bool RangeCheck::dirty(const model::Key& key) const {
  return at_.parts.sink.dirty(comparison_.name(), key);
}

size_t RangeCheck::suspects() const {
  size_t count = 0;
  for (const auto& page : pages_) count += page.suspects.size();
  return count;
}

TimePoint RangeCheck::next_due() const {
  TimePoint due = TimePoint::max();
  for (const auto& page : pages_) {
    for (const auto& suspect : page.suspects) due = std::min(due, suspect.due);
  }
  return due;
}

Deadline RangeCheck::deadline() const {
  return at_.parts.clock.in(at_.options.page_timeout);
}

void RangeCheck::goes_on() {
  backoff_.reset();
  if (at_.parts.waiting(who_, "")) log::info("the validation goes on", {{"collection", name_.collection}});
}

Result<void> RangeCheck::tolerate(const Error& error) {
  if (!error.retryable()) return error;
  const std::string why = "collection '" + name_.collection + "': waits, tried again: " + error.message;
  if (at_.parts.waiting(who_, why)) log::warn("the validation waits", {{"reason", why}});
  if (!at_.parts.wait_until(at_.parts.clock.in(backoff_.next()))) return stopped();
  return {};
}

}  // namespace vmproxy::validation
