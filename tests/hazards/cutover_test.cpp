// Moving the primary: what must hold before, what may happen meanwhile, what a failure leaves (correctness.md 6).
#include <algorithm>
#include <future>

#include "journal/rows.h"
#include "proxy/target_backend.h"
#include "tests/support/move.h"

using namespace vmproxy::support;
using vmproxy::Code;
using vmproxy::Error;

TEST_CASE("H13: the promotion waits for a write under way and takes it along") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.enter();  // a write between gate and answer
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.linger();
  CHECK(move.primary() == "source");
  auto ticket = move.context().mirror.begin_keyed(*move.context().routing.get(), "records.put",
                                                  {"", "things"}, {key_of("a")}, IntentClass::read_back);
  move.source.put("a", 2);
  vmproxy::journal::OutcomeRecord outcome;
  outcome.whole = Outcome::applied;
  move.context().mirror.finish(std::move(ticket), outcome);
  move.leave();
  REQUIRE(move.ended());
  CHECK(move.primary() == "target");
  CHECK(move.target.find("a") == 2);
}

TEST_CASE("H14: what the old primary commits only after the switch stays nowhere, and takes nothing back") {
  Move move;
  move.source.put("a", 1);
  move.source.put("b", 1);
  move.ready();
  move.write_uncertain("a", 2);  // as in a transaction that is open: sent, not done, its end not known
  move.write_uncertain("b", 2);
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  move.write("b", 3);
  REQUIRE(move.eventually([&] { return move.source.find("b") == 3; }));
  move.source.put("a", 2);
  move.source.put("b", 2);
  move.linger();
  CHECK(move.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 3}});
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.equal(); }));
  CHECK(move.target.rows() == FakeDriver::Rows{{"a", 1}, {"b", 3}});
  REQUIRE(move.rollback());
  CHECK(move.source.rows() == FakeDriver::Rows{{"a", 1}, {"b", 3}});
}

TEST_CASE("H15: nothing moves while the copy is incomplete, whatever is forced") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.copy_until_held(move.target, Call::insert_only);
  CHECK_FALSE(move.migration->cutover(10, {}));
  CHECK_FALSE(move.promote());
  CHECK_FALSE(move.promote({"backfill", "validation", "debts", "lag", "gaps"}));
  CHECK(move.primary() == "source");
  CHECK(move.status().reads_percent == 0);
  move.target.release();
  REQUIRE(move.reaches("ready"));
  CHECK(move.promote());
}

TEST_CASE("H30: no read is moved and nothing is compared while the target builds its indexes") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.copy_until_held(move.target, Call::index);
  REQUIRE(move.target.rows().size() == 30);
  const auto scans = move.target.calls(Call::scan);
  move.linger();
  CHECK_FALSE(move.migration->cutover(10, {}));
  CHECK_FALSE(move.promote({"backfill", "validation", "debts", "lag", "gaps"}));
  CHECK(move.status().reads_percent == 0);
  CHECK(move.target.calls(Call::scan) == scans);
  move.target.release();
  REQUIRE(move.reaches("ready"));
  CHECK(move.migration->cutover(10, {}));
}

TEST_CASE("H1, H22: what the replica refused closes the promotion until it is cleared") {
  Move move;
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  CHECK(says(move.promote(), "quarantine"));
  CHECK(move.primary() == "source");
  move.target.refuse("bad", std::nullopt);
  REQUIRE(move.eventually([&] { return move.migration->quarantine()->size() == 1; }));
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  REQUIRE(move.eventually([&] { return move.status().quarantined == 0; }));
  CHECK(move.promote());
  CHECK(move.target.find("bad") == 1);
}

TEST_CASE(
    "H22: a delete of a record that the replica could never hold is done, on the way and after the promotion") {
  Move move;
  move.target.caps.id_bytes_max = 8;
  move.ready();
  const std::string id = "longer than eight bytes";
  move.write(id, 1);
  REQUIRE(move.eventually([&] { return move.status().quarantined == 1; }));
  move.erase(id);
  move.erase("another that is too long");
  REQUIRE(move.quiet());
  CHECK(move.status().quarantined == 1);  // the write, until it is tried again
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  REQUIRE(move.eventually([&] { return move.status().quarantined == 0; }));
  REQUIRE(move.promote());
  CHECK_NOTHROW(move.erase(id));
  REQUIRE(move.quiet());
  CHECK(move.status().quarantined == 0);
}

TEST_CASE(
    "H1: a record that the new primary refuses while the change is under way ends it, unless that was forced") {
  Move move;
  move.options.fence_max = seconds(600);
  move.ready();
  bool back = false;
  std::vector<std::string> force;
  SECTION("a promotion") {}
  SECTION("a rollback") {
    REQUIRE(move.promote());
    back = true;
  }
  SECTION("forced") {
    force = {"quarantine"};
  }
  FakeDriver& old_primary = back ? move.target : move.source;
  FakeDriver& new_primary = back ? move.source : move.target;
  const std::string before = move.primary();
  move.enter();
  move.aside([&] {
    const vmproxy::cutover::Actor actor{"test", "", force};
    return back ? move.migration->rollback(actor) : move.migration->promote(actor);
  });
  REQUIRE(move.eventually([&] { return move.intended(); }));
  new_primary.refuse("bad", Error(Code::invalid, "too large"));
  move.write_inside("bad", 1);
  move.leave();
  const auto ended = move.ended();
  CHECK(old_primary.find("bad") == 1);
  if (!force.empty()) {
    CHECK(ended);
    CHECK(move.status().at_risk == 1);
    return;
  }
  CHECK(says(ended, "vmproxy quarantine"));
  CHECK(move.primary() == before);
  new_primary.refuse("bad", std::nullopt);
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  REQUIRE(move.eventually([&] { return move.status().quarantined == 0; }));
  CHECK((back ? move.rollback() : move.promote()));
  CHECK(new_primary.find("bad") == 1);
}

TEST_CASE(
    "H16: killed between intention and decision, the old primary stays and everything it acknowledged is there") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  const auto disk = move.disk();
  move.leave();
  (void)move.ended();
  move.crash(disk);
  move.start();
  CHECK(move.primary() == "source");
  CHECK_FALSE(move.intended());
  move.write("a", 2);
  CHECK(move.source.find("a") == 2);
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.equal());
}

TEST_CASE("H16: killed right after the decision, the new primary is found and the other one follows") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  REQUIRE(move.promote());
  move.crash();
  move.start();
  CHECK(move.primary() == "target");
  move.write("a", 2);
  CHECK(move.target.find("a") == 2);
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.source.find("a") == 2; }));
}

TEST_CASE("H16: a decision whose sync failed although it reached the disk is taken back for good") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.linger();
  move.store->fail_next_commit_after_applying();  // the next one is COMMIT
  move.leave();
  CHECK_FALSE(move.ended());
  CHECK(move.primary() == "source");
  move.write("a", 2);  // goes to the source and is acknowledged
  CHECK(move.source.find("a") == 2);
  move.crash();
  move.start();
  CHECK(move.primary() == "source");  // else the application would read 1 from the target
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.equal());
}

TEST_CASE(
    "H26: a target that takes changes more slowly than they come is not waited for in silence: never, at this rate") {
  Move move;
  move.ready();
  move.target.hold(Call::upsert);
  for (int second = 0; second < 8; ++second) {
    for (int i = 0; i < 10; ++i) move.write("k" + std::to_string(second) + "-" + std::to_string(i), 1);
    move.clock.advance(seconds(1));
    move.linger();
  }
  const auto status = move.status();
  const auto lag = std::find_if(status.gates.begin(), status.gates.end(),
                                [](const auto& gate) { return gate.name == "lag"; });
  REQUIRE(lag != status.gates.end());
  CHECK_FALSE(lag->ok);
  CHECK(lag->value.find("at this rate never: applied 0.0/s, written ") != std::string::npos);
  REQUIRE(status.lag_rates);
  CHECK(status.lag_rates->written > 1);
  CHECK(says(move.run([&] { return move.migration->cutover(10, {}); }), "at this rate never"));
  move.target.release();
  REQUIRE(move.quiet());
  move.clock.advance(seconds(2));
  CHECK(move.eventually(
      [&] { return move.status().lag_rates && move.status().lag_rates->seconds_left == 0.0; }));
  CHECK(move.equal());
}

