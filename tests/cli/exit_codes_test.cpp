// One test for each exit code of contract.md.
#include <catch2/catch.hpp>

#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;
using vmproxy::testing::TemporaryFile;

TEST_CASE_METHOD(CliFixture, "exit code 0: the command did what it says") {
  CHECK(run({"status"}) == 0);
  CHECK(run({"version"}) == 0);
  CHECK(out == "vmproxy 0.1.0\n");
  CHECK(run({"--help"}) == 0);
  CHECK(run({"cutover", "--percent", "10"}) == 0);
}

TEST_CASE_METHOD(CliFixture, "exit code 1: an error of the proxy, its disk or its configuration") {
  control.fail_with(Error(Code::io, "no space left on device"));
  CHECK(run({"rollback"}) == 1);
  CHECK_THAT(err, Contains("vmproxy: no space left on device"));
  const TemporaryFile broken("jurnal: {}\n");
  CHECK(run({"config", "validate", "-c", broken.path.string()}) == 1);
  CHECK_THAT(err, Contains(broken.path.string() + ":1:1: unknown key 'jurnal'; did you mean 'journal'?"));
}

TEST_CASE_METHOD(CliFixture, "exit code 2: the command line is wrong") {
  CHECK(run({"cutover", "--percent", "ten"}) == 2);
  CHECK(err == "vmproxy: --percent must be a number from 0 to 100, not 'ten'\nSee: vmproxy cutover --help\n");
  CHECK(run({"nonsense"}) == 2);
  CHECK(run({}) == 2);
  CHECK(run({"status", "nothere"}) == 2);
  CHECK(run({"status", "-c", "/does/not/exist.yaml"}) == 2);
  CHECK(out.empty());
}

TEST_CASE_METHOD(CliFixture, "exit code 3: a gate does not allow it, and is named with what clears it") {
  control.answer.gates = {{"lag", true, "0", "5 s", ""},
                          {"gaps", false, "2", "none", "vmproxy validate --full --repair"}};
  control.fail_with(Error(Code::precondition, "cannot promote: 1 gate is closed"));
  CHECK(run({"promote", "--yes"}) == 3);
  CHECK(err ==
        "vmproxy: cannot promote: 1 gate is closed\n"
        "  gate gaps: is 2, must be none\n"
        "    clear it with: vmproxy validate --full --repair\n");
}

TEST_CASE_METHOD(CliFixture, "exit code 4: the two sides differ") {
  control.answer.validation = {"different", "", 100, 1, 2, 3};
  CHECK(run({"validate"}) == 4);
  CHECK(out == "100 compared: 1 different, 2 missing, 3 extra\n");
  CHECK_THAT(err, Contains("the two sides differ"));
  control.answer.validation = {"clean", "", 100, 0, 0, 0};
  CHECK(run({"validate"}) == 0);
}

TEST_CASE_METHOD(CliFixture, "exit code 5: not within the time") {
  control.answer = in_state("backfilling");
  CHECK(run({"status", "--wait", "ready", "--timeout", "5s"}) == 5);
  CHECK_THAT(err, Contains("not ready after 5.0 s"));
  transport_error = Error(Code::timeout, "30 s");
  CHECK(run({"promote", "--yes"}) == 5);
}

TEST_CASE_METHOD(CliFixture, "exit code 6: no vmproxy, or no database, can be reached") {
  transport_error = Error(Code::refused_connection, "127.0.0.1:7070: connection refused");
  CHECK(run({"status"}) == 6);
  CHECK_THAT(err,
             Contains("no vmproxy answers at http://127.0.0.1:7070: 127.0.0.1:7070: connection refused"));
  transport_error.reset();
  control.fail_with(Error(Code::refused_connection, "new: 127.0.0.1:1: connection refused"));
  CHECK(run({"start", "--no-wait"}) == 6);
  control.succeed();
  auto away = in_state("ready");
  away.validation.phase = "failed";
  away.validation.reason = "target: connection refused";
  auto told = away;  // a moment later
  told.work = {"validation: target: connection refused", "refused_connection", false};
  control.script = {away, away, away, told};
  CHECK(run({"validate"}) == 6);
  CHECK_THAT(err, Contains("the comparison failed: target: connection refused"));
  told.work.code = "corrupt";
  control.script = {told};
  CHECK(run({"validate"}) == 1);
}

TEST_CASE_METHOD(CliFixture, "exit code 7: refused by policy") {
  CHECK(run({"finalize"}) == 7);
  CHECK(control.calls().empty());
  server_token = "right";
  CHECK(run({"status", "--token", "wrong"}) == 7);
  CHECK(run({"status"}) == 7);
  CHECK(run({"status", "--token", "right"}) == 0);
}

TEST_CASE_METHOD(CliFixture, "exit code 130: interrupted, and the work goes on") {
  control.answer = in_state("backfilling");
  at_pause = [this] { interrupted = true; };
  CHECK(run({"start"}) == 130);
  CHECK_THAT(err, Contains("the work itself goes on"));
  CHECK(control.calls().size() == 1);
  interrupted = false;
  CHECK(run({"status", "--watch"}) == 130);
}
