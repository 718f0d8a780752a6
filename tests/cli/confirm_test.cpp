// Destructive commands ask a person, and refuse where nobody can answer.
#include <catch2/catch.hpp>

#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;

TEST_CASE_METHOD(CliFixture, "without a terminal and without --yes nothing is changed") {
  typed = "m\nyes\n7\n";
  for (const auto& words :
       {std::vector<std::string>{"promote"}, {"finalize"}, {"abandon"}, {"quarantine", "drop", "7"}}) {
    CHECK(run(words) == 7);
    CHECK_THAT(err, Contains("nobody can answer here; nothing was changed\n  Say so beforehand with --yes"));
    CHECK(out.empty());
  }
  CHECK(control.calls().empty());
}

TEST_CASE_METHOD(CliFixture, "on a terminal the consequence is told and the exact word is needed") {
  tty = true;
  const std::vector<std::tuple<std::vector<std::string>, std::string, std::string>> cases{
      {{"promote"}, "yes", "Writes go to new (b) from now on, and old (a) becomes the mirror."},
      {{"finalize"}, "m", "THE WAY BACK CLOSES"},
      {{"abandon"}, "m", "The migration ends with old (a) as home."},
      {{"quarantine", "drop", "7"}, "7", "Change 7 is given up"},
  };
  for (const auto& [words, answer, consequence] : cases) {
    for (const std::string& wrong :
         {std::string(), std::string("\n"), std::string("y\n"), answer + "x\n", "no\n" + answer + "\n"}) {
      typed = wrong;
      CHECK(run(words) == 7);
      CHECK_THAT(err, Contains(consequence) && Contains("Type '" + answer + "' to go on:") &&
                          Contains("nothing was changed"));
    }
  }
  CHECK(control.calls().empty());
  for (const auto& [words, answer, consequence] : cases) {
    typed = answer + "\n";
    CHECK(run(words) == 0);
  }
  CHECK(control.calls().size() == cases.size());
}

TEST_CASE_METHOD(CliFixture, "rollback never asks: it is the way out of trouble") {
  tty = true;
  CHECK(run({"rollback"}) == 0);
  CHECK(err.find("Type") == std::string::npos);
  tty = false;
  CHECK(run({"rollback"}) == 0);
  CHECK(control.calls().size() == 2);
}