TEST_CASE("H34: a restart while validation runs does not count as a clean pass; it goes on by itself") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.target.hold(Call::read);
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.reaches("validating"));
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  const auto disk = move.disk();
  move.target.remove("k3");  // what a validation is for
  move.target.down(Error(Code::refused_connection, "killed"));
  move.crash(disk);
  move.target.hold(Call::read);
  move.target.down(std::nullopt);
  move.start();
  move.linger();
  CHECK(move.status().state == "validating");
  CHECK_FALSE(move.promote());
  CHECK_FALSE(move.migration->cutover(1, {}));
  move.clock.advance(seconds(61));
  move.target.release();
  REQUIRE(move.reaches("ready"));
  CHECK(move.equal());
}

TEST_CASE("H44: a write that waited at the fence goes to the new primary, and nowhere else first") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.linger();
  std::atomic<bool> written{false};
  std::thread writer([&] {
    move.write("a", 2);
    written = true;
  });
  move.linger();
  CHECK_FALSE(written);
  CHECK(move.source.find("a") == 1);
  move.source.hold(Call::upsert);  // the reverse mirror may not hide a write to the old primary
  move.leave();
  REQUIRE(move.ended());
  REQUIRE(move.eventually([&] { return written.load(); }));
  writer.join();
  CHECK(move.target.find("a") == 2);
  CHECK(move.source.find("a") == 1);
  move.source.release();
  CHECK(move.eventually([&] { return move.source.find("a") == 2; }));
}

TEST_CASE(
    "H59: a write still under way at the deadline aborts the change; those that waited run once, on the old primary") {
  Move move;
  move.ready();
  move.enter();  // not sent yet, and slow
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.linger();
  std::atomic<bool> written{false};
  std::thread writer([&] {
    move.write("b", 1);
    written = true;
  });
  const auto ended = move.ended();
  CHECK(says(ended, "nothing changed"));
  REQUIRE(move.eventually([&] { return written.load(); }));
  writer.join();
  CHECK(move.primary() == "source");
  CHECK(move.context().routing.get()->epoch == 1);
  CHECK(move.source.find("b") == 1);
  CHECK_FALSE(move.intended());
  move.leave();
  REQUIRE(move.quiet());
  CHECK(move.promote());  // and the next attempt is free
}

TEST_CASE(
    "H46: after a forced promotion what the target had refused is at risk: never read from it, kept at the source") {
  Move move;
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  move.write("good", 1);
  REQUIRE(move.quiet());
  CHECK_FALSE(move.promote());
  REQUIRE(move.promote({"quarantine"}));
  CHECK(move.status().at_risk == 1);
  // Everything that could read it in the new direction and so delete its last copy.
  const auto number = move.migration->quarantine()->front().number;
  CHECK_FALSE(move.migration->quarantine_retry(number, {}));
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  REQUIRE(move.context().mirror.repair({"", "things"}, {key_of("bad")}));
  REQUIRE(move.quiet());
  move.linger();
  CHECK(move.source.find("bad") == 1);
  // After a restart too.
  move.crash();
  move.start();
  CHECK(move.status().at_risk == 1);
  REQUIRE(move.context().mirror.repair({"", "things"}, {key_of("bad")}));
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  move.linger();
  CHECK(move.source.find("bad") == 1);
}

namespace {

// "bad" was refused by the target and is at risk since a forced promotion; the target takes it by now. Its number in quarantine.
uint64_t at_risk(Move& move) {
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.promote({"quarantine"}));
  REQUIRE(move.status().at_risk == 1);
  move.target.refuse("bad", std::nullopt);
  return move.migration->quarantine()->front().number;
}

}  // namespace

TEST_CASE(
    "H46: what is written to a record at risk is on the other side although it is not read for that: the journal has it") {
  Move move;
  move.source.caps.max_zombie = seconds(60);
  at_risk(move);
  SECTION("behind a write of unknown outcome") {
    move.write_uncertain("bad", 2);
    move.write("bad", 3);
    CHECK(move.eventually([&] { return move.source.find("bad") == 3; }));
  }
  SECTION("and the other side does late what it was asked before") {
    move.source.delay_next(Call::upsert);
    move.write_uncertain("bad", 2);
    REQUIRE(move.eventually([&] { return move.source.delayed() == 1; }));
    move.write("bad", 3);
    CHECK(move.eventually([&] { return move.source.find("bad") == 3; }));
    move.clock.advance(seconds(11));  // the target cannot do the first one any more
    REQUIRE(move.quiet());
    move.linger();
    move.source.land();
    CHECK(move.source.find("bad") == 2);
  }
  SECTION("while the disk does not let its body be read for a moment") {
    move.store->fail_reads(std::string("b\0\0\0\0", 5));
    move.write("bad", 3);
    move.linger();
    CHECK(move.source.find("bad") == 1);
    move.store->fail_reads({});
  }
  SECTION("right before a kill") {
    REQUIRE(move.journal->commit_rows({}));
    move.target.hold(Call::upsert);
    std::thread writing([&] { move.write("bad", 3); });
    CHECK(move.eventually([&] { return move.target.held() == 1; }));
    const auto disk = move.disk();  // its intent, and no outcome
    move.target.release();
    writing.join();
    move.crash(disk);
    move.source.put("bad", 1);  // what that run brought there after the disk was so
    move.start();
  }
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.source.find("bad") == 3; }));
  REQUIRE(move.quiet());
  CHECK(move.source.find("bad") == 3);
  CHECK(move.status().at_risk == 1);  // until a person says otherwise
}

TEST_CASE("H46: a record at risk that is dropped from quarantine closes the way back until it was compared") {
  Move move;
  const uint64_t number = at_risk(move);
  move.write_inside("bad", 3);  // as one that passed while the journal could not be written
  REQUIRE(move.quiet());
  CHECK(move.source.find("bad") == 1);
  REQUIRE(move.run([&] { return move.migration->quarantine_drop(number, {}); }));
  CHECK(says(move.rollback(), "gaps is 1"));
  CHECK(move.primary() == "target");
  move.validate_until_clean();
  REQUIRE(move.rollback());
  CHECK(move.source.find("bad") == 3);
}

TEST_CASE(
    "H46: what the source refused and was dropped from quarantine closes the way back until it was compared") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.eventually([&] { return move.migration->quarantine()->size() == 1; }));
  const uint64_t number = move.migration->quarantine()->front().number;
  REQUIRE(move.run([&] { return move.migration->quarantine_drop(number, {}); }));
  CHECK(says(move.rollback(), "gaps is 1"));
  CHECK(move.primary() == "target");
  CHECK(move.target.find("bad") == 1);
  move.source.refuse("bad", std::nullopt);
  move.validate_until_clean();
  REQUIRE(move.rollback());
  CHECK(move.source.find("bad") == 1);
}

