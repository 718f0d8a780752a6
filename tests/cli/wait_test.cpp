// Waiting: progress, the end, and what ends it early.
#include <catch2/catch.hpp>

#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;

namespace {

cutover::Status copying(cutover::Status s, uint64_t records) {
  s.state = "backfilling";
  s.backfill = {"copying", "", records, 2000, 500, static_cast<double>(2000 - records) / 500};
  return s;
}

}  // namespace

TEST_CASE_METHOD(CliFixture, "start waits up to ready and shows the way there, one line for each news") {
  control.script = {in_state("created"),
                    in_state("created"),
                    in_state("mirroring"),
                    copying(control.answer, 500),
                    copying(control.answer, 1000),
                    in_state("validating"),
                    in_state("ready")};
  CHECK(run({"start"}) == 0);
  CHECK(err ==
        "mirroring\n"
        "[##........] 25 %  500 / 2 000  500/s  3.0 s left\n"
        "comparing: 0 compared, 0 differ\n");
  CHECK_THAT(out, Contains("copied and compared"));
}

TEST_CASE_METHOD(CliFixture, "on a terminal progress is one line that is redrawn and gone at the end") {
  tty = true;
  control.script = {in_state("created"), in_state("created"), copying(control.answer, 500),
                    copying(control.answer, 1000), in_state("ready")};
  CHECK(run({"start"}) == 0);
  CHECK_THAT(err, Contains("\r[##........] 25 %  500 / 2 000  500/s  3.0 s left\x1b[K") &&
                      Contains("\r[#####.....] 50 %"));
  CHECK(err.find('\n') == std::string::npos);
  CHECK_THAT(err, Catch::Matchers::EndsWith("\r\x1b[K"));
}

TEST_CASE_METHOD(CliFixture, "--until ends the waiting earlier, a state beyond is as good") {
  control.script = {in_state("created"), in_state("created"), in_state("mirroring")};
  CHECK(run({"start", "--until", "mirroring"}) == 0);
  control.script = {in_state("canary")};
  CHECK(run({"status", "--wait", "ready"}) == 0);
  CHECK(run({"start"}) == 0);
}

TEST_CASE_METHOD(CliFixture,
                 "work that stopped ends the waiting with its reason and the exit code of its kind") {
  auto failed = in_state("backfilling");
  for (const auto& [code, exit] : {std::pair("corrupt", 1), std::pair("precondition", 3),
                                   std::pair("unsupported", 3), std::pair("unauthenticated", 7)}) {
    failed.work = {"copy: things: the target refused the table", code, false};
    control.script = {in_state("created"), in_state("created"), failed};
    CHECK(run({"start"}) == exit);
    CHECK_THAT(err, Contains("copy: things: the target refused the table") && Contains("vmproxy start"));
  }
}

TEST_CASE_METHOD(CliFixture, "work that waits for a database is waited for, its reason is shown") {
  auto away = copying(control.answer, 500);
  away.work = {"new: connection refused", "refused_connection", true};
  control.script = std::vector<cutover::Status>(200, away);  // a minute
  control.script.push_back(in_state("ready"));
  CHECK(run({"start"}) == 0);
  CHECK_THAT(err, Contains("waiting: new: connection refused\n"));
}

TEST_CASE_METHOD(CliFixture, "a database that was never reached ends the waiting after ten seconds") {
  control.answer.work = {"new: 127.0.0.1:1: connection refused", "refused_connection", true};
  const auto began = clock.now();
  CHECK(run({"start"}) == 6);
  CHECK_THAT(err, Contains("127.0.0.1:1") && Contains("Applications are served by the source as before"));
  CHECK(clock.now() - began >= std::chrono::seconds(10));
  CHECK(clock.now() - began < std::chrono::seconds(12));
}

TEST_CASE_METHOD(CliFixture, "sides that stay different end the waiting with exit code 4") {
  auto different = in_state("validating");
  different.validation = {"different", "", 10, 1, 0, 0};
  auto stopped = different;
  stopped.work = {"validation still finds differences after repair", "precondition", false};
  control.script = {in_state("created"), different, different, different,
                    different,           different, different, stopped};
  CHECK(run({"start"}) == 4);
  CHECK_THAT(err, Contains("vmproxy validate --show-diffs"));
}

