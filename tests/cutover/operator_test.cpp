// What an operator can do, and is told, when a promotion hangs, the journal or a database is away, or a gate is closed.
#include <algorithm>
#include <atomic>
#include <new>

#include "tests/support/move.h"
#include "tests/support/no_threads.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;
using vmproxy::Result;

namespace {

// Lets the audit fail for one thread: whatever is noted has the time in it. Outlives the Move.
class FailingAudit {
 public:
  void watch(Move& move) {
    move.clock.before_wall = [this] {
      if (std::this_thread::get_id() != whose_.load()) return;
      if (!fails_()) return;
      ++failed_;
      throw std::bad_alloc();
    };
  }
  // While `call` runs, and only where `fails` says so.
  std::function<Result<void>()> during(std::function<Result<void>()> call, std::function<bool()> fails) {
    fails_ = std::move(fails);
    return [this, call = std::move(call)]() -> Result<void> {
      whose_ = std::this_thread::get_id();
      Result<void> done;
      try {
        done = call();
      } catch (const std::exception& escaped) {
        done = Error(Code::internal, std::string("escaped: ") + escaped.what());
      }
      whose_ = std::thread::id();
      return done;
    };
  }
  int failed() const { return failed_; }

 private:
  std::atomic<std::thread::id> whose_{};
  std::atomic<int> failed_{0};
  std::function<bool()> fails_;
};

bool break_journal(Move& move) {
  move.store->fail_next_commits(1);
  move.store->fail_reopen(true);
  return !move.journal->commit_rows({{"x", "probe", "1"}});
}

}  // namespace

TEST_CASE(
    "a promotion that waits for its replica ends for a rollback, and tells other commands that it is under way") {
  Move move;
  move.options.pre_drain_max = move.options.lag_max = seconds(600);
  move.ready();
  double percent = 0;
  SECTION("ready") {}
  SECTION("canary") {
    percent = 10;
  }
  if (percent > 0) REQUIRE(move.migration->cutover(percent, {}));
  move.target.hold(Call::upsert);
  move.write("a", 1);
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  move.clock.advance(seconds(3));  // so far behind no fence is begun
  move.promote_aside();
  Result<void> refused;
  REQUIRE(move.eventually([&] {
    refused = move.migration->start("ready", {});  // there already: nothing but the answer
    return !refused;
  }));
  CHECK(says(refused, "promote is under way since "));
  CHECK(says(refused, "`vmproxy rollback` ends it"));
  CHECK(refused.error().code == Code::precondition);
  CHECK(says(move.migration->abandon({}), "promote is under way since "));
  CHECK(says(move.migration->cutover(50, {}), "promote is under way since "));
  CHECK(says(move.migration->promote({}), "promote is under way since "));
  CHECK(move.status().reads_percent == percent);
  REQUIRE(move.rollback());
  const auto ended = move.ended();
  REQUIRE_FALSE(ended);
  CHECK_THAT(ended.error().message, Catch::Matchers::Contains("a rollback was asked for meanwhile"));
  CHECK(move.primary() == "source");
  CHECK(move.status().state == "ready");
  CHECK(move.status().reads_percent == 0);
  CHECK_FALSE(move.intended());
  move.target.release();
  REQUIRE(move.quiet());
  CHECK(move.promote());  // the next attempt is free
}

TEST_CASE("a promotion that waits for its replica ends when the proxy stops, and nothing has changed") {
  Move move;
  move.options.pre_drain_max = move.options.lag_max = seconds(600);
  move.ready();
  move.target.hold(Call::upsert);
  move.write("a", 1);
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  move.clock.advance(seconds(3));  // so far behind no fence is begun
  move.promote_aside();
  REQUIRE(move.eventually([&] { return !move.migration->start("ready", {}); }));  // it is under way
  move.migration->stop_waiting();
  const auto ended = move.ended();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code == Code::cancelled);
  CHECK_THAT(ended.error().message, Catch::Matchers::Contains("the proxy is stopping"));
  CHECK(move.primary() == "source");
  CHECK_FALSE(move.intended());
}

