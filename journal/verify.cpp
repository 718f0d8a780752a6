// The check of everything: each value's checksum and form, seqs without a break, bodies and outcomes with a
// head.
#include "journal/durable_journal.h"

namespace vmproxy::journal {
namespace {

constexpr size_t problems_max = 1000;

class Findings {
 public:
  explicit Findings(VerifyReport& report) : report_(report) {}
  void add(std::string problem) {
    if (report_.problems.size() < problems_max)
      report_.problems.push_back(std::move(problem));
    else if (report_.problems.size() == problems_max)
      report_.problems.push_back("and more");
  }
  void add(const Error& error) { add(error.message); }

 private:
  VerifyReport& report_;
};

}  // namespace

Result<VerifyReport> DurableJournal::verify() {
  settle();
  VerifyReport report;
  Findings findings(report);
  Seq trimmed, bodies_dropped, end;
  {
    Lock hold(mutex_);
    trimmed = trimmed_;
    bodies_dropped = bodies_dropped_;
    end = acknowledged_ + 1;
  }

  const auto check = [&](Kind kind, const store::Store::Visit& visit) {
    const std::string from(1, static_cast<char>(kind));
    if (auto scanned = store_.scan(from, after_prefix(from), visit); !scanned) {
      findings.add(scanned.error().message + " (what follows it in the same table was not checked)");
    }
  };

  using Runs = std::vector<std::pair<Seq, Seq>>;  // [first, last]
  const auto extend = [](Runs& runs, Seq seq) {
    if (!runs.empty() && runs.back().second + 1 == seq)
      runs.back().second = seq;
    else
      runs.emplace_back(seq, seq);
  };
  const auto in = [](const Runs& runs, Seq seq) {
    auto run =
        std::upper_bound(runs.begin(), runs.end(), seq, [](Seq s, const auto& r) { return s < r.first; });
    return run != runs.begin() && seq <= std::prev(run)->second;
  };
  Runs intents;
  Runs with_body;  // those that must have one: the others are read back from the primary
  Seq expected = trimmed;
  check(Kind::intent, [&](auto key, auto value) {
    const auto seq = seq_of(key);
    auto entry = decode_head(key, value);
    if (!entry) findings.add(entry.error());
    if (!seq) return true;
    if (*seq < trimmed) return true;
    if (*seq > expected) {
      findings.add("intents " + std::to_string(expected) + " to " + std::to_string(*seq - 1) +
                   " are missing: these writes may not be on the replica");
    }
    const Hole* hole = entry ? std::get_if<Hole>(&*entry) : nullptr;
    expected = (hole ? hole->last : *seq) + 1;
    if (hole) return true;
    ++report.intents;
    extend(intents, *seq);
    const auto* head = entry ? std::get_if<IntentHead>(&*entry) : nullptr;
    if (head == nullptr || head->cls != IntentClass::read_back) extend(with_body, *seq);
    return true;
  });
  if (expected < end) {
    findings.add("intents " + std::to_string(expected) + " to " + std::to_string(end - 1) +
                 " are missing: these writes may not be on the replica");
  }

  uint64_t bodies = 0;
  check(Kind::body, [&](auto key, auto value) {
    const auto seq = seq_of(key);
    if (auto body = decode_body(key, value); !body) findings.add(body.error());
    if (!seq || *seq < bodies_dropped || *seq >= end) return true;
    if (in(with_body, *seq))
      ++bodies;
    else if (!in(intents, *seq))
      findings.add(describe_key(key) + " has no intent");
    return true;
  });
  uint64_t bodies_expected = 0;
  for (const auto& [first, last] : with_body) {
    if (last < bodies_dropped || first >= end) continue;
    bodies_expected += std::min(last, end - 1) - std::max(first, bodies_dropped) + 1;
  }
  if (bodies < bodies_expected) {
    findings.add(std::to_string(bodies_expected - bodies) +
                 " intents have no body: these writes can be mirrored only by reading the primary again");
  }
  check(Kind::outcome, [&](auto key, auto value) {
    const auto seq = seq_of(key);
    ++report.outcomes;
    if (auto outcome = decode_outcome(key, value); !outcome) findings.add(outcome.error());
    if (seq && *seq >= trimmed && *seq < end && !in(intents, *seq))
      findings.add(describe_key(key) + " has no intent");
    return true;
  });
  check(Kind::row, [&](auto key, auto value) {
    ++report.rows;
    if (auto row = unseal(key, value); !row) findings.add(row.error());
    return true;
  });
  check(Kind::meta, [&](auto key, auto value) {
    if (auto meta = unseal(key, value); !meta) findings.add(meta.error());
    return true;
  });
  return report;
}

}  // namespace vmproxy::journal