TEST_CASE_METHOD(CliFixture, "what will never come is not waited for") {
  control.answer = in_state("abandoned");
  CHECK(run({"status", "--wait", "ready"}) == 3);
  CHECK(run({"status", "--wait", "abandoned"}) == 0);
  control.answer = in_state("finalized");
  CHECK(run({"status", "--wait", "promoted"}) == 0);
  CHECK(run({"status", "--wait", "abandoned"}) == 3);
}

TEST_CASE_METHOD(CliFixture, "a proxy that restarts is waited for, one that stays away is not") {
  control.answer = in_state("backfilling");
  int pauses = 0;
  at_pause = [&] {
    ++pauses;
    if (pauses == 2) transport_error = Error(Code::refused_connection, "refused");
    if (pauses == 60) transport_error.reset();  // 18 s later
    if (pauses == 62) control.answer = in_state("ready");
  };
  CHECK(run({"status", "--wait", "ready"}) == 0);
  CHECK_THAT(err, Contains("no answer from http://127.0.0.1:7070; trying again\n"));
  control.answer = in_state("backfilling");
  at_pause = [&] { transport_error = Error(Code::refused_connection, "refused"); };
  const auto began = clock.now();
  CHECK(run({"status", "--wait", "ready"}) == 6);
  CHECK(clock.now() - began >= std::chrono::seconds(30));
  CHECK(clock.now() - began < std::chrono::seconds(35));
}

TEST_CASE_METHOD(CliFixture, "a wrong token ends the waiting at once") {
  control.answer = in_state("backfilling");
  at_pause = [this] { server_token = "other"; };
  CHECK(run({"status", "--wait", "ready"}) == 7);
}

TEST_CASE_METHOD(CliFixture, "validate waits for its pass") {
  auto running = in_state("ready");
  running.validation.phase = "running";
  auto clean = in_state("ready");
  clean.validation = {"clean", "", 2000, 0, 0, 0};
  control.script = {running, running, running, clean};
  CHECK(run({"validate"}) == 0);
  CHECK(out == "2 000 compared: 0 different, 0 missing, 0 extra\n");
}

TEST_CASE_METHOD(CliFixture, "validate takes no other comparison's end for that of its own") {
  auto running = in_state("ready");
  running.validation.phase = "running";
  running.validation.request = 3;
  auto end = in_state("ready");
  end.validation = {"clean", "", 0, 0, 0, 0};
  SECTION("vmproxy was started again once it had ended") {}
  SECTION("somebody asked for another one") {
    end.validation.request = 4;
  }
  control.script = {running, running, running, running, running, end};
  CHECK(run({"validate"}) == 1);
  CHECK(out.empty());
  CHECK_THAT(err, Contains("what it found is not known any more") && Contains("vmproxy validate"));
}

TEST_CASE_METHOD(CliFixture,
                 "validate ends when the work that should compare has stopped, not while it tries again") {
  auto running = in_state("validating");
  running.validation.phase = "running";
  auto away = running;
  away.work = {"the source does not answer", "refused_connection", true};
  auto stopped = running;
  stopped.work = {"'things' on the target holds 3 records", "precondition", false};
  control.script = {running, running, away, away, stopped};
  CHECK(run({"validate"}) == 3);
  CHECK_THAT(err, Contains("holds 3 records"));
}

TEST_CASE_METHOD(CliFixture, "watching goes on while the proxy is away") {
  int pauses = 0;
  at_pause = [&] {
    ++pauses;
    if (pauses == 1) transport_error = Error(Code::refused_connection, "refused");
    if (pauses == 2) transport_error.reset();
    if (pauses == 3) interrupted = true;
  };
  CHECK(run({"status", "--watch"}) == 130);
  CHECK_THAT(err, Contains("no vmproxy answers"));
  size_t screens = 0;
  for (size_t at = out.find("NOT READY"); at != std::string::npos; at = out.find("NOT READY", at + 1))
    ++screens;
  CHECK(screens == 2);
}