TEST_CASE(
    "H46: nothing in quarantine is tried again or given up while a change of the primary may make it the last copy") {
  Move move;
  move.options.fence_max = seconds(600);
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.eventually([&] { return move.migration->quarantine()->size() == 1; }));
  const uint64_t number = move.migration->quarantine()->front().number;
  move.enter();
  move.aside([&] { return move.migration->promote({"test", "", {"quarantine"}}); });
  REQUIRE(move.eventually([&] { return move.intended(); }));
  // The last write, which the comparison in the fence has to read behind the lanes' end; that keeps the decision away for now.
  move.write_inside("b", 1);
  REQUIRE(move.eventually([&] { return move.target.find("b") == 1; }));
  move.target.hold(Call::read);
  move.leave();
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  CHECK(says(move.migration->quarantine_retry(number, {}), "promote is under way"));
  CHECK(says(move.migration->quarantine_drop(number, {}), "promote is under way"));
  move.target.release();
  REQUIRE(move.ended());
  REQUIRE(move.quiet());
  CHECK(move.status().at_risk == 1);
  CHECK(move.source.find("bad") == 1);
}

TEST_CASE("H46: which records are at risk is known without the disk, which may fail as the primary changes") {
  Move move;
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  auto& quarantine = move.context().mirror.quarantine();
  move.store->fail_reads("");
  quarantine.freeze_others_than(vmproxy::journal::Side::target);  // as the lanes do when they start anew
  move.store->fail_reads({});
  CHECK(quarantine.at_risk("things", vmproxy::model::encode(key_of("bad"))));
  CHECK(move.status().at_risk == 1);
}

TEST_CASE("H22: what was tried again twice before the replica could take it leaves the quarantine once") {
  Move move;
  move.ready();
  move.target.refuse("bad", Error(Code::invalid, "too large"));
  move.write("bad", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.status().quarantined == 1);
  move.target.refuse("bad", std::nullopt);
  move.target.down(Error(Code::refused_connection, "away"));
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
  move.target.down(std::nullopt);
  REQUIRE(move.eventually([&] { return move.target.find("bad") == 1; }));
  REQUIRE(move.quiet());
  CHECK(move.status().quarantined == 0);
  CHECK(move.promote());
}

TEST_CASE("H46: what the source does not let be read holds up no forced promotion, and is at risk after it") {
  Move move;
  move.ready();
  move.source.hide("cold", Error(Code::unavailable, "its partition is released: load it"));
  move.write_inside("cold", 1);
  move.write("good", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.eventually([&] { return move.migration->quarantine()->size() == 1; }));
  const auto number = move.migration->quarantine()->front().number;
  const auto shown = move.migration->quarantine_show(number);
  REQUIRE(shown);
  CHECK(*shown->find("change") == vmproxy::model::Value("unread"));
  CHECK(says(move.promote(), "quarantine"));
  REQUIRE(move.promote({"quarantine"}));
  CHECK(move.status().at_risk == 1);
  CHECK(move.target.find("good") == 1);
  CHECK_FALSE(move.migration->quarantine_retry(number, {}));
  move.linger();
  CHECK(move.source.find("cold") == 1);
}

TEST_CASE("H46: a promotion with changes not applied is refused however it is forced") {
  Move move;
  move.ready();
  move.target.down(Error(Code::refused_connection, "away"));
  move.write("a", 1);
  const auto refused =
      move.promote({"lag", "debts", "gaps", "validation", "backfill", "quarantine", "reads"});
  CHECK_FALSE(refused);
  CHECK(move.primary() == "source");
  move.target.down(std::nullopt);
  REQUIRE(move.quiet());
  CHECK(move.promote());
  CHECK(move.target.find("a") == 1);
}

TEST_CASE("H47: the copy begins only when writes sent before the barrier cannot be executed any more") {
  Move move;
  move.source.caps.max_exec = seconds(60);
  move.source.put("a", 1);
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.eventually([&] { return move.captures(); }));
  move.linger();
  move.clock.advance(seconds(50));
  move.linger();
  CHECK(move.source.calls(Call::plan) == 0);
  CHECK(move.source.calls(Call::scan) == 0);
  move.source.put("late", 1);  // timed out before the barrier, executed now
  REQUIRE(move.reaches("ready"));
  CHECK(move.target.find("late") == 1);
}

TEST_CASE("H62: it is found too on a key that was mirrored in a settle time which a restart has cut short") {
  Move move;
  move.start();
  REQUIRE(move.migration->start("backfilling", {}));
  REQUIRE(move.eventually([&] { return move.captures(); }));
  move.write("a", 2);
  REQUIRE(move.eventually([&] { return move.target.find("a") == 2; }));
  REQUIRE(move.quiet());
  move.clock.advance(seconds(1));  // the journal lets go of it
  move.linger();
  SECTION("killed") {
    move.crash();
  }
  SECTION("stopped") {
    move.migration->close();
    move.migration.reset();
    REQUIRE(move.journal->close());
  }
  move.start();
  move.linger();
  move.source.put("a", 1);  // sent past us before the barrier, executed only now
  REQUIRE(move.reaches([&] {
    const auto state = vmproxy::cutover::load_state(*move.journal);
    return state && state->copied;
  }));
  CHECK(move.eventually([&] { return move.target.find("a") == 1; }));
}

TEST_CASE("H53: an uncertain write does not hold up the promotion; its window is carried over") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  CHECK(move.primary() == "target");
  move.source.put("a", 2);  // the old primary executes it after all
  move.write("b", 1);
  REQUIRE(move.eventually([&] { return move.source.find("b") == 1; }));
  CHECK(move.source.find("a") == 2);
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.source.find("a") == 1; }));  // what the new primary has
  CHECK(move.target.find("a") == 1);
}

TEST_CASE("H53: what it has done by then, and reads may have shown, the new primary has too") {
  Move move;
  move.options.fence_max = seconds(600);
  move.source.put("a", 1);
  move.ready();
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  SECTION("before the change begins") {
    move.source.put("a", 2);  // executed after it was read for the mirror; its window is open
    REQUIRE(move.promote());
  }
  SECTION("while the last writes are waited for") {
    move.enter();
    move.promote_aside();
    REQUIRE(move.eventually([&] { return move.intended(); }));
    move.source.put("a", 2);
    move.leave();
    REQUIRE(move.ended());
  }
  CHECK(move.target.find("a") == 2);
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.source.find("a") == 2);
}

TEST_CASE("H53: however many those are, they are read before the last writes are waited for") {
  constexpr int many = 400;  // more than are read in the fence
  Move move;
  for (int i = 0; i < many; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  for (int i = 0; i < many; ++i) move.write_uncertain("k" + std::to_string(i), 2);
  REQUIRE(move.quiet());
  for (int i = 0; i < many; ++i) move.source.put("k" + std::to_string(i), 2);
  REQUIRE(move.promote());
  int there = 0;
  for (int i = 0; i < many; ++i) there += move.target.find("k" + std::to_string(i)) == 2 ? 1 : 0;
  CHECK(there == many);
}

TEST_CASE(
    "H53: the window of a write of before the promotion asks nothing of the target that a rollback waits for") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  REQUIRE(move.quiet());
  move.target.hide("a", Error(Code::unavailable, "this page cannot be read"));
  REQUIRE(move.rollback());
  CHECK(move.source.find("a") == 1);
}

TEST_CASE("H53: a rollback brings back what an uncertain write of the target has done by then") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  REQUIRE(move.promote());
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  move.target.put("a", 2);
  REQUIRE(move.rollback());
  CHECK(move.source.find("a") == 2);
}

TEST_CASE("H53: a carried window is closed after a crash too") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  REQUIRE(move.promote());
  move.crash();
  move.start();
  move.source.put("a", 2);
  move.clock.advance(seconds(62));
  CHECK(move.eventually([&] { return move.source.find("a") == 1; }));
}

TEST_CASE(
    "H54: a source that makes its own ids cannot take records back, so the promotion is refused with that reason") {
  Move move;
  auto schema = things();
  schema.generated_ids = true;
  move.source.add_collection(schema);
  move.ready();
  const auto refused = move.promote();
  CHECK(says(refused, "reverse"));
  CHECK(says(refused, "things"));
  CHECK(move.primary() == "source");
}

