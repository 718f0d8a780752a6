// The model's own parts: that a path is the same each time, what a crash leaves of the journal, that what is found can
// be played again, and that the rules' table and the code name the same rules. This file is compiled as the product is.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "base/log.h"
#include "base/rule.h"
#include "tests/model/inline_journal.h"
#include "tests/model/rules.h"
#include "tests/model/search.h"
#include "tests/model/world.h"
#include "tests/store/print_result.h"

namespace vmproxy::model_check {
namespace {

// In the product a rule is no question: neither its name nor a branch is left.
static_assert(VMPROXY_RULE("whatever"));
constexpr bool a_rule_is_a_constant = VMPROXY_RULE("whatever");

std::vector<Step> some_path(const Scenario& scenario, uint64_t seed, size_t length) {
  std::mt19937_64 random(seed);
  std::vector<Step> path;
  World world(scenario);
  (void)world.play({}, [&](const World::View& view) -> std::optional<Step> {
    if (view.next.empty() || path.size() == length) return std::nullopt;
    path.push_back(view.next[random() % view.next.size()]);
    return path.back();
  });
  return path;
}

struct Quiet {
  Quiet() { log::configure("none", "text"); }
};

// Rules named in the C++ files under `folder`.
std::set<std::string> named_under(const std::string& folder) {
  std::set<std::string> names;
  const std::string mark = "VMPROXY_RULE(\"";
  for (const auto& file : std::filesystem::directory_iterator(std::string(VMPROXY_SOURCES) + "/" + folder)) {
    if (file.path().extension() != ".cpp" || file.path().filename() == "model_test.cpp") continue;
    std::ifstream in(file.path());
    std::stringstream text;
    text << in.rdbuf();
    const std::string code = text.str();
    for (size_t at = code.find(mark); at != std::string::npos; at = code.find(mark, at + 1)) {
      const size_t begin = at + mark.size();
      names.insert(code.substr(begin, code.find('"', begin) - begin));
    }
  }
  return names;
}

TEST_CASE("a path leads to the same state however it is played") {
  const Quiet quiet;
  CHECK(a_rule_is_a_constant);
  for (const auto& scenario : walked_scenarios()) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const auto path = some_path(scenario, seed, 40);
      World one(scenario), other(scenario);
      const auto at_once = one.play(path);
      size_t at = 0;
      const auto step_by_step = other.play({}, [&](const World::View&) -> std::optional<Step> {
        return at < path.size() ? std::optional(path[at++]) : std::nullopt;
      });
      CHECK(at_once.digest == step_by_step.digest);
      CHECK(at_once.next == step_by_step.next);
      CHECK(at_once.wrong.empty());
    }
  }
}

TEST_CASE("a crash keeps a beginning of what the journal had not synced, and all that it had") {
  InlineJournal journal;
  REQUIRE(journal.commit_rows({{"t", "synced", "1"}}));
  journal.put_rows({{"t", "first", "1"}}, nullptr);
  journal.put_rows({{"t", "second", "1"}}, nullptr);
  journal.crash(1);
  CHECK(journal.row("t", "synced").value().has_value());
  CHECK(journal.row("t", "first").value().has_value());
  CHECK_FALSE(journal.row("t", "second").value().has_value());
}

TEST_CASE("what a search finds without a rule is a path to a violation, and there is none with the rule") {
  const Quiet quiet;
  for (const auto& rule : rules()) {
    if (std::string(rule.name) != "uncertain.read-again" && std::string(rule.name) != "copy.touched")
      continue;
    INFO(rule.name);
    take_away(rule.name);
    const Found found = search(rule.scenario, Limits());
    take_away(nullptr);
    CHECK_FALSE(found.violation.empty());
    CHECK_FALSE(found.trace.empty());
    const Found with_it = search(rule.scenario, Limits());
    CHECK(with_it.violation.empty());
    CHECK(with_it.exhausted);
  }
}

TEST_CASE("a walk finds a violation too, and shortens the way to it") {
  const Quiet quiet;
  take_away("overlap.earlier");
  const Found found = walk({.name = "writes", .kinds = "i", .writes = 4, .at_once = 3}, 1'000, 1);
  take_away(nullptr);
  CHECK_FALSE(found.violation.empty());
  CHECK(found.trace.size() < 15);
}

TEST_CASE("the rules of the table are those that the code names") {
  const auto in_product = named_under("proxy"), by_hand = named_under("tests/model");
  std::set<std::string> listed;
  for (const auto& rule : rules()) {
    INFO(rule.name);
    CHECK(listed.insert(rule.name).second);
    CHECK((rule.by_hand ? by_hand : in_product).contains(rule.name));
    if (rule.covered_by != nullptr)
      CHECK((by_hand.contains(rule.covered_by) || in_product.contains(rule.covered_by)));
  }
  for (const auto* names : {&in_product, &by_hand}) {
    for (const auto& name : *names) {
      INFO(name);
      CHECK(listed.contains(name));
    }
  }
}

}  // namespace
}  // namespace vmproxy::model_check
