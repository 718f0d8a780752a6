// The screen that answers the five questions.
#include <catch2/catch.hpp>

#include "cli/format.h"
#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;

namespace {

void ready(cutover::Status& s) {
  s.name = "products";
  s.state = "ready";
  s.verdict = "READY TO SWITCH";
  s.source = "old (chrome)";
  s.target = "new (pgtor)";
  s.mirror.writes = 1204331;
  s.backfill = {"done", "", 4466810, 4466810, 0, -1};
  s.validation = {"clean", "", 4466810, 0, 0, 0};
  s.reads.to_source = 1000;
  s.next = "vmproxy cutover --percent 10";
  s.back = "vmproxy abandon";
}

}  // namespace

TEST_CASE_METHOD(CliFixture, "the screen of a migration that may be switched") {
  ready(control.answer);
  CHECK(run({"status"}) == 0);
  CHECK(out ==
        "READY TO SWITCH   products   old (chrome) -> new (pgtor)\n"
        "  data safe   yes, on both sides\n"
        "  how far     copied and compared; reads and writes are on the source\n"
        "  how long    nothing left to wait for\n"
        "  may switch  yes\n"
        "  go back     vmproxy abandon\n"
        "├── ● mirror    1 204 331 writes, 0 pending, 0 failed\n"
        "├── ✓ backfill  4 466 810 records copied\n"
        "├── ✓ validate  0 of 4 466 810 differ\n"
        "├── · reads     0 % to the target; 0 of 1 000 served there\n"
        "└── · writes    on the source\n"
        "next: vmproxy cutover --percent 10\n");
}

TEST_CASE_METHOD(CliFixture, "what the target could not hold is told, the first fields by name") {
  ready(control.answer);
  control.answer.lost_fields = {{"things.metadata.color: null", 15}, {"things.metadata.size: null", 1}};
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("lost on the target: things.metadata.color: null of 15 records,\n"
                           "  things.metadata.size: null of 1 record\n"));
  control.answer.lost_fields.push_back({"a.b: null", 1});
  control.answer.lost_fields.push_back({"others", 7});
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains(", and of 1 field\n  more (-o json)"));
  CHECK(run({"status", "-o", "json"}) == 0);
  CHECK(json()["lost_fields"].as_object()["things.metadata.color: null"] == 15);
  CHECK(json()["lost_fields"].as_object()["others"] == 7);
}

TEST_CASE_METHOD(CliFixture, "what the source has dropped and the target still has is told by name") {
  ready(control.answer);
  control.answer.left_behind = {"a", "b", "c"};
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("still on the target, dropped on the source: a, b, c\n"));
  control.answer.left_behind.push_back("d");
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("a, b, c, and 1 more (-o json)"));
}

TEST_CASE_METHOD(CliFixture, "without UTF-8 the screen is ASCII") {
  ready(control.answer);
  unicode = false;
  CHECK(run({"status"}) == 0);
  for (const char c : out) CHECK(static_cast<unsigned char>(c) < 0x80);
  CHECK_THAT(out, Contains("|-- + backfill") && Contains("`-- . writes"));
}

TEST_CASE_METHOD(CliFixture, "a closed gate is the answer to 'may I switch', with what clears it") {
  ready(control.answer);
  control.answer.verdict = "NOT READY: gaps is 2, must be none";
  control.answer.gaps = 2;
  control.answer.gates = {{"lag", true, "0", "5 s", ""},
                          {"gaps", false, "2", "none", "vmproxy validate --full --repair"}};
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("may switch  no: gaps is 2, must be none -> vmproxy validate --full --repair"));
  CHECK_THAT(out, Contains("data safe   yes, on the source; but 2 gaps: writes may be missing on the\n       "
                           "       target\n"));
}

TEST_CASE_METHOD(CliFixture, "what is owed, refused or at risk shows in 'is my data safe'") {
  ready(control.answer);
  const auto safe_line = [this] {
    CHECK(run({"status"}) == 0);
    const size_t at = out.find("data safe");
    return out.substr(at + 12, out.find("\n  how far") - at - 12);
  };
  control.answer.lag_changes = 12;
  control.answer.lag_seconds = 0.4;
  CHECK(safe_line() ==
        "yes, on the source; 12 changes on the way to the target (0.4 s\n              behind)");
  control.answer.mirror.health = "target is down: connection refused";
  CHECK_THAT(safe_line(), Contains("the target: target is down"));
  control.answer.quarantined = 1;
  CHECK_THAT(safe_line(), Contains("the target lacks 1 change (vmproxy quarantine\n              list)"));
  control.answer.at_risk = 3;
  CHECK_THAT(safe_line(), Contains("look: 3 records of a forced switch"));
  control.answer.state = "promoted";
  control.answer.primary = "target";
  control.answer.at_risk = 0;
  CHECK_THAT(safe_line(), Contains("yes, on the target; the source lacks 1 change"));
}