TEST_CASE(
    "a rollback that waits for a write at a dead target ends when the proxy stops, and nothing has changed") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.enter();  // it hangs there
  move.target.down(Error(Code::timeout, "no answer"));
  move.aside([&] { return move.migration->rollback({}); });
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.migration->stop_waiting();
  CHECK(says(move.ended(), "the proxy is stopping"));
  CHECK(move.primary() == "target");
  CHECK_FALSE(move.intended());
  move.leave();
}

TEST_CASE(
    "reads go back to the source although the journal cannot be written, and that it is not durable is said until it is") {
  Move move;
  move.ready();
  REQUIRE(move.migration->cutover(100, {}));
  REQUIRE(break_journal(move));
  const auto rollback = [&] {
    return move.run([&] { return move.migration->rollback({"ann", "slow answers", {}}); });
  };
  CHECK(says(rollback(), "could not be made durable"));
  CHECK(move.context().routing.get()->reads_percent == 0);
  CHECK(move.status().reads_percent == 0);
  CHECK(says(rollback(), "could not be made durable"));
  move.store->fail_reopen(false);
  REQUIRE(move.eventually([&] { return !move.journal->failure(); }));
  CHECK(rollback());
  move.crash();
  move.start();
  CHECK(move.status().state == "ready");
  CHECK(move.status().reads_percent == 0);
  CHECK(move.status().rolled_back_reason == "slow answers");
}

TEST_CASE(
    "a journal that cannot be written makes the proxy unready where writes are refused for it, and only there") {
  Move move;
  bool refuse = false;
  SECTION("capture_failure: refuse") {
    refuse = true;
  }
  SECTION("capture_failure: pass_and_mark") {}
  move.options.proxy.refuse_on_capture_failure = refuse;
  move.ready();
  CHECK(move.migration->not_ready_reason().empty());
  REQUIRE(break_journal(move));
  CHECK(move.migration->not_ready_reason().empty() != refuse);
  if (refuse)
    CHECK(move.migration->not_ready_reason().find("the journal cannot be written") != std::string::npos);
  move.store->fail_reopen(false);
  CHECK(move.eventually([&] { return move.migration->not_ready_reason().empty(); }));
}

