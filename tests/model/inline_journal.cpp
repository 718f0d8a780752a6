#include "tests/model/inline_journal.h"

#include "base/rule.h"

namespace vmproxy::model_check {

using journal::Seq;

void InlineJournal::apply(const Put& put, State& to) {
  switch (put.kind) {
    case Put::Kind::intent:
      to.intents[put.seq] = put.intent;
      to.next = put.seq + 1;
      break;
    case Put::Kind::outcome:
      if (put.seq >= to.trimmed_below) to.outcomes[put.seq] = put.outcome;
      break;
    case Put::Kind::rows:
      for (const auto& row : put.rows) {
        if (row.value) {
          to.rows[{row.table, row.key}] = *row.value;
        } else {
          to.rows.erase({row.table, row.key});
        }
      }
      break;
    case Put::Kind::trim:
      to.trimmed_below = std::max(to.trimmed_below, put.seq);
      to.intents.erase(to.intents.begin(), to.intents.lower_bound(put.seq));
      to.outcomes.erase(to.outcomes.begin(), to.outcomes.lower_bound(put.seq));
      break;
  }
}

void InlineJournal::put(Put put) {
  if (cut_) return;
  apply(put, now_);
  waiting_.push_back(std::move(put));
}

void InlineJournal::sync() {
  if (cut_) return;
  for (const auto& one : waiting_) apply(one, disk_);
  waiting_.clear();
}

void InlineJournal::crash(size_t kept) {
  cut_ = false;
  for (size_t i = 0; i < kept && i < waiting_.size(); ++i) apply(waiting_[i], disk_);
  waiting_.clear();
  now_ = disk_;
}

void InlineJournal::append(journal::IntentHead head, journal::IntentBody body,
                           std::function<void(Result<Seq>)> done) {
  Put one{Put::Kind::intent, now_.next, {}, {}, {}};
  head.seq = one.seq;
  one.intent = {std::move(head), std::move(body)};
  const Seq seq = one.seq;
  put(std::move(one));
  if (VMPROXY_RULE("intent.durable")) sync();
  done(seq);
}

void InlineJournal::outcome(Seq seq, journal::OutcomeRecord outcome,
                            std::function<void(Result<void>)> durable) {
  put({Put::Kind::outcome, seq, {}, std::move(outcome), {}});
  if (!durable) return;
  sync();
  durable({});
}

void InlineJournal::put_rows(std::vector<journal::Row> rows, std::function<void(Result<void>)> durable) {
  put({Put::Kind::rows, 0, {}, {}, std::move(rows)});
  if (!durable) return;
  sync();
  durable({});
}

Result<void> InlineJournal::commit_rows(std::vector<journal::Row> rows) {
  put_rows(std::move(rows), nullptr);
  sync();
  return {};
}

Result<std::optional<std::string>> InlineJournal::row(std::string_view table, std::string_view key) {
  const auto at = now_.rows.find({std::string(table), std::string(key)});
  return at == now_.rows.end() ? std::optional<std::string>() : std::optional(at->second);
}

Result<std::vector<bool>> InlineJournal::rows_exist(std::string_view table,
                                                    const std::vector<std::string>& keys) {
  std::vector<bool> found;
  for (const auto& key : keys) found.push_back(now_.rows.contains({std::string(table), key}));
  return found;
}

Result<void> InlineJournal::scan_in(const State& state, std::string_view table, std::string_view prefix,
                                    std::string_view from, const VisitRow& visit) {
  const State found = state;  // whoever visits may put rows
  for (const auto& [name, value] : found.rows) {
    if (name.first != table || !name.second.starts_with(prefix) || name.second < from) continue;
    if (!visit(name.second, value)) break;
  }
  return {};
}

Result<void> InlineJournal::scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                      const VisitRow& visit) {
  return scan_in(disk_, table, prefix, from, visit);
}

Result<void> InlineJournal::scan_latest_rows(std::string_view table, std::string_view prefix,
                                             std::string_view from, const VisitRow& visit) {
  return scan_in(now_, table, prefix, from, visit);
}

Result<void> InlineJournal::erase_rows(std::string_view table, std::string_view prefix) {
  std::vector<journal::Row> gone;
  for (const auto& [name, value] : now_.rows) {
    if (name.first == table && name.second.starts_with(prefix))
      gone.push_back({name.first, name.second, std::nullopt});
  }
  return commit_rows(std::move(gone));
}

Result<journal::IntentHead> InlineJournal::head(Seq seq) {
  const auto at = now_.intents.find(seq);
  if (at == now_.intents.end()) return Error(Code::not_found, "no such intent");
  return at->second.head;
}

Result<journal::IntentBody> InlineJournal::body(Seq seq) {
  const auto at = now_.intents.find(seq);
  if (at == now_.intents.end()) return Error(Code::not_found, "no such intent");
  return at->second.body;
}

Result<std::optional<journal::OutcomeRecord>> InlineJournal::outcome_of(Seq seq) {
  const auto at = now_.outcomes.find(seq);
  return at == now_.outcomes.end() ? std::optional<journal::OutcomeRecord>() : std::optional(at->second);
}

Result<void> InlineJournal::scan(Seq from, const VisitIntent& visit) {
  const State found = now_;
  for (auto at = found.intents.lower_bound(from); at != found.intents.end(); ++at) {
    const auto outcome = found.outcomes.find(at->first);
    const bool more =
        visit(at->second.head, outcome == found.outcomes.end() ? std::optional<journal::OutcomeRecord>()
                                                               : std::optional(outcome->second));
    if (!more) break;
  }
  return {};
}

void InlineJournal::trim_below(Seq seq) {
  put({Put::Kind::trim, seq, {}, {}, {}});
}

Result<void> InlineJournal::mark_gap(std::string) {
  gap_ = true;
  return {};
}
void InlineJournal::mark_gap(std::string, std::function<void(Result<void>)> done) {
  gap_ = true;
  if (done) done({});
}

journal::Stats InlineJournal::stats() {
  journal::Stats stats;
  stats.next_seq = now_.next;
  stats.trimmed_below = now_.trimmed_below;
  stats.intents = now_.intents.size();
  return stats;
}

}  // namespace vmproxy::model_check
