// The mirror while the primary changes: nothing new begins, what is owed is applied, or given up when the primary is dead.
#include "base/fault.h"
#include "proxy/mirror.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/log.h"
#include "base/rule.h"

namespace vmproxy::proxy {
namespace {

constexpr size_t suspects_at_once = 10'000;
constexpr size_t carried_max = 200'000;
constexpr size_t unread_names_max = 20;

}  // namespace

Result<void> Mirror::catch_up(Deadline deadline) {
  const auto owed = [this] {
    return debts_.count() - debts_.count(DebtReason::uncertain) -
           (VMPROXY_RULE("flip.zombies-paid") ? 0 : debts_.count(DebtReason::zombie));
  };
  while (true) {
    if (!lanes_.wait_empty(deadline)) {
      return Error(Code::timeout, std::to_string(lanes_.size()) + " changes were not applied in time");
    }
    pay_due();
    if (lanes_.size() == 0 && owed() == 0) break;
    if (clock_.now() >= deadline) {
      return Error(Code::timeout, std::to_string(owed()) + " keys still have to be read again");
    }
    std::unique_lock lock(mutex_);
    clock_.wait_until(lock, changed_, clock_.in(std::chrono::milliseconds(2)), [this] { return stopping_; });
    if (stopping_) return Error(Code::cancelled, "the proxy is stopping");
  }
  lanes_.stop();
  if (lanes_.size() != 0 || owed() != 0) {
    lanes_.start(primary_, not_before_);
    return Error(Code::timeout,
                 "an attempt on the replica ended without an answer; its keys must be read again first");
  }
  return {};
}

Mirror::Unread Mirror::unread() {
  auto [names, count] = lanes_.reads(unread_names_max);
  // Debts that no lane has got yet; open windows are carried over a change of the primary.
  const auto waiting = debts_.waiting_but(DebtReason::uncertain);
  count +=
      waiting.others + static_cast<size_t>(std::ranges::count_if(waiting.keys, [this](const auto& owner) {
        return !lanes_.has_journaled(owner.first, owner.second);
      }));
  return {count, std::move(names)};
}

std::optional<Error> Mirror::write_journaled() {
  const TimePoint now = clock_.now();
  pay_due();  // an attempt that has landed by now is read, or written, with the others
  if (const auto keys = lanes_.journaled(); !keys.empty()) {
    std::vector<Debt> debts;
    std::lock_guard ordered(finish_mutex_);
    for (const auto& [collection, key] : keys) {
      open_window(collection, key, 0);
      debts.push_back({0, collection, key, DebtReason::uncertain, window_of(primary_)});
    }
    debts_.add(debts);  // before the image is on the replica
    lanes_.use_journaled(keys);
  }
  return unsettled(now);
}

std::optional<Error> Mirror::unsettled(TimePoint now) const {
  const std::string replica = primary_ == Side::target ? "source" : "target";
  if (const size_t left = lanes_.images()) {
    const std::string problem = lanes_.problem();
    return Error(Code::timeout, "the " + replica +
                                    " does not take the changes that the journal holds for it: " +
                                    std::to_string(left) + " left" + (problem.empty() ? "" : "; " + problem));
  }
  if (const size_t reading = lanes_.reading()) {
    return Error(Code::timeout,
                 std::to_string(reading) + " reads of the database that does not answer have not ended");
  }
  const TimePoint landed =
      std::max(not_before_.load(), debts_.last_due(DebtReason::zombie).value_or(TimePoint()));
  if (landed > now) {
    return Error(Code::timeout,
                 "a change whose answer from the " + replica + " was lost may still arrive there");
  }
  return std::nullopt;
}

Result<Mirror::CaughtUp> Mirror::catch_up_without_primary(const std::string& why, bool give_up,
                                                          Deadline deadline) {
  const auto done = [this] { return lanes_.size() == 0 && only_windows_owed(); };
  CaughtUp caught_up;
  std::optional<Error> failed;
  while (!failed) {
    const auto waits = write_journaled();
    if (!waits) {
      if (give_up) caught_up.given_up += give_up_reads(why);
      if (done()) {
        lanes_.stop();
        if (done()) return caught_up;
        lanes_.start(primary_, not_before_);  // a debt fell due just then
      }
      // Nobody was asked about these: they came after whoever counted.
      if (!give_up) caught_up.unread = unread();
      if (caught_up.unread.count > 0) return caught_up;
    }
    if (clock_.now() >= deadline) {
      failed =
          waits ? *waits
                : Error(Code::timeout,
                        "keys that must be read from the database that does not answer come again and again");
      break;
    }
    std::unique_lock lock(mutex_);
    clock_.wait_until(lock, changed_, clock_.in(std::chrono::milliseconds(2)), [this] { return stopping_; });
    if (stopping_) failed = Error(Code::cancelled, "the proxy is stopping");
  }
  take_back_given_up();
  return *failed;
}

size_t Mirror::give_up_reads(const std::string& why) {
  auto entries = lanes_.take_reads();
  // What the journal has is not given up: there is room for it in the lanes now, and it is written from there.
  std::vector<Debt> debts, journaled;
  for (Debt& debt : debts_.take_all_but(DebtReason::uncertain)) {
    const bool known =
        debt.reason != DebtReason::collapsed && lanes_.has_journaled(debt.collection, debt.key);
    (known ? journaled : debts).push_back(std::move(debt));
  }
  debts_.put_back(std::move(journaled));
  std::set<std::pair<std::string, std::string>> keys;
  for (const auto& debt : debts) keys.emplace(debt.collection, debt.key);
  for (auto& entry : entries) {
    keys.emplace(entry.collection, entry.key);
    for (auto& debt : entry.debts) debts.push_back(std::move(debt));
  }
  // Kept before anything is struck out: a crash in between keeps both.
  size_t kept = 0;
  given_up_.insert(keys.begin(), keys.end());  // first: what fails now is taken back with it
  for (const auto& [collection, key] : keys)
    kept += quarantine_.add_unread(collection, key, why, primary_) ? 1 : 0;
  VMPROXY_FAULT("unread.kept");
  debts_.paid(debts);
  for (const auto& entry : entries) {
    for (const auto seq : entry.seqs) ledger_.done(seq);
    for (const auto position : entry.owed) freshness_.arrived(entry.collection, position);
  }
  VMPROXY_FAULT("unread.struck");
  return kept;
}

// The primary is the one that it was: its keys are read once it answers, and nobody has to clear a quarantine for them.
void Mirror::take_back_given_up() {
  if (given_up_.empty()) return;
  std::vector<Debt> debts;
  std::vector<uint64_t> numbers;
  for (const auto& [collection, key] : given_up_) {
    debts.push_back({0, collection, key, DebtReason::retry, Duration::zero()});
    if (const auto number = quarantine_.number_of(collection, key, primary_)) numbers.push_back(*number);
  }
  debts_.add(debts);  // before the rows of the quarantine go: one of the two is always on the disk
  VMPROXY_FAULT("unread.back");
  quarantine_.remove(numbers);
  given_up_.clear();
}

void Mirror::set_primary(Side primary) {
  primary_ = primary;
  primary_since_ = clock_.now();
  not_before_ = TimePoint();
  lag_trend_.forget();
  given_up_.clear();
}

void Mirror::resume_lanes() {
  lanes_.start(primary_, not_before_);  // first: whatever the other meets
  take_back_given_up();
}

void Mirror::reread_windows(size_t max) {
  std::lock_guard ordered(finish_mutex_);
  auto keys = in_flight_.in_windows(max);
  if (keys.size() == max)
    log::info("more keys than these have open windows; the others are read when those end", {{"keys", max}});
  for (auto& [collection, key] : keys) {
    // What the target itself was asked to do as primary, it has been asked from the journal.
    if (primary_ == Side::target && !lanes_.has_journaled(collection, key)) continue;
    Entry entry = read_entry(collection, std::move(key));
    entry.waits = in_flight_.broad_of(collection);
    put(std::move(entry));
  }
}

Result<void> Mirror::reread_suspects() {
  std::optional<SuspectKey> last;
  while (true) {
    auto page = suspects_.after(last ? &*last : nullptr, suspects_at_once);
    if (!page) return page.error().within("the suspects could not be read from the journal");
    if (page->empty()) return {};
    last = page->back();
    std::lock_guard ordered(finish_mutex_);
    for (auto& [collection, key] : *page) put(read_entry(collection, std::move(key)));
  }
}

Result<void> Mirror::carry_suspects() {
  if (!reads_settle()) return reread_suspects();
  const Duration window = transfer_.driver(other(primary_)).capabilities().max_zombie;
  std::optional<SuspectKey> last;
  // Open windows are held in memory, so only so many.
  for (size_t carried = 0; carried < carried_max;) {
    auto page = suspects_.after(last ? &*last : nullptr, suspects_at_once);
    if (!page) return page.error().within("the suspects could not be read from the journal");
    if (page->empty()) return {};
    last = page->back();
    carried += page->size();
    std::vector<Debt> debts;
    std::lock_guard ordered(finish_mutex_);
    for (const auto& [collection, key] : *page) {
      open_window(collection, key, 0);
      debts.push_back({0, collection, key, DebtReason::uncertain, window});
      put(read_entry(collection, key));
    }
    debts_.add(debts);
    VMPROXY_FAULT("suspects.owed");
    suspects_.strike(*page);
  }
  return reread_suspects();
}

}  // namespace vmproxy::proxy