TEST_CASE(
    "H54: what the target took and the source cannot hold is kept at risk, and neither the way back nor its end pass over it") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.refuse("big", Error(Code::invalid, "larger than the source's limit"));
  move.write("big", 1);
  move.write("small", 1);
  REQUIRE(move.eventually([&] { return move.source.find("small") == 1 && move.status().quarantined == 1; }));
  CHECK(says(move.rollback(), "quarantine"));
  CHECK(says(move.run([&] { return move.migration->finalize({}); }), "quarantine"));
  CHECK(move.primary() == "target");
  CHECK(move.target.find("big") == 1);
  SECTION("the application writes it again, within the limit") {
    move.source.refuse("big", std::nullopt);
    move.write("big", 2);
    REQUIRE(move.quiet());
    REQUIRE(move.migration->quarantine_retry(std::nullopt, {}));
    REQUIRE(move.eventually([&] { return move.status().quarantined == 0; }));
    REQUIRE(move.rollback());
    CHECK(move.source.find("big") == 2);
  }
  SECTION("after a restart too") {
    move.crash();
    move.start();
    move.clock.advance(seconds(61));  // replayed, and refused again where that was not durable
    REQUIRE(move.eventually([&] { return move.status().quarantined == 1; }));
    CHECK(says(move.rollback(), "quarantine"));
  }
}

TEST_CASE("H58: no decision while an attempt on the new primary may still land there") {
  Move move;
  move.ready();
  move.target.delay_next(Call::upsert);
  move.write("a", 1);
  REQUIRE(move.eventually([&] { return move.target.find("a") == 1; }));
  move.write("a", 2);
  REQUIRE(move.eventually([&] { return move.target.find("a") == 2; }));
  CHECK_FALSE(move.promote({"debts", "lag"}));
  CHECK(move.primary() == "source");
  move.target.land();
  CHECK(move.target.find("a") == 1);
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.target.find("a") == 2);
  REQUIRE(move.promote());
  CHECK(move.target.find("a") == 2);
}

TEST_CASE("H58: the lanes stand still when it is decided: nothing is on its way to the new primary") {
  Move move;
  move.ready();
  for (int i = 0; i < 50; ++i) move.write("k" + std::to_string(i), i);
  const auto before = move.target.writes();
  REQUIRE(move.promote());
  const auto at_decision = move.target.writes();
  move.linger();
  CHECK(move.target.writes() == at_decision);
  CHECK(at_decision >= before);
  CHECK(move.equal());
}

TEST_CASE(
    "H58: from before the decision on nothing is sent to the new primary, not even what falls due meanwhile") {
  Move move;
  move.options.fence_max = seconds(600);
  move.source.put("a", 1);
  move.ready();
  move.write_uncertain("a", 2);
  REQUIRE(move.quiet());
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  // The last write, which the comparison in the fence has to read; that keeps the decision away for now.
  auto ticket = move.context().mirror.begin_keyed(*move.context().routing.get(), "records.put",
                                                  {"", "things"}, {key_of("b")}, IntentClass::read_back);
  move.source.put("b", 1);
  vmproxy::journal::OutcomeRecord outcome;
  outcome.whole = Outcome::applied;
  move.context().mirror.finish(std::move(ticket), outcome);
  REQUIRE(move.eventually([&] { return move.target.find("b") == 1; }));
  move.target.hold(Call::read);
  move.leave();
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  // Lanes that stand still refuse rows of the copy, too.
  const auto incarnation = move.context().collections.find("things")->plan->source().incarnation;
  std::atomic<bool> stopped{false};
  REQUIRE(move.eventually([&] {
    move.context().mirror.backfill({"", "things"}, incarnation, {record_of("b", 1)}, [&](auto done) {
      stopped = !done && done.error().code == Code::cancelled;
    });
    return stopped.load();
  }));
  const auto before = move.target.writes();
  move.clock.advance(seconds(61));  // the window of a closes: a READ is owed to the target
  REQUIRE(move.eventually([&] { return move.context().mirror.numbers().lag_changes > 0; }));
  move.linger();
  CHECK(move.primary() == "source");
  CHECK(move.target.writes() == before);
  move.target.release();
  REQUIRE(move.ended());
  CHECK(move.primary() == "target");
  move.linger();
  CHECK(move.target.writes() == before);
}

TEST_CASE("H3: a capture gap closes the promotion until a full validation after it is clean") {
  Move move;
  move.ready();
  REQUIRE(move.journal->mark_gap("writes passed while the journal could not be written"));
  move.source.put("unseen", 1);
  CHECK(says(move.promote(), "gaps"));
  vmproxy::cutover::ValidateOptions validate;
  validate.full = false;
  validate.sample_percent = 50;
  REQUIRE(move.migration->validate(validate, {}));
  move.linger();
  CHECK(says(move.promote(), "gaps"));  // a sample proves nothing
  move.validate_until_clean();          // the sample may still be under way when the first one is asked for
  CHECK(move.status().gaps == 0);
  CHECK(move.target.find("unseen") == 1);
  CHECK(move.promote());
}

TEST_CASE(
    "H3: a validation does not vouch for a key that is owed all the while: it is read again, and compared before a promotion") {
  Move move;
  move.source.put("k", 1);
  move.ready();
  move.target.writes_fail(Error(Code::quota, "full"));
  move.write("k", 2);       // its image waits
  move.source.put("k", 3);  // and this one passed while the journal could not be written
  REQUIRE(move.journal->mark_gap("writes passed while the journal could not be written"));
  REQUIRE(move.migration->validate({}, {}));
  // The key is looked at once a second for a minute.
  const auto give_up = std::chrono::steady_clock::now() + seconds(60);
  while (move.status().validation.phase == "running" && std::chrono::steady_clock::now() < give_up) {
    move.clock.advance(milliseconds(100));
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // of polling; nothing relies on its length
  }
  CHECK(move.status().validation.phase == "clean");
  CHECK(move.status().validation.unsettled == 1);
  CHECK(move.eventually([&] { return move.status().gaps == 0; }));  // a moment after the report
  CHECK(move.context().mirror.written().count() > 0);
  move.target.writes_fail(std::nullopt);
  REQUIRE(move.quiet());
  CHECK(move.equal());
  CHECK(move.promote());
}

TEST_CASE(
    "H29: reads that the target could not answer faithfully close the promotion; those it only was late for do not") {
  Move move;
  move.ready();
  move.context().read_counts.to_target();
  move.context().read_counts.returned("stale");
  move.context().read_counts.returned("target_timeout");
  const auto open = [&] {
    for (const auto& gate : move.status().gates) {
      if (gate.name == "reads") return gate.ok;
    }
    return false;
  };
  CHECK(open());
  move.context().read_counts.returned("filter.regex");
  CHECK_FALSE(open());
  CHECK(says(move.promote(), "filter.regex"));
}

TEST_CASE("H29: a validation that compared nothing for lack of a database is not a pass") {
  Move move;
  move.source.put("a", 1);
  move.start();
  REQUIRE(move.migration->start("backfilling", {}));
  REQUIRE(move.reaches("validating"));
  move.target.down(Error(Code::refused_connection, "away"));
  REQUIRE(move.migration->start("ready", {}));
  for (int i = 0; i < 20; ++i) move.linger();
  CHECK(move.status().state == "validating");
  CHECK_FALSE(move.promote());
  move.target.down(std::nullopt);
  CHECK(move.reaches("ready"));
}

TEST_CASE("promoted, written, rolled back, written: nothing acknowledged is lost on the way") {
  Move move;
  for (int i = 0; i < 20; ++i) move.source.put("k" + std::to_string(i), 1);
  move.ready();
  move.write("k0", 2);
  REQUIRE(move.promote());
  move.write("k1", 3);
  move.erase("k2");
  REQUIRE(move.quiet());
  REQUIRE(move.rollback());
  CHECK(move.primary() == "source");
  move.write("k3", 4);
  REQUIRE(move.quiet());
  CHECK(move.equal());
  CHECK(move.source.find("k0") == 2);
  CHECK(move.source.find("k1") == 3);
  CHECK_FALSE(move.source.find("k2"));
  CHECK(move.source.find("k3") == 4);
}