TEST_CASE("somebody who writes to a database beside vmproxy is named as what makes equal records differ") {
  Move move;
  for (int i = 0; i < 5; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  const std::string beside = "somebody writes to one of the databases beside it";
  SECTION("to the target") {
    move.target.put("k1", 7);
    move.target.remove("k2");
  }
  SECTION("to the source") {
    move.source.put("k1", 7);
    move.source.remove("k2");
  }
  vmproxy::cutover::ValidateOptions look;
  look.repair = false;
  REQUIRE(move.migration->validate(look, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "different"; }));
  CHECK(move.status().validation.reason.find("2 records differ that were equal before") != std::string::npos);
  CHECK(says(move.promote(), "validation is not clean: 2 records differ that were equal before"));
  CHECK(says(move.promote(), beside));
  move.validate_until_clean();
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE("what differs after a gap is not laid at a stranger's door") {
  Move move;
  move.source.put("k", 1);
  move.ready();
  REQUIRE(move.journal->mark_gap("writes passed while the journal could not be written"));
  move.source.put("k", 2);
  vmproxy::cutover::ValidateOptions look;
  look.repair = false;
  REQUIRE(move.migration->validate(look, {}));
  REQUIRE(move.reaches([&] { return move.status().validation.phase == "different"; }));
  CHECK(move.status().validation.reason.empty());
  CHECK(says(move.promote(), "validation is not clean, must be"));
}

TEST_CASE("a refusal names the gates that --force would skip") {
  Move move;
  move.ready();
  REQUIRE(move.journal->mark_gap("a test"));
  move.context().read_counts.returned("filter.regex");
  CHECK(says(move.promote(), "To go on in spite of it: --force gaps,reads"));
  CHECK(says(move.promote({"gaps"}), "To go on in spite of it: --force gaps,reads"));
  CHECK(says(move.run([&] { return move.migration->cutover(10, {}); }), "--force gaps"));
  CHECK(move.promote({"gaps", "reads"}));
  CHECK(says(move.rollback(), "To go on in spite of it: --force gaps"));
}

TEST_CASE("a gate that cannot be skipped says so when --force names it") {
  Move move;
  move.ready();
  auto state = vmproxy::cutover::load_state(*move.journal);
  REQUIRE(!state.has_error());
  state->copied = false;
  REQUIRE(vmproxy::cutover::save_state(*move.journal, *state));
  move.crash();
  move.start();
  const vmproxy::cutover::Actor actor{"test", "", {"backfill"}};
  const auto refused = move.run([&] { return move.migration->cutover(10, actor); });
  CHECK(says(refused, "backfill is "));
  CHECK(says(refused, "and --force cannot skip it"));
  CHECK(move.status().reads_percent == 0);
  CHECK_FALSE(says(move.run([&] { return move.migration->cutover(10, {}); }), "cannot skip it"));
}

TEST_CASE("where the state does not say what was left out, the source is asked before reads move") {
  Move move;
  move.ready();
  auto disk = move.disk();
  // As a version left it that did not keep this.
  const auto erased =
      std::erase_if(disk, [](const auto& row) { return row.first.find("left_out") != std::string::npos; });
  CHECK(erased == 1);  // that nothing was left out is kept, too
  move.source.leave_out({{{"", "keyless"}, "table.primary_key: it has none", "give it one"}});
  move.crash(disk);
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(says(move.run([&] { return move.migration->cutover(10, {}); }), "left_out is 1: keyless"));
  CHECK(move.status().reads_percent == 0);
  CHECK(move.run([&] { return move.migration->cutover(10, {"test", "", {"left_out"}}); }));
}

TEST_CASE(
    "what holds vectors and cannot be moved closes a gate until it is mended, no longer included, or forced") {
  Move move;
  move.source.leave_out({{{"", "keyless"}, "table.primary_key: it has none", "give it one"}});
  const auto gate_is_closed = [&move] {
    const auto status = move.status();
    return std::any_of(status.gates.begin(), status.gates.end(),
                       [](const auto& gate) { return gate.name == "left_out" && !gate.ok; });
  };
  move.ready();
  const std::string closed = "left_out is 1: keyless (table.primary_key: it has none; give it one)";
  CHECK(says(move.run([&] { return move.migration->cutover(10, {}); }), closed));
  CHECK(says(move.promote(), closed));
  CHECK(says(move.promote(), "--force left_out"));
  CHECK(gate_is_closed());
  move.crash();  // before the source is asked again
  SECTION("forced") {
    move.start();
    CHECK(gate_is_closed());
    move.clock.advance(seconds(61));
    REQUIRE(move.quiet());
    CHECK(move.promote({"left_out"}));
  }
  SECTION("mended") {
    move.source.leave_out({});
    move.start();
    move.clock.advance(seconds(61));
    REQUIRE(move.quiet());
    CHECK(move.promote());
  }
  SECTION("no longer included") {
    move.options.included = [](const vmproxy::model::CollectionName& name) { return name.name == "things"; };
    move.start();
    CHECK_FALSE(gate_is_closed());
    move.clock.advance(seconds(61));
    REQUIRE(move.quiet());
    CHECK(move.promote());
  }
}

TEST_CASE(
    "I17: finalize is refused while a change is quarantined, a request is unknown, or something is owed for long") {
  Move move;
  move.ready();
  std::string gate;
  SECTION("quarantine") {
    gate = "quarantine";
    REQUIRE(move.promote());
    move.source.refuse("bad", Error(Code::invalid, "too large"));
    move.write("bad", 1);
    REQUIRE(move.eventually([&] { return move.status().quarantined == 1; }));
  }
  SECTION("unknown requests") {
    gate = "unknown_requests";
    ++move.context().unknown_requests;
    REQUIRE(move.promote({"unknown_requests"}));
  }
  SECTION("old debts") {
    gate = "debts";
    move.write_uncertain("a", 2);
    REQUIRE(move.quiet());
    REQUIRE(move.promote());
    move.source.down(Error(Code::refused_connection, "away"));
    move.clock.advance(seconds(62));  // the window closes: the source is owed a READ
    move.linger();
    move.clock.advance(seconds(62));
    REQUIRE(move.context().mirror.numbers().oldest_debt_seconds > 60);
  }
  const auto refused = move.run([&] { return move.migration->finalize({}); });
  CHECK(says(refused, "finalize refused, nothing changed: " + gate + " is "));
  CHECK(says(refused, "--force " + gate));
  CHECK(move.status().state == "promoted");
  CHECK(move.run([&] { return move.migration->finalize({"operator", "", {gate}}); }));
  CHECK(move.status().state == "finalized");
}

TEST_CASE("with the target dead and a gap open the way back is named, and what it means") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.journal->mark_gap("a test"));
  CHECK_FALSE(says(move.rollback(), "The target does not answer"));
  move.target.down(Error(Code::refused_connection, "dead"));
  const auto refused = move.rollback();
  CHECK(says(refused, "The target does not answer (dead), so no validation can close a gap now"));
  CHECK(says(refused, "vmproxy rollback --force gaps"));
  CHECK(move.primary() == "target");
  CHECK(move.rollback({"gaps"}));
  CHECK(move.primary() == "source");
  CHECK(move.source.find("a") == 1);
}