TEST_CASE_METHOD(CliFixture, "what the work waits for is the answer to 'how far'") {
  control.answer.work = {"new: connection refused", "refused_connection", true};
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("  how far     waiting: new: connection refused\n"));
  control.answer.work.retrying = false;
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("  how far     stopped: new: connection refused\n"));
}

TEST_CASE_METHOD(CliFixture, "every state has a screen of at most 80 columns") {
  ready(control.answer);
  control.answer.source = "an-old-database-with-quite-a-name (chrome)";
  control.answer.target = "a-new-database-with-quite-a-name (pgtor)";
  control.answer.rolled_back_at = "2026-01-01T00:00:00Z";
  control.answer.rolled_back_reason =
      "answers were slow and nobody could say why on that Friday afternoon in winter";
  control.answer.gates = {{"quarantine", false, "12 changes that the target refused for good", "none at all",
                           "vmproxy quarantine retry"}};
  for (const auto& state : cli::states()) {
    for (const char* phase :
         {"none", "barrier", "settling", "copying", "indexing", "paused", "failed", "done", ""}) {
      control.answer.state = state;
      control.answer.verdict =
          "NOT READY: a long reason that says what it is and where, and goes on for more than one line of "
          "text";
      control.answer.backfill = {
          phase, "a reason that is rather long and explains what happened in the other database",
          5,     4466810,
          12345, 3600};
      control.answer.validation = {"different", "", 4466810, 123456, 123456, 123456};
      control.answer.last_pause_seconds = 0.18;
      control.answer.lost_fields = {
          {"a collection with a long name.metadata.and a field with one: null", 4466810},
          {"another collection.metadata.colour: null", 1},
          {"a third.metadata.colour: null", 1},
          {"others", 12}};
      CHECK(run({"status"}) == 0);
      for (size_t at = 0; at < out.size();) {
        const size_t end = out.find('\n', at);
        INFO(state << ' ' << phase << ": " << out.substr(at, end - at));
        CHECK(cli::columns(std::string_view(out).substr(at, end - at)) <= 80);
        at = end + 1;
      }
    }
  }
}

TEST_CASE_METHOD(CliFixture, "colour only for people who want it") {
  ready(control.answer);
  CHECK(run({"status"}) == 0);
  CHECK(out.find('\x1b') == std::string::npos);
  tty = true;
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Catch::Matchers::StartsWith("\x1b[1;32mREADY TO SWITCH\x1b[0m"));
}

TEST_CASE("figures are short and never promise too much") {
  CHECK(cli::grouped(0) == "0");
  CHECK(cli::grouped(999) == "999");
  CHECK(cli::grouped(1000) == "1 000");
  CHECK(cli::grouped(4466810) == "4 466 810");
  CHECK(cli::short_duration(0) == "0.0 s");
  CHECK(cli::short_duration(0.0041) == "4 ms");
  CHECK(cli::short_duration(0.00001) == "1 ms");
  CHECK(cli::short_duration(0.19) == "0.2 s");
  CHECK(cli::short_duration(42.4) == "42 s");
  CHECK(cli::short_duration(569) == "9 m 29 s");
  CHECK(cli::short_duration(11100) == "3 h 05 m");
  CHECK(cli::short_duration(4 * 86400) == "4 days");
  CHECK(cli::short_duration(-1) == "?");
  CHECK(cli::percent(12.5) == "12.5 %");
  CHECK(cli::percent(100) == "100 %");
  CHECK(cli::bar(0.999, 10) == "[#########.]");
  CHECK(cli::bar(1, 10) == "[##########]");
  CHECK(cli::bytes(1536) == "1.5 KiB");
  CHECK(cli::wrap("a bb ccc", 4, 1) == "a bb\n ccc");
  CHECK(cli::cut("äöüäöü", 5) == "äö...");
}