// --- the target holds what is somebody else's

TEST_CASE("a target that holds somebody else's records is refused, and nothing there is touched") {
  Move move;
  move.target.add_collection(things());
  move.target.put("theirs", 7);
  move.source.put("a", 1);
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.eventually([&] { return !move.status().work.problem.empty(); }));
  CHECK(move.status().work.problem.find("1 records that are not of this migration") != std::string::npos);
  CHECK(move.status().state == "created");
  CHECK(move.target.rows().size() == 1);
  SECTION("the operator gives them up") {
    REQUIRE(move.migration->start("ready", {"operator", "", {"target_not_empty"}}));
    REQUIRE(move.reaches("ready"));
    CHECK(move.equal());
  }
  SECTION("they are moved away") {
    move.target.remove("theirs");
    REQUIRE(move.migration->start("ready", {}));
    REQUIRE(move.reaches("ready"));
    CHECK(move.equal());
  }
}

TEST_CASE("a collection created while the mirror runs is not written to what the target has under its name") {
  Move move;
  move.ready();
  move.make_other_where_the_target_has_one();
  CHECK(move.status().lag_changes > 0);
  CHECK(move.eventually(
      [&] { return move.status().mirror.health.find("not of this migration") != std::string::npos; }));
  // The operator gives them up, as the message says.
  REQUIRE(move.migration->start("ready", {"operator", "", {"target_not_empty"}}));
  REQUIRE(move.migration->validate({true, 100, true}, {"operator", "", {}}));
  CHECK(move.eventually([&] { return move.target.rows("other") == move.source.rows("other"); }));
  CHECK(move.quiet());
}

// --- DELTA: what was written lately is compared before the primary changes

TEST_CASE(
    "what the mirror believes to have brought over is compared, and mended, before the primary changes") {
  Move move;
  move.ready();
  move.write("a", 1);
  move.write("b", 1);
  REQUIRE(move.quiet());
  move.target.remove("a");  // somebody, something
  REQUIRE(move.promote());
  CHECK(move.target.find("a") == 1);
  CHECK(move.target.find("b") == 1);
}

TEST_CASE("a record that differs after every repair keeps the old primary") {
  Move move;
  move.ready();
  move.write("a", 1);
  REQUIRE(move.quiet());
  move.target.remove("a");
  move.target.freeze();  // whatever is repaired, it never shows
  const auto promoted = move.promote();
  CHECK(says(promoted, "differ"));
  CHECK_FALSE(promoted);
  CHECK(move.primary() == "source");
}

TEST_CASE("a database that stumbles over a read while a switch is prepared is asked again") {
  Move move;
  move.ready();
  move.write("a", 1);
  REQUIRE(move.quiet());
  move.source.fail(Call::read, Error(Code::unavailable, "error finding id"), 3);
  REQUIRE(move.promote());
  CHECK(move.primary() == "target");
}

TEST_CASE("in the fence the primary is read for the comparison while the replica still catches up") {
  Move move;
  move.options.fence_max = seconds(600);
  move.ready();
  move.enter();
  move.promote_aside();
  REQUIRE(move.eventually([&] { return move.intended(); }));
  auto ticket = move.context().mirror.begin_keyed(*move.context().routing.get(), "records.put",
                                                  {"", "things"}, {key_of("a")}, IntentClass::read_back);
  move.source.put("a", 1);
  move.target.hold(Call::upsert);
  vmproxy::journal::OutcomeRecord outcome;
  outcome.whole = Outcome::applied;
  const auto reads = move.source.calls(Call::read);
  move.context().mirror.finish(std::move(ticket), outcome);
  move.leave();
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  CHECK(move.eventually(
      [&] { return move.source.calls(Call::read) >= reads + 2; }));  // the lane's, and the comparison's
  CHECK(move.primary() == "source");
  move.target.release();
  REQUIRE(move.ended());
  CHECK(move.target.find("a") == 1);
}

TEST_CASE(
    "a rollback waits for a replica that is long behind, not for one that is behind by many changes of a moment") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.hold(Call::upsert);
  for (int i = 0; i < 300; ++i) move.write("k" + std::to_string(i), 1);
  bool long_behind = false;
  SECTION("of a moment") {}
  SECTION("for long") {
    long_behind = true;
  }
  if (long_behind) move.clock.advance(seconds(2));
  std::thread aside([&] { (void)move.migration->rollback({}); });
  if (long_behind) {
    move.linger();
    CHECK_FALSE(move.intended());
  } else {
    CHECK(move.eventually([&] { return move.intended(); }));
  }
  move.source.release();
  CHECK(move.eventually([&] { return move.primary() == "source"; }));
  aside.join();
  CHECK(move.equal());
}

TEST_CASE("keys written before a crash are compared after it") {
  Move move;
  move.ready();
  move.write("a", 1);
  REQUIRE(move.quiet());
  move.crash();
  move.target.hold(Call::read);  // the comparison beside would find it equal, and strike it out
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  REQUIRE(move.context().mirror.written().count() > 0);
  move.target.remove("a");
  move.target.release();
  REQUIRE(move.promote());
  CHECK(move.target.find("a") == 1);
}

// --- the way back when the target is dead

namespace {

// "a" is 2 at the target and that is acknowledged, when a kill comes before the outcome is on the disk.
void killed_behind_an_answer(Move& move) {
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.journal->commit_rows({}));
  move.target.hold(Call::upsert);
  std::thread writing([&] { move.write("a", 2); });
  CHECK(move.eventually([&] { return move.target.held() == 1; }));
  const auto disk = move.disk();  // its intent, and no outcome
  move.target.release();
  writing.join();
  move.crash(disk);
  move.source.put("a", 1);  // what that run brought there after the disk was so
  move.target.down(Error(Code::refused_connection, "dead"));
}

// Found only when all is caught up, so the rollback does not come about. `there`: no more afterwards.
void change_of_collections(Move& move, bool there) {
  vmproxy::journal::Row row{std::string(vmproxy::journal::rows::state), "ddl/things", "a test"};
  if (!there) row.value.reset();
  CHECK(move.journal->commit_rows({row}));
}

}  // namespace

TEST_CASE("with the target dead a rollback brings back everything that was acknowledged") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.down(Error(Code::refused_connection, "restarting"));
  for (int i = 0; i < 20; ++i) move.write("k" + std::to_string(i), i);
  move.linger();
  CHECK(move.source.rows().empty());
  move.target.down(Error(Code::refused_connection, "dead"));
  move.source.down(std::nullopt);
  REQUIRE(move.rollback());
  CHECK(move.primary() == "source");
  for (int i = 0; i < 20; ++i) CHECK(move.source.find("k" + std::to_string(i)) == i);
  CHECK(move.status().state == "mirroring");
  CHECK_FALSE(move.promote());
}

TEST_CASE(
    "C6: what was acknowledged right before a kill is in the journal, and a rollback without the target brings it back") {
  Move move;
  killed_behind_an_answer(move);
  move.start();
  SECTION("in the next run") {}
  SECTION("after another kill") {
    move.linger();
    move.crash();
    move.start();
  }
  move.clock.advance(
      seconds(61));  // attempts of the last run have landed or died, and the window of this write is closed
  move.linger();
  REQUIRE(move.rollback());
  CHECK(move.primary() == "source");
  CHECK(move.source.find("a") == 2);
  CHECK(move.status().at_risk == 0);
}