TEST_CASE(
    "a promotion during which the system refuses threads opens its gate, and the mirror works once there are some") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  std::optional<NoThreads> limit;
  limit.emplace();
  move.leave();
  const auto ended = move.ended();
  CHECK(ended);
  CHECK(move.primary() == "target");
  const bool open = move.context().gate.enter_now();
  CHECK(open);
  if (open) move.leave();
  limit.reset();
  move.write("b", 2);
  CHECK(move.target.find("b") == 2);
  REQUIRE(move.quiet());
  CHECK(move.equal());
}

TEST_CASE("what fails once the new primary is decided does not undo it") {
  FailingAudit audit;
  Move move;
  audit.watch(move);
  move.source.put("a", 1);
  move.ready();
  const auto promoted =
      move.run(audit.during([&] { return move.migration->promote({}); },
                            [&] { return move.context().routing.get()->primary == Side::target; }));
  CHECK(promoted);
  CHECK(audit.failed() > 0);
  CHECK(move.primary() == "target");
  CHECK(move.context().routing.get()->primary == Side::target);
  CHECK_FALSE(move.intended());
  move.write("a", 2);
  CHECK(move.target.find("a") == 2);
  REQUIRE(move.quiet());
  CHECK(move.source.find("a") == 2);
  move.crash();
  move.start();
  CHECK(move.primary() == "target");
}

TEST_CASE("a promotion whose end cannot be noted either opens its gate, and what was stopped runs again") {
  FailingAudit audit;
  Move move;
  audit.watch(move);
  move.source.put("a", 1);
  move.ready();
  move.enter();
  std::atomic<bool> in_fence{false};
  move.aside(audit.during([&] { return move.migration->promote({}); }, [&] { return in_fence.load(); }));
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.linger();
  move.store->fail_next_commits(1);  // COMMIT: the lanes are stopped by then
  in_fence = true;
  move.leave();
  const auto ended = move.ended();
  REQUIRE_FALSE(ended);
  CHECK_THAT(ended.error().message, Catch::Matchers::Contains("aborted, nothing changed"));
  CHECK(audit.failed() > 0);
  CHECK(move.primary() == "source");
  CHECK(move.context().routing.get()->primary == Side::source);
  CHECK_FALSE(move.intended());
  const bool open = move.context().gate.enter_now();
  CHECK(open);
  if (open) move.leave();
  move.write("b", 2);
  CHECK(move.source.find("b") == 2);
  REQUIRE(move.quiet());
  CHECK(move.equal());
}

TEST_CASE("a start for whose mirror the system refuses a thread says so, and goes on once there is one") {
  Move move;
  move.source.put("a", 1);
  move.start();
  {
    const NoThreads limit;
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches([&] { return !move.status().work.problem.empty(); }));
    CHECK_THAT(move.status().work.problem,
               Catch::Matchers::Contains("a thread of the mirror cannot be started"));
    CHECK(move.status().work.retrying);
    move.write("b", 2);  // the application goes on
  }
  REQUIRE(move.reaches("ready"));
  REQUIRE(move.quiet());
  CHECK(move.equal());
}
