// InlineJournal: a journal without a thread. What is put waits, in order, until a sync takes all of it to the disk; a
// crash
// keeps any beginning of what waits. Appends sync at once, as a write goes out only after its intent is durable.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "journal/journal.h"

namespace vmproxy::model_check {

class InlineJournal final : public journal::Journal {
 public:
  // What the journal holds: on the disk, or for whoever asks now.
  struct State {
    struct Intent {
      journal::IntentHead head;
      journal::IntentBody body;
    };
    std::map<journal::Seq, Intent> intents;
    std::map<journal::Seq, journal::OutcomeRecord> outcomes;
    std::map<std::pair<std::string, std::string>, std::string> rows;  // table, key
    journal::Seq next = 1, trimmed_below = 1;
  };
  // One call that is not on the disk yet.
  struct Put {
    enum class Kind { intent, outcome, rows, trim } kind;
    journal::Seq seq = 0;
    State::Intent intent;
    journal::OutcomeRecord outcome;
    std::vector<journal::Row> rows;
  };

  const State& now() const { return now_; }
  const State& disk() const { return disk_; }
  const std::deque<Put>& waiting() const { return waiting_; }
  void sync();
  // The process is dead: nothing of it reaches the journal any more.
  void cut() { cut_ = true; }
  // What the next process finds: the first `kept` of what waited are on the disk.
  void crash(size_t kept);

  Result<void> close() override { return {}; }
  void append(journal::IntentHead head, journal::IntentBody body,
              std::function<void(Result<journal::Seq>)> done) override;
  void outcome(journal::Seq seq, journal::OutcomeRecord outcome,
               std::function<void(Result<void>)> durable) override;
  void put_rows(std::vector<journal::Row> rows, std::function<void(Result<void>)> durable) override;
  Result<void> commit_rows(std::vector<journal::Row> rows) override;
  Result<std::optional<std::string>> row(std::string_view table, std::string_view key) override;
  Result<std::vector<bool>> rows_exist(std::string_view table, const std::vector<std::string>& keys) override;
  Result<void> scan_rows(std::string_view table, std::string_view prefix, std::string_view from,
                         const VisitRow& visit) override;
  Result<void> scan_latest_rows(std::string_view table, std::string_view prefix, std::string_view from,
                                const VisitRow& visit) override;
  Result<void> erase_rows(std::string_view table, std::string_view prefix) override;
  Result<journal::IntentHead> head(journal::Seq seq) override;
  Result<journal::IntentBody> body(journal::Seq seq) override;
  Result<std::optional<journal::OutcomeRecord>> outcome_of(journal::Seq seq) override;
  Result<void> scan(journal::Seq from, const VisitIntent& visit) override;
  journal::Seq next() const override { return now_.next; }
  void trim_below(journal::Seq seq) override;
  void drop_bodies_below(journal::Seq) override {}
  Result<void> mark_gap(std::string what) override;
  void mark_gap(std::string what, std::function<void(Result<void>)> done) override;
  Result<std::vector<journal::Gap>> gaps() override { return std::vector<journal::Gap>(); }
  bool has_gaps() const override { return gap_; }
  uint64_t gap_horizon() override { return 0; }
  Result<void> close_gaps(uint64_t) override { return {}; }
  Result<void> reopen() override { return {}; }
  std::optional<Error> failure() override { return std::nullopt; }
  journal::Stats stats() override;
  Result<journal::VerifyReport> verify() override { return journal::VerifyReport(); }

 private:
  static void apply(const Put& put, State& to);
  void put(Put put);
  static Result<void> scan_in(const State& state, std::string_view table, std::string_view prefix,
                              std::string_view from, const VisitRow& visit);

  State now_, disk_;
  std::deque<Put> waiting_;
  bool cut_ = false;
  bool gap_ = false;
};

}  // namespace vmproxy::model_check