TEST_CASE(
    "C6: what the journal has of a key stands for each READ of it that falls due while the target is dead") {
  Move move;
  move.source.caps.max_zombie = move.target.caps.max_zombie = seconds(1);
  move.source.caps.max_exec = move.target.caps.max_exec = seconds(20);
  move.options.pre_drain_max = seconds(60);
  killed_behind_an_answer(move);
  move.start();
  move.clock.advance(seconds(2));  // attempts of the last run have landed or died
  move.linger();
  const auto begin = [&] { move.aside([&] { return move.migration->rollback({"test", "", {}}); }); };
  const auto falls_due = [&](seconds time, uint64_t changes) {
    move.clock.advance(time);
    CHECK(move.eventually([&] { return move.context().mirror.numbers().lag_changes == changes; }));
  };
  SECTION("while the source is brought up to date") {
    move.source.hold(Call::upsert);
    begin();
    CHECK(move.eventually([&] { return move.source.held() == 1; }));
    falls_due(seconds(19), 2);
    CHECK_FALSE(move.intended());
    move.source.release();
    REQUIRE(move.ended());
  }
  SECTION("in the fence") {
    move.enter();  // a request that the fence waits for
    begin();
    CHECK(move.eventually([&] { return move.intended(); }));
    CHECK(move.source.find("a") == 2);
    falls_due(seconds(19), 1);
    move.leave();
    REQUIRE(move.ended());
  }
  SECTION("after a rollback that did not come about") {
    move.enter();
    begin();
    CHECK(move.eventually([&] { return move.intended(); }));
    change_of_collections(move, true);
    move.leave();
    CHECK(says(move.ended(), "collections were changed meanwhile"));
    CHECK(move.source.find("a") == 2);
    change_of_collections(move, false);
    SECTION("in this run") {}
    SECTION("in the next one") {
      move.linger();
      move.clock.advance(seconds(1));  // whatever the journal may forget it forgets
      move.linger();
      move.crash();
      move.start();
    }
    falls_due(seconds(25), 1);
    REQUIRE(move.rollback());
  }
  CHECK(move.primary() == "source");
  CHECK(move.source.find("a") == 2);
  CHECK(move.status().at_risk == 0);
  CHECK(move.status().quarantined == 0);
}

TEST_CASE(
    "C6: with the target dead, what it acknowledged while an earlier write of the record was in doubt is on the source") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.down(Error(Code::refused_connection, "restarting"));
  move.target.fail(Call::upsert, Error(Code::timeout, "no answer came"));
  CHECK_THROWS(move.write("a", 2));
  const bool another = GENERATE(true, false);
  const int64_t last = another ? 3 : 2;  // 2: nobody can call either of its ends wrong
  if (another) move.write("a", 3);
  move.target.down(Error(Code::refused_connection, "dead"));
  move.linger();  // what was read before that does not get to the source
  if (GENERATE(false, true)) {
    move.clock.advance(seconds(61));  // it cannot be done any more
    move.linger();
  }
  move.source.down(std::nullopt);
  std::vector<std::string> force;
  if (GENERATE(false, true)) force.emplace_back("unread");  // nothing is given up for it
  REQUIRE(move.rollback(force));
  CHECK(move.source.find("a") == last);
  CHECK(move.status().at_risk == 0);
  CHECK(move.status().quarantined == 0);
  move.target.down(std::nullopt);
  move.target.put("a", 2);
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.target.find("a") == last; }));
}

TEST_CASE("C6: a refusal that the application was told of right before a kill is no write for a rollback") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  move.target.fail(Call::upsert, Error(Code::invalid, "it holds NUL"));
  CHECK_THROWS(move.write("a", 2));
  move.crash();
  move.target.down(Error(Code::refused_connection, "dead"));
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.rollback());
  CHECK(move.source.find("a") == 1);
}

TEST_CASE(
    "H37: while a write without an answer may still be done, nobody reads in a fence what the new primary will lack") {
  Move move;
  move.source.caps.max_zombie = move.target.caps.max_zombie = seconds(60);
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  auto& readers = move.context().read_gate;
  const bool in_doubt = GENERATE(true, false);
  if (in_doubt) {
    move.write_uncertain("a", 2);
    move.write("a", 3);
    REQUIRE(move.eventually([&] { return move.source.find("a") == 3; }));
  }
  move.write("b", 1);
  REQUIRE(move.eventually([&] { return move.source.find("b") == 1; }));
  move.enter();  // the fence waits for it, and reads go on until that has ended
  move.aside([&] { return move.migration->rollback({}); });
  REQUIRE(move.eventually([&] { return move.intended(); }));
  REQUIRE(readers.enter_now());
  readers.leave();
  move.target.hold(Call::read);
  move.leave();
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  const auto closed = [&] {
    if (!readers.enter_now()) return true;
    readers.leave();
    return false;
  };
  if (in_doubt) {
    CHECK(move.eventually(closed));
  } else {
    move.linger();
    CHECK_FALSE(closed());
  }
  std::atomic<bool> by_the_source = false;  // who came meanwhile is answered
  readers.enter([&] {
    by_the_source = move.context().routing.get()->primary == vmproxy::journal::Side::source;
    readers.leave();
  });
  move.target.release();
  REQUIRE(move.ended());
  CHECK(by_the_source == in_doubt);
  CHECK(move.source.find("a") == (in_doubt ? 3 : 1));
  REQUIRE(readers.enter_now());
  readers.leave();
}

TEST_CASE("C6: a refusal that the journal cannot keep is not told as one, and is kept once it can") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.journal->commit_rows({}));
  move.target.hold(Call::upsert);
  auto answer = std::async(std::launch::async, [&] {
    vmproxy::proxy::TargetBackend backend(move.context(), move.context().routing.get(), "records.put",
                                          move.clock.in(seconds(10)));
    return move.dialect.serve(move.dialect.table()[0], put_request({{key_of("a"), record_of("a", 2)}}),
                              backend);
  });
  CHECK(move.eventually([&] { return move.target.held() == 1; }));
  move.target.fail(Call::upsert, Error(Code::invalid, "it holds NUL"));
  move.store->fail_next_commits(1);
  move.target.release();
  const auto refused = answer.get();
  REQUIRE_FALSE(refused);
  CHECK_FALSE(refused.error().surely_not_done());
  CHECK(refused.error().message.find("it holds NUL") != std::string::npos);
  REQUIRE(move.eventually([&] { return !move.journal->failure(); }));
  REQUIRE(move.journal->commit_rows({}));
  move.crash();
  move.target.down(Error(Code::refused_connection, "dead"));
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.rollback());
  CHECK(move.source.find("a") == 1);
}

TEST_CASE(
    "C6: what was written from the journal for a rollback that did not come about is read again when the target is back") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.journal->commit_rows({}));
  move.target.hold(Call::upsert);
  std::thread writing([&] {
    try {
      move.write("a", 2);
    } catch (const std::exception&) {  // the target has not done it
    }
  });
  CHECK(move.eventually([&] { return move.target.held() == 1; }));
  const auto disk = move.disk();
  move.target.fail(Call::upsert, Error(Code::connection_lost, "cut"));
  move.target.release();
  writing.join();
  move.crash(disk);
  move.target.down(Error(Code::refused_connection, "dead"));
  move.start();
  move.clock.advance(seconds(61));
  for (int i = 0; i < 5; ++i) move.linger();  // debts fall due now, not in the middle of the rollback
  move.enter();                               // a request that the fence waits for
  move.aside([&] { return move.migration->rollback({"test", "", {}}); });
  CHECK(move.eventually([&] { return move.intended(); }));
  CHECK(move.source.find("a") == 2);
  const vmproxy::journal::Row change{std::string(vmproxy::journal::rows::state), "ddl/things", "a test"};
  CHECK(move.journal->commit_rows({change}));
  move.leave();
  CHECK(says(move.ended(), "collections were changed meanwhile"));
  bool restarts = false;
  SECTION("in the same run") {}
  SECTION("after a kill") {
    restarts = true;
  }
  if (restarts) {
    move.crash();
    move.start();
  }
  move.target.down(std::nullopt);
  move.clock.advance(seconds(61));
  CHECK(move.eventually([&] { return move.source.find("a") == 1; }));
}

