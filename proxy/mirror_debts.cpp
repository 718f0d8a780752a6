// The mirror's own thread: debts that fall due, windows that close, bodies that the journal has no room for.
#include "base/fault.h"
#include "proxy/mirror.h"

#include <algorithm>

#include "base/log.h"
#include "base/rule.h"
#include "journal/rows.h"

namespace vmproxy::proxy {

void Mirror::run() {
  std::unique_lock lock(mutex_);
  TimePoint flushed = clock_.now();
  while (!stopping_) {
    lock.unlock();
    pay_due();
    close_windows(false);
    if (landing_noted_ && clock_.now() >= not_before_.load()) {
      landing_noted_ = false;
      journal_.put_rows({{std::string(journal::rows::state), std::string(landing_row), std::nullopt}});
    }
    if (clock_.now() - flushed > std::chrono::milliseconds(500)) {
      lanes_.keep_staffed();
      ledger_.flush();
      collapse_bodies();
      lag_trend_.note(clock_.now(), lanes_.applied(), lag_changes());
      flushed = clock_.now();
    }
    lock.lock();
    if (!collapsed_collections_.empty() && debts_.count(DebtReason::collapsed) == 0) {
      for (const auto& [name, count] : collapsed_collections_) freshness_.unblock(name);
      collapsed_collections_.clear();
    }
    TimePoint until = clock_.in(std::chrono::milliseconds(100));
    if (const auto due = debts_.next_due())
      until = std::min(until, std::max(*due, clock_.in(std::chrono::milliseconds(5))));
    clock_.wait_until(lock, changed_, until, [this] { return stopping_; });
  }
}

void Mirror::collapse_bodies() {
  // Taken before the primary is looked at: what is below was written while the source was primary, if it is now.
  const journal::Seq end = journal_.next();
  const uint64_t bytes = journal_.stats().bytes;
  const bool full = bytes > options_.journal_bytes_max;
  const bool began = full && !journal_full_.exchange(full);
  if (!full) {
    journal_full_ = false;
  } else if (primary_ != Side::source) {
    // After a promotion it is what makes a way back lossless (C6): it is shown, and people decide.
    if (began) log::warn(kept_beyond_max, {{"bytes", bytes}, {"bytes_max", options_.journal_bytes_max}});
  } else {
    journal_.drop_bodies_below(end);
    VMPROXY_FAULT("mirror.bodies");
    if (began) {
      log::warn(
          "the journal is as large as it may be: bodies of changes that the replica still lacks are dropped, and read from the "
          "primary again when it is back. Nothing is lost",
          {{"bytes", bytes}, {"bytes_max", options_.journal_bytes_max}});
    }
  }
}

void Mirror::pay_due() {
  while (lanes_.size() < options_.entries_max / 2) {
    auto due = debts_.due(1024);
    if (due.empty()) return;
    std::lock_guard ordered(finish_mutex_);
    for (auto& debt : due) {
      VMPROXY_FAULT("debt.due");
      const bool closes = debt.reason == DebtReason::uncertain && !debt.closed;
      if (closes) in_flight_.close_window(debt.collection, debt.key);
      debt.closed = true;
      if (debt.reason == DebtReason::uncertain) {
        // Before the debt can be paid: one of the two is always on the disk.
        if (!reads_settle() && VMPROXY_RULE("suspect.unbounded")) suspects_.mark(debt.collection, {debt.key});
        VMPROXY_FAULT("debt.suspected");
      }
      Entry entry = read_entry(debt.collection, debt.key);
      if (VMPROXY_RULE("debt.waits")) entry.waits = in_flight_.broad_of(debt.collection);
      entry.debts.push_back(std::move(debt));
      const WriteMarks::Coming coming(marks_, entry.collection, entry.key);
      lanes_.put(std::move(entry), closes);
    }
  }
}

void Mirror::close_windows(bool all) {
  std::vector<CollectionWindow> closing;
  {
    std::lock_guard hold(mutex_);
    const auto now = clock_.now();
    for (auto at = windows_.begin(); at != windows_.end();) {
      if (all || at->closes <= now) {
        closing.push_back(*at);
        at = windows_.erase(at);
      } else {
        ++at;
      }
    }
  }
  for (const auto& window : closing) {
    {
      std::lock_guard ordered(finish_mutex_);
      const WriteMarks::Coming coming(marks_, window.collection);  // until its keys are owed
      const auto waits = in_flight_.broad_of(window.collection);
      auto keys = in_flight_.close_collection_window(window.window);
      // As for a key's own window. Of the settle time nothing is in doubt that went through here.
      if (window.doubt && !reads_settle()) suspects_.mark(window.collection, keys);
      std::vector<Debt> debts;
      for (auto& key : keys) {
        if (!VMPROXY_RULE("window.read-at-close")) continue;
        debts.push_back({0, window.collection, std::move(key), DebtReason::repair, Duration::zero()});
      }
      if (!debts.empty()) debts_.add(debts);
      if (window.doubt) freshness_.settled(window.collection);
    }
    VMPROXY_FAULT("window.closed");
    if (window.held != 0) ledger_.release(window.held);
  }
}

}  // namespace vmproxy::proxy
