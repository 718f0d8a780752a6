// Listings show what they must (set-full), and nothing comes back from the dead.
#include <algorithm>

#include "tests/checker/certainty.h"
#include "tests/checker/describe.h"
#include "tests/checker/rules.h"

namespace vmproxy::checker {
namespace {

// Each rule is broken once at most by a key: what is lost is lost in all later listings.
class PresenceRule {
 public:
  PresenceRule(const History& history, uint32_t key, Findings& findings)
      : history_(history),
        key_(key),
        findings_(findings),
        operations_(history.operations(key)),
        certainty_(operations_) {}

  void run() {
    const bool deleted = std::any_of(operations_.begin(), operations_.end(), [](const Op& op) {
      return op.kind == Kind::remove && op.outcome == Outcome::ok;
    });
    if (deleted) findings_.checked(Rule::resurrection);
    for (const Op& op : operations_) {
      if (is_answer(op) && op.value != History::absent)
        present(earliest_shown(op), op.ret, [&] { return describe(history_, key_, op); });
    }
    for (const ScanRecord& scan : history_.scans()) {
      if (name().starts_with(scan.prefix) || count_in(scan) > 0) judge(scan);
    }
    for (const FinalRecord& final : history_.final_states(key_)) {
      if (final.value != History::absent) {
        present(never, never, [&] { return describe(history_, key_, final); });
      } else if (const Op* write = certainty_.surely_present(never, never)) {
        breaks(Rule::set_lost, history_.sides().text_of(final.side) + " does not have it at the end",
               {describe(history_, key_, *write), describe(history_, key_, final)});
      }
    }
  }

 private:
  const std::string& name() const { return history_.keys().text_of(key_); }
  size_t count_in(const ScanRecord& scan) const {
    const auto [first, last] = std::equal_range(scan.keys.begin(), scan.keys.end(), key_);
    return static_cast<size_t>(last - first);
  }

  void judge(const ScanRecord& scan) {
    const size_t count = count_in(scan);
    if (count == 0) {
      if (!scan.partial) missing(scan);
      return;
    }
    findings_.checked(Rule::set_duplicated);
    findings_.checked(Rule::set_unexpected);
    const auto shown = [&] { return describe(history_, key_, scan); };
    if (count > 1)
      breaks(Rule::set_duplicated, "a listing shows it " + std::to_string(count) + " times", {shown()});
    const bool written = std::any_of(operations_.begin(), operations_.end(),
                                     [&](const Op& op) { return stores(op) && op.call <= scan.ret; });
    if (!written)
      breaks(Rule::set_unexpected, "a listing shows it, and nobody can have written it", {shown()});
    if (!scan.partial && certainty_.surely_present(scan.call, scan.ret)) obligation_met();
    present(scan.call, scan.ret, shown);
  }

  void missing(const ScanRecord& scan) {
    const Op* write = certainty_.surely_present(scan.call, scan.ret);
    if (!write) return;
    obligation_met();
    std::vector<Shown> records{describe(history_, key_, *write), describe(history_, key_, scan)};
    if (auto later = seen_later(scan)) {
      records.push_back(std::move(*later));
      breaks(Rule::set_stale, "a listing does not show it, a later answer does", std::move(records));
    } else {
      breaks(Rule::set_lost, "a listing does not show it, nor does any later answer", std::move(records));
    }
  }

  // An answer after the scan and before any other write of the key that shows it.
  std::optional<Shown> seen_later(const ScanRecord& scan) const {
    Time next_write = never;
    for (const Op& op : operations_) {
      if (stores(op) && op.call >= scan.call) next_write = std::min(next_write, op.call);
    }
    for (const Op& op : operations_) {
      if (is_answer(op) && op.value != History::absent && op.call >= scan.ret && op.ret < next_write)
        return describe(history_, key_, op);
    }
    for (const ScanRecord& other : history_.scans()) {
      if (other.call >= scan.ret && other.ret < next_write && count_in(other) > 0)
        return describe(history_, key_, other);
    }
    return std::nullopt;
  }

  // Something between `from` and `to` shows the key.
  template <class Describe>
  void present(Time from, Time to, Describe shown) {
    const Op* removal = certainty_.surely_absent(from, to);
    if (!removal) return;
    std::vector<Shown> records;
    if (const Op* write = last_write_before(*removal)) records.push_back(describe(history_, key_, *write));
    records.push_back(describe(history_, key_, *removal));
    records.push_back(shown());
    breaks(Rule::resurrection, "it shows up after its delete was acknowledged", std::move(records));
  }

  const Op* last_write_before(const Op& removal) const {
    const Op* last = nullptr;
    for (const Op& op : operations_) {
      if (stores(op) && op.latest < removal.call && (!last || op.call > last->call)) last = &op;
    }
    return last;
  }

  static bool stores(const Op& op) {
    return (op.kind == Kind::write || op.kind == Kind::write_if_absent) && op.outcome != Outcome::fail;
  }

  void obligation_met() {
    findings_.checked(Rule::set_lost);
    findings_.checked(Rule::set_stale);
  }

  void breaks(Rule rule, std::string what, std::vector<Shown> records) {
    bool& done = broken_[static_cast<size_t>(rule)];
    if (done) return;
    done = true;
    if (findings_.found(rule)) findings_.describe(rule, name(), std::move(what), std::move(records));
  }

  const History& history_;
  uint32_t key_;
  Findings& findings_;
  const std::vector<Op>& operations_;
  Certainty certainty_;
  std::array<bool, rule_count> broken_{};
};

}  // namespace

void check_presence(const History& history, uint32_t key, Findings& findings) {
  PresenceRule(history, key, findings).run();
}

}  // namespace vmproxy::checker