TEST_CASE(
    "keys that only the dead target has are named before a rollback, and kept as at risk when they are given up") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("known", 1);
  REQUIRE(move.quiet());
  move.source.down(Error(Code::refused_connection, "restarting"));
  move.write("journaled", 2);
  move.target.down(Error(Code::refused_connection, "dead"));
  REQUIRE(move.context().mirror.repair({"", "things"}, {key_of("lost")}));
  move.linger();
  move.source.down(std::nullopt);
  const auto refused = move.rollback();
  CHECK(says(refused, "1 keys must be read from it"));
  CHECK(says(refused, "--force unread"));
  CHECK(move.primary() == "target");
  REQUIRE(move.rollback({"unread"}));
  CHECK(move.primary() == "source");
  CHECK(move.source.find("known") == 1);
  CHECK(move.source.find("journaled") == 2);
  CHECK(move.status().at_risk == 1);
  move.context().mirror.forget("things");  // H46: also when the collection began a new life
  CHECK(move.status().at_risk == 1);
}

TEST_CASE(
    "H46: a key that must be read only since a rollback without the target was asked for is not given up unasked") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.source.hold(Call::upsert);
  move.write("journaled", 1);
  REQUIRE(move.eventually([&] { return move.source.held() > 0; }));
  move.target.down(Error(Code::refused_connection, "dead"));
  SECTION("while the source is brought up to date") {
    const auto asked = move.source.calls(Call::describe);
    move.aside([&] { return move.migration->rollback({"test", "", {}}); });
    CHECK(move.eventually(
        [&] { return move.source.calls(Call::describe) > asked; }));  // after the keys were counted
    move.linger();
    move.write_inside("late", 1);
    move.source.release();
  }
  SECTION("in the fence") {
    move.source.release();
    move.enter();  // a request that the fence waits for
    move.aside([&] { return move.migration->rollback({"test", "", {}}); });
    CHECK(move.eventually([&] { return move.intended(); }));
    move.write_inside("late", 1);
    move.leave();
  }
  const auto refused = move.ended();
  CHECK(says(
      refused,
      "nothing changed: the target does not answer: 1 keys must be read from it before the source has their last value:\n  things late"));
  CHECK(says(refused, "--force unread"));
  CHECK(move.primary() == "target");
  CHECK(move.status().quarantined == 0);
  CHECK(move.status().at_risk == 0);
  REQUIRE(move.rollback({"unread"}));
  CHECK(move.primary() == "source");
  CHECK(move.source.find("journaled") == 1);
  CHECK(move.status().at_risk == 1);
}

TEST_CASE(
    "what was given up for a rollback that did not come about is owed again, and the same command can be given again") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.target.down(Error(Code::refused_connection, "dead"));
  move.enter();  // a request that the fence waits for
  move.aside([&] { return move.migration->rollback({"test", "", {"unread"}}); });
  CHECK(move.eventually([&] { return move.intended(); }));
  move.write_inside("lost", 1);
  // A write that hangs on its way to the source: nothing is given up while it does.
  move.source.hold(Call::upsert);
  move.target.down(std::nullopt);
  vmproxy::proxy::TargetBackend backend(move.context(), move.context().routing.get(), "records.put",
                                        move.clock.in(seconds(10)));
  const vmproxy::journal::Image image{key_of("journaled"), record_of("journaled", 2)};
  CHECK(move.dialect.serve(move.dialect.table()[0], put_request({image}), backend).has_value());
  move.target.down(Error(Code::refused_connection, "dead"));
  CHECK(move.eventually([&] { return move.source.held() > 0; }));
  move.leave();
  move.linger();
  // What is only found once all is caught up.
  vmproxy::journal::Row change{std::string(vmproxy::journal::rows::state), "ddl/things", "a test"};
  CHECK(move.journal->commit_rows({change}));
  move.source.release();
  CHECK(says(move.ended(), "collections were changed meanwhile"));
  CHECK(move.primary() == "target");
  CHECK(move.status().quarantined == 0);
  change.value.reset();
  CHECK(move.journal->commit_rows({change}));
  SECTION("while the target is dead") {
    REQUIRE(move.rollback({"unread"}));
    CHECK(move.source.find("journaled") == 2);
    CHECK(move.status().at_risk == 1);
  }
  SECTION("after a crash") {
    move.crash();
    move.start();
    move.clock.advance(seconds(61));
    CHECK(says(move.rollback(), "keys must be read from it"));
    REQUIRE(move.rollback({"unread"}));
    CHECK(move.source.find("journaled") == 2);
    CHECK(move.status().at_risk == 1);
  }
  SECTION("with the target back") {
    move.target.down(std::nullopt);
    REQUIRE(move.eventually([&] { return move.source.find("lost") == 1; }));
    REQUIRE(move.quiet());
    REQUIRE(move.rollback());
    CHECK(move.equal());
    CHECK(move.status().at_risk == 0);
  }
  CHECK(move.primary() == "source");
}

TEST_CASE("H58: with the target dead no decision while an attempt on the source may still land there") {
  Move move;
  move.options.pre_drain_max = seconds(10);
  move.ready();
  REQUIRE(move.promote());
  move.source.delay_next(Call::upsert);
  move.write("a", 1);
  REQUIRE(move.eventually([&] { return move.source.find("a") == 1; }));
  move.write("a", 2);
  REQUIRE(move.eventually([&] { return move.source.find("a") == 2; }));
  REQUIRE(move.source.delayed() == 1);
  move.target.down(Error(Code::refused_connection, "dead"));
  move.aside([&] { return move.migration->rollback({"test", "", {}}); });
  move.linger();
  CHECK(move.primary() == "target");
  CHECK_FALSE(move.intended());  // nobody waits in a fence for it
  move.source.land();
  CHECK(move.source.find("a") == 1);
  move.clock.advance(seconds(61));
  REQUIRE(move.ended());
  CHECK(move.primary() == "source");
  CHECK(move.source.find("a") == 2);  // it outlives what had overwritten it
  CHECK(move.status().at_risk == 0);
  move.write("a", 3);
  move.linger();
  CHECK(move.source.find("a") == 3);
}

TEST_CASE(
    "what was given up for a rollback that a crash cut short is owed again, and the same command can be given again") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.write("a", 1);
  REQUIRE(move.quiet());
  // As the journal has it when the process dies before the change of the primary is decided.
  const auto key = vmproxy::model::encode(key_of("lost"));
  move.context().mirror.quarantine().add_unread("things", key, "only the former primary had this",
                                                vmproxy::journal::Side::target);
  move.linger();
  move.crash();
  move.target.down(Error(Code::refused_connection, "dead"));
  move.start();
  move.clock.advance(seconds(61));
  CHECK(says(move.rollback(), "1 keys must be read from it"));
  REQUIRE(move.rollback({"unread"}));
  CHECK(move.primary() == "source");
  CHECK(move.status().at_risk == 1);
}

TEST_CASE("what could not be read is read after a restart, and nobody has to clear a quarantine for it") {
  Move move;
  move.ready();
  move.source.hide("cold", Error(Code::unavailable, "its partition is released: load it"));
  move.write_inside("cold", 1);
  REQUIRE(move.quiet());
  REQUIRE(move.eventually([&] { return move.status().quarantined == 1; }));
  move.linger();
  move.crash();
  bool hidden = false;
  SECTION("it can be read by then") {
    move.source.hide("cold", std::nullopt);
  }
  SECTION("it cannot") {
    hidden = true;
  }
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.quiet());
  CHECK(move.status().quarantined == (hidden ? 1 : 0));
  CHECK(move.target.find("cold") == (hidden ? std::nullopt : std::optional<int64_t>(1)));
}

