// A Control that remembers what it was asked and answers what the test wants.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cutover/control.h"

namespace vmproxy::testing {

class FakeControl final : public cutover::Control {
 public:
  FakeControl() {
    answer.name = "m";
    answer.state = "created";
    answer.primary = "source";
    answer.source = "old (a)";
    answer.target = "new (b)";
    answer.verdict = "NOT READY: not started";
    answer.next = "vmproxy start";
    answer.backfill.phase = "none";
    answer.validation.phase = "none";
    answer.mirror.health = "ok";
  }

  // What the next changing call returns; success by default.
  void fail_with(Error error) { error_ = std::move(error); }
  void succeed() { error_.reset(); }
  // One line per changing call: "start until=ready who=... reason=... force=a,b".
  std::vector<std::string> calls() {
    std::lock_guard hold(mutex_);
    return calls_;
  }
  // status() takes these one after the other, then stays at the last.
  std::vector<cutover::Status> script;
  cutover::Status answer;
  std::vector<cutover::Difference> found_differences;
  std::vector<cutover::QuarantineEntry> entries;
  std::vector<model::Value> audit_lines;
  model::Value stats = model::Object{{"intents", 3}};
  model::Value verified = model::Object{{"intents", 3}, {"problems", model::Array{}}};
  bool throws = false;
  std::function<void()> at_change;  // runs before each changing call; set before there are any

  cutover::Status status() override {
    std::lock_guard hold(mutex_);
    if (throws) throw std::runtime_error("boom");
    if (!script.empty()) {
      answer = script.front();
      if (script.size() > 1) script.erase(script.begin());
    }
    return answer;
  }
  Result<void> start(const std::string& until, const cutover::Actor& actor) override {
    return note("start until=" + until, actor);
  }
  Result<void> pause_backfill(const cutover::Actor& actor) override { return note("pause", actor); }
  Result<void> resume_backfill(const cutover::Actor& actor) override { return note("resume", actor); }
  Result<void> throttle_backfill(double rate, const cutover::Actor& actor) override {
    return note("throttle " + std::to_string(rate), actor);
  }
  Result<void> validate(const cutover::ValidateOptions& options, const cutover::Actor& actor) override {
    return note("validate full=" + std::to_string(options.full) + " sample=" +
                    std::to_string(options.sample_percent) + " repair=" + std::to_string(options.repair),
                actor);
  }
  Result<std::vector<cutover::Difference>> differences(size_t limit) override {
    auto out = found_differences;
    if (out.size() > limit) out.resize(limit);
    return out;
  }
  Result<void> cutover(double percent, const cutover::Actor& actor) override {
    return note("cutover " + std::to_string(percent), actor);
  }
  Result<void> promote(const cutover::Actor& actor) override { return note("promote", actor); }
  Result<void> rollback(const cutover::Actor& actor) override { return note("rollback", actor); }
  Result<void> finalize(const cutover::Actor& actor) override { return note("finalize", actor); }
  Result<void> abandon(const cutover::Actor& actor) override { return note("abandon", actor); }
  Result<std::vector<cutover::QuarantineEntry>> quarantine() override { return entries; }
  Result<model::Value> quarantine_show(uint64_t number) override {
    if (number != 7) return Error(Code::not_found, "no quarantined change " + std::to_string(number));
    return model::Value(model::Object{{"number", 7}, {"reason", "too long"}});
  }
  Result<void> quarantine_retry(std::optional<uint64_t> number, const cutover::Actor& actor) override {
    return note("retry " + (number ? std::to_string(*number) : std::string("all")), actor);
  }
  Result<void> quarantine_drop(uint64_t number, const cutover::Actor& actor) override {
    return note("drop " + std::to_string(number), actor);
  }
  Result<std::vector<model::Value>> audit() override { return audit_lines; }
  Result<model::Value> journal_stats() override { return stats; }
  Result<model::Value> journal_verify() override { return verified; }

 private:
  Result<void> note(std::string line, const cutover::Actor& actor) {
    if (at_change) at_change();
    std::lock_guard hold(mutex_);
    line += " who=" + actor.who + " reason=" + actor.reason + " force=";
    for (const auto& name : actor.force) line += name + ",";
    calls_.push_back(line);
    if (error_) return *error_;
    return {};
  }

  std::mutex mutex_;
  std::vector<std::string> calls_;
  std::optional<Error> error_;
};

}  // namespace vmproxy::testing
