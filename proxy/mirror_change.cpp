// The mirror while the primary changes: nothing new begins, what is owed is applied, or given up when the primary is dead.
#include "proxy/mirror.h"

#include <set>

#include "journal/rows.h"

namespace vmproxy::proxy {

Result<void> Mirror::catch_up(Deadline deadline) {
  const auto owed = [this] { return debts_.count() - debts_.count(DebtReason::uncertain); };
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
    lanes_.start(primary_, clock_.now());
    return Error(Code::timeout, "an attempt on the replica ended without an answer; its keys must be read again first");
  }
  return {};
}

Mirror::Unread Mirror::unread(size_t names_max) {
  auto [names, count] = lanes_.reads(names_max);
  // Debts not due yet stand on the disk; open windows are carried over a change of the primary.
  count += debts_.waiting_but(DebtReason::uncertain);
  return {count, std::move(names)};
}

void Mirror::give_up_reads(const std::string& why) {
  std::vector<Debt> debts = debts_.take_all_but(DebtReason::uncertain);
  std::set<std::pair<std::string, std::string>> keys;
  for (const auto& debt : debts) keys.emplace(debt.collection, debt.key);
  auto entries = lanes_.take_reads();
  for (auto& entry : entries) {
    keys.emplace(entry.collection, entry.key);
    for (auto& debt : entry.debts) debts.push_back(std::move(debt));
  }
  // Kept before anything is struck out: a crash in between keeps both.
  for (const auto& [collection, key] : keys) quarantine_.add(collection, key, why, std::nullopt, primary_);
  debts_.paid(debts);
  for (const auto& entry : entries) {
    for (const auto seq : entry.seqs) ledger_.done(seq);
    for (const auto position : entry.owed) freshness_.arrived(entry.collection, position);
  }
}

void Mirror::set_primary(Side primary) { primary_ = primary; }

void Mirror::resume_lanes() { lanes_.start(primary_, clock_.now()); }

void Mirror::reread_suspects() {
  std::vector<std::pair<std::string, std::string>> keys;
  (void)journal_.scan_rows(journal::rows::suspects, "", "", [&](std::string_view row, std::string_view) {
    const auto end = row.find('\0');
    if (end != std::string_view::npos) keys.emplace_back(row.substr(0, end), row.substr(end + 1));
    return keys.size() < 100'000;
  });
  std::lock_guard ordered(finish_mutex_);
  for (auto& [collection, key] : keys) put(read_entry(collection, std::move(key)));
}

}  // namespace vmproxy::proxy