TEST_CASE("a READ that hangs at the dead target is counted, waited for outside the fence, and given up") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.target.hold(Call::read);
  REQUIRE(move.context().mirror.repair({"", "things"}, {key_of("lost")}));
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  move.target.down(Error(Code::refused_connection, "dead"));
  CHECK(says(move.rollback(),
             "1 keys must be read from it before the source has their last value:\n  things lost"));
  move.aside([&] { return move.migration->rollback({"test", "", {"unread"}}); });
  move.linger();
  CHECK_FALSE(move.intended());
  move.target.release();
  REQUIRE(move.ended());
  CHECK(move.primary() == "source");
  CHECK(move.status().at_risk == 1);
}

TEST_CASE(
    "while a rollback without the target is under way no READ of it begins, so none can hold up the fence") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.target.down(Error(Code::refused_connection, "dead"));
  move.enter();  // a request that the fence waits for
  move.aside([&] { return move.migration->rollback({"test", "", {"unread"}}); });
  CHECK(move.eventually([&] { return move.intended(); }));
  move.target.hold(Call::read);
  CHECK(move.context().mirror.repair({"", "things"}, {key_of("lost")}));
  move.linger();
  const size_t reading = move.target.held();
  move.leave();
  move.target.release();
  if (reading > 0) move.clock.advance(seconds(61));  // else this test would wait for the fence's deadline
  CHECK(move.ended());
  CHECK(reading == 0);
  CHECK(move.primary() == "source");
  CHECK(move.status().at_risk == 1);
}

TEST_CASE(
    "a write that hangs at a target which never answers is waited for until its own deadline, and then the way back is free") {
  const bool its_turn_came = GENERATE(true, false);
  Move move;
  move.ready();
  REQUIRE(move.promote());
  move.enter();  // it hangs
  move.target.down(its_turn_came ? Error(Code::timeout, "no answer")
                                 : Error(Code::cancelled, "the deadline passed before it was asked"));
  move.aside([&] { return move.migration->rollback({"test", "", {"unread"}}); });
  REQUIRE(move.eventually([&] { return move.intended(); }));
  move.clock.advance(seconds(110));
  move.linger();
  CHECK(move.intended());
  SECTION("it ends by then") {
    move.leave();
    REQUIRE(move.ended());
  }
  SECTION("its client has set a longer one") {
    REQUIRE(move.eventually([&] {
      move.clock.advance(seconds(1));
      return !move.intended();
    }));
    const auto aborted = move.ended();
    CHECK(says(aborted, "nothing changed: 1 writes were still under way after 130000 ms"));
    CHECK(move.primary() == "target");
    move.leave();
    REQUIRE(move.rollback({"unread"}));
  }
  CHECK(move.primary() == "source");
}

TEST_CASE("while the primary cannot be read, what is journaled whole goes on to the replica") {
  Move move;
  move.ready();
  move.source.hold(Call::read);
  REQUIRE(move.context().mirror.repair({"", "things"}, {key_of("stuck")}));
  move.linger();
  move.source.release();
  for (int i = 0; i < 3; ++i) move.source.fail(Call::read, Error(Code::unavailable, "not now"), 1000);
  move.write("a", 5);
  CHECK(move.eventually([&] { return move.target.find("a") == 5; }));
}

TEST_CASE(
    "a full validation that a crash ended goes on as the same pass, and vouches for what had been when it began") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("k" + std::to_string(i), 1);
  move.target.hold(Call::read);
  move.start();
  REQUIRE(move.migration->start("ready", {}));
  REQUIRE(move.reaches("validating"));
  REQUIRE(move.eventually([&] { return move.target.held() > 0; }));
  const auto before = vmproxy::cutover::load_state(*move.journal);
  REQUIRE(before);
  CHECK(before->validating_full);
  const auto disk = move.disk();
  move.crash(disk);
  move.start();
  move.clock.advance(seconds(61));
  REQUIRE(move.reaches("ready"));
  const auto after = vmproxy::cutover::load_state(*move.journal);
  REQUIRE(after);
  CHECK(after->validation_pass == before->validation_pass);
  CHECK_FALSE(after->validating_full);
}

TEST_CASE("I17: finalize is refused while a record is only in the journal, or a gap is open") {
  Move move;
  move.ready();
  REQUIRE(move.promote());
  REQUIRE(move.journal->mark_gap("a test"));
  const auto refused = move.run([&] { return move.migration->finalize({}); });
  CHECK(says(refused, "gaps"));
  CHECK(move.status().state == "promoted");
  CHECK(move.run([&] { return move.migration->finalize({"operator", "", {"gaps"}}); }));
}

TEST_CASE(
    "H20: a collection that is created again while it is copied is copied from its beginning, by itself") {
  Move move;
  for (int i = 0; i < 30; ++i) move.source.put("old" + std::to_string(i), 1);
  move.copy_until_held(move.target, Call::insert_only);
  move.source.recreate("things");
  move.source.put("new", 2);
  REQUIRE(move.context().collections.refresh(move.clock.in(seconds(1))));
  move.target.release();
  REQUIRE(move.reaches("ready"));
  CHECK(move.equal());
}

TEST_CASE("H3: what a scan may not show yet has passed before the comparison that closes its gap begins") {
  Move move;
  move.source.caps.staleness = seconds(3);
  move.source.put("a", 1);
  move.ready();
  move.source.freeze();  // all that it shows from now on
  move.source.put("a", 2);
  move.context().journal.record_gap("a test wrote beside the proxy");
  REQUIRE(move.status().gaps == 1);
  const auto scans = move.source.calls(Call::scan);
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  move.linger();
  move.clock.advance(seconds(1));
  move.linger();
  CHECK(move.source.calls(Call::scan) == scans);
  CHECK(move.status().gaps == 1);
  move.source.thaw();
  move.clock.advance(seconds(2));
  REQUIRE(move.eventually([&] { return move.status().validation.phase != "running"; }));
  move.validate_until_clean();
  CHECK(move.status().gaps == 0);
  CHECK(move.target.find("a") == 2);
}

TEST_CASE("H3: a validation that ends before what opened the gap can have ended does not close it") {
  Move move;
  move.source.put("a", 1);
  move.ready();
  auto& mirror = move.context().mirror;
  const auto routing = move.context().routing.get();
  // A delete by filter whose records could not be listed, and whose answer was lost.
  auto ticket = mirror.begin_broad(*routing, "records.delete_where", {"", "things"}, IntentClass::opaque);
  std::promise<vmproxy::Result<vmproxy::journal::Seq>> written;
  mirror.journal(ticket, {"POST", "/delete_where", {}, "1"},
                 [&written](auto seq) { written.set_value(seq); });
  ticket.seq = written.get_future().get().value();
  vmproxy::journal::OutcomeRecord unknown;
  unknown.whole = Outcome::uncertain;
  mirror.finish(std::move(ticket), unknown);
  REQUIRE(move.eventually([&] { return move.status().gaps == 1; }));
  vmproxy::cutover::ValidateOptions all;
  all.repair = true;
  REQUIRE(move.migration->validate(all, {}));
  move.linger();
  CHECK(move.status().gaps == 1);
  // The source executes it late, within its max_exec of ten seconds. Waiting takes time of this clock, too.
  move.clock.advance(seconds(3));
  move.linger();
  CHECK(move.status().gaps == 1);
  move.source.remove("a");
  move.clock.advance(seconds(8));
  REQUIRE(move.eventually([&] { return move.status().validation.phase != "running"; }));
  move.validate_until_clean();
  CHECK(move.status().gaps == 0);
  CHECK(move.equal());
}
