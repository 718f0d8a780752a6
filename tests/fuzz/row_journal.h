// A journal that holds one row, for who reads and writes one. Nothing else of it is there.
#pragma once

#include "journal/journal.h"

namespace vmproxy::fuzz {

class RowJournal : public journal::Journal {
 public:
  using Seq = journal::Seq;
  explicit RowJournal(std::optional<std::string> value) : value_(std::move(value)) {}
  const std::optional<std::string>& value() const { return value_; }

  Result<std::optional<std::string>> row(std::string_view, std::string_view) override { return value_; }
  Result<void> commit_rows(std::vector<journal::Row> rows) override {
    for (auto& row : rows) value_ = std::move(row.value);
    return {};
  }
  void put_rows(std::vector<journal::Row> rows, std::function<void(Result<void>)> durable) override {
    (void)commit_rows(std::move(rows));
    if (durable) durable({});
  }

  Result<void> close() override { return {}; }
  void append(journal::IntentHead, journal::IntentBody, std::function<void(Result<Seq>)> done) override {
    done(no());
  }
  void outcome(Seq, journal::OutcomeRecord, std::function<void(Result<void>)>) override {}
  Result<std::vector<bool>> rows_exist(std::string_view, const std::vector<std::string>&) override {
    return no();
  }
  Result<void> scan_rows(std::string_view, std::string_view, std::string_view, const VisitRow&) override {
    return no();
  }
  Result<void> scan_latest_rows(std::string_view, std::string_view, std::string_view,
                                const VisitRow&) override {
    return no();
  }
  Result<void> erase_rows(std::string_view, std::string_view) override { return no(); }
  Result<journal::IntentHead> head(Seq) override { return no(); }
  Result<journal::IntentBody> body(Seq) override { return no(); }
  Result<std::optional<journal::OutcomeRecord>> outcome_of(Seq) override { return no(); }
  Result<void> scan(Seq, const VisitIntent&) override { return no(); }
  Seq next() const override { return 1; }
  void trim_below(Seq) override {}
  void drop_bodies_below(Seq) override {}
  Result<void> mark_gap(std::string) override { return no(); }
  void mark_gap(std::string, std::function<void(Result<void>)> done) override { done(no()); }
  Result<std::vector<journal::Gap>> gaps() override { return no(); }
  bool has_gaps() const override { return false; }
  uint64_t gap_horizon() override { return 0; }
  Result<void> close_gaps(uint64_t) override { return no(); }
  Result<void> reopen() override { return no(); }
  std::optional<Error> failure() override { return std::nullopt; }
  journal::Stats stats() override { return {}; }
  Result<journal::VerifyReport> verify() override { return no(); }

 private:
  static Error no() { return {Code::unsupported, "a journal of one row"}; }
  std::optional<std::string> value_;
};

}  // namespace vmproxy::fuzz
