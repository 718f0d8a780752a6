// The words of the command line.
#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "cli/examples.h"
#include "cli/options.h"

using namespace vmproxy;
using Catch::Matchers::Contains;

namespace {

cli::Options good(const std::vector<std::string>& words) {
  auto parsed = cli::parse(words, {"a", "b"});
  INFO(parsed.text);
  REQUIRE(parsed.options);
  return *parsed.options;
}
std::string bad(const std::vector<std::string>& words) {
  auto parsed = cli::parse(words, {"a", "b"});
  REQUIRE_FALSE(parsed.options);
  REQUIRE_FALSE(parsed.is_help);
  return parsed.text;
}

const std::vector<std::string> all_commands{"serve",
                                            "check",
                                            "discover",
                                            "start",
                                            "status",
                                            "backfill pause",
                                            "backfill resume",
                                            "backfill throttle",
                                            "validate",
                                            "cutover",
                                            "promote",
                                            "rollback",
                                            "finalize",
                                            "abandon",
                                            "quarantine list",
                                            "quarantine show",
                                            "quarantine retry",
                                            "quarantine drop",
                                            "journal stats",
                                            "journal verify",
                                            "config validate",
                                            "from",
                                            "debug faults",
                                            "version"};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

size_t widest_line(const std::string& text) {
  size_t widest = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    widest = std::max(widest, end - at);
    at = end + 1;
  }
  return widest;
}

}  // namespace

TEST_CASE("common options may stand before or after the command") {
  for (const auto& words : {std::vector<std::string>{"-c", "f.yaml", "--admin", "http://h:1", "--token", "t",
                                                     "-o", "json", "-m", "x", "status"},
                            std::vector<std::string>{"status", "-c", "f.yaml", "--admin", "http://h:1",
                                                     "--token", "t", "-o", "json", "-m", "x"},
                            std::vector<std::string>{"-cf.yaml", "status", "--admin=http://h:1", "--token=t",
                                                     "--output=json", "--migration=x"}}) {
    const auto options = good(words);
    CHECK(options.command == "status");
    CHECK(options.config_file == "f.yaml");
    CHECK(options.admin_url == "http://h:1");
    CHECK(options.token == "t");
    CHECK(options.json);
    CHECK(options.migration == "x");
  }
}

TEST_CASE("the migration may be named by position") {
  CHECK(good({"status", "orders"}).migration == "orders");
  CHECK(good({"promote", "orders", "--yes"}).migration == "orders");
  CHECK(good({"backfill", "pause", "orders"}).migration == "orders");
  CHECK(good({"status"}).migration.empty());
}

TEST_CASE("every command of the contract is read with its options") {
  CHECK(good({"serve", "-c", "f"}).command == "serve");
  CHECK(good({"start"}).until == "ready");
  CHECK(good({"start", "--until", "mirroring", "--no-wait"}).no_wait);
  CHECK(good({"start", "--timeout", "10m"}).timeout == Duration(std::chrono::minutes(10)));
  CHECK(good({"status", "--watch"}).watch);
  CHECK(good({"status", "--wait=ready", "--timeout=30s"}).wait_state == "ready");
  CHECK(good({"backfill", "pause"}).command == "backfill pause");
  CHECK(good({"backfill", "throttle", "2000"}).rate == 2000);
  CHECK(good({"validate", "--full", "--repair", "--show-diffs"}).repair);
  CHECK(good({"validate", "--sample", "2.5"}).sample == 2.5);
  CHECK(good({"cutover", "--percent", "12.5"}).percent == 12.5);
  CHECK(good({"promote", "--force", "lag,gaps", "--force", "quarantine"}).force ==
        std::vector<std::string>{"lag", "gaps", "quarantine"});
  CHECK(good({"rollback", "--yes", "--reason", "slow answers"}).reason == "slow answers");
  CHECK(good({"finalize", "-y"}).yes);
  CHECK(good({"quarantine", "show", "7"}).number == 7u);
  CHECK_FALSE(good({"quarantine", "retry"}).number);
  CHECK(good({"quarantine", "drop", "7", "--yes"}).yes);
  CHECK(good({"journal", "verify"}).command == "journal verify");
  CHECK(good({"config", "validate"}).command == "config validate");
  CHECK(good({"version"}).command == "version");
  CHECK(good({"discover", "a", "--url", "u"}).url == "u");
  const auto from = good({"from", "a", "--url", "u1", "--to", "b", "--url", "u2", "--collection", "x",
                          "--collection", "y*", "--dry-run"});
  CHECK(from.system == "a");
  CHECK(from.url == "u1");
  CHECK(from.to_system == "b");
  CHECK(from.to_url == "u2");
  CHECK(from.collections == std::vector<std::string>{"x", "y*"});
  CHECK(from.dry_run);
}

TEST_CASE("a wrong word is answered with the nearest right one") {
  CHECK(bad({"stauts"}) == "unknown command 'stauts'; did you mean 'status'?\nSee: vmproxy --help");
  CHECK(bad({"-c", "f", "promot"}) ==
        "unknown command 'promot'; did you mean 'promote'?\nSee: vmproxy --help");
  CHECK(bad({"backfill", "paus"}) ==
        "unknown command 'paus'; did you mean 'pause'?\nSee: vmproxy backfill --help");
  CHECK(bad({"cutover", "--percnt", "10"}) ==
        "unknown option --percnt; did you mean --percent?\nSee: vmproxy cutover --help");
  CHECK(bad({"status", "--no-such-option"}) == "unknown option --no-such-option\nSee: vmproxy status --help");
  CHECK(bad({"status", "--wtach"}) ==
        "unknown option --wtach; did you mean --watch?\nSee: vmproxy status --help");
  CHECK_THAT(bad({"frobnicate"}), Contains("unknown command 'frobnicate'; known are serve, check"));
  CHECK_THAT(bad({"status", "m", "n"}), Contains("unexpected 'n'"));
  CHECK_THAT(bad({"status", "--wait", "redy"}), Contains("not 'redy'; did you mean ready?"));
}

TEST_CASE("a wrong value says what would be right") {
  CHECK_THAT(bad({"cutover"}), Contains("--percent must be a number from 0 to 100\n"));
  for (const char* value : {"101", "-1", "", "1e2", "ten"})
    CHECK_THAT(bad({"cutover", std::string("--percent=") + value}), Contains("--percent"));
  CHECK_THAT(bad({"start", "--until", "done"}),
             Contains("--until must be mirroring, backfilling or ready, not 'done'"));
  CHECK_THAT(bad({"start", "--timeout", "10"}),
             Contains("--timeout must be a duration like 30s or 10m, not '10'"));
  CHECK_THAT(bad({"status", "-o", "xml"}), Contains("--output must be text or json, not 'xml'"));
  CHECK_THAT(bad({"status", "--watch", "--wait", "ready"}), Contains("exclude each other"));
  CHECK_THAT(bad({"status", "--timeout", "5s"}), Contains("--timeout needs --wait STATE"));
  CHECK_THAT(bad({"validate", "--sample", "0"}), Contains("--sample must be a percentage above 0"));
  CHECK_THAT(bad({"validate", "--full", "--sample", "5"}), Contains("exclude each other"));
  CHECK_THAT(bad({"backfill"}), Contains("'backfill' needs pause, resume or throttle"));
  CHECK_THAT(bad({"backfill", "throttle"}), Contains("RATE must be a number"));
  CHECK_THAT(bad({"quarantine", "drop"}), Contains("which one?"));
  CHECK_THAT(bad({"quarantine", "show", "seven"}), Contains("NUMBER must be one"));
  CHECK_THAT(bad({"discover"}), Contains("which system?"));
  CHECK_THAT(bad({"discover", "a"}), Contains("Add --url URL"));
  CHECK_THAT(bad({"from", "a", "--url", "u", "--to", "b"}), Contains("--url is needed twice"));
  CHECK_THAT(bad({"from", "a", "--url", "u"}), Contains("Add --to SYSTEM"));
}

TEST_CASE("help of every command begins with what it is for and examples") {
  const auto whole = cli::parse({"--help"}, {"a", "b"});
  CHECK(whole.is_help);
  CHECK(widest_line(whole.text) <= 80);
  for (const auto& command : all_commands) {
    auto words = split(command);
    CHECK_THAT(whole.text, Contains("\n  " + words[0]));
    words.push_back("--help");
    const auto parsed = cli::parse(words, {"a", "b"});
    INFO(command << '\n' << parsed.text);
    REQUIRE(parsed.is_help);
    const size_t examples = parsed.text.find("Examples:\n  vmproxy " + command);
    REQUIRE(examples != std::string::npos);
    CHECK(examples < parsed.text.find("Usage:"));
    CHECK(widest_line(parsed.text) <= 80);
  }
}

TEST_CASE("every example in a help is itself a good command line") {
  for (const auto& command : all_commands) {
    const std::string examples = cli::examples_of(command);
    size_t at = 0;
    while (at < examples.size()) {
      const size_t end = examples.find('\n', at);
      std::string line = examples.substr(at + 2, end - at - 2);
      at = end + 1;
      line = line.substr(0, line.find("   "));  // a remark
      line = line.substr(0, line.find(" &&"));
      line = line.substr(0, line.find(" |"));
      std::vector<std::string> words;
      bool quoted = false;
      for (const char c : line + " ") {
        if (words.empty()) words.emplace_back();
        if (c == '\'')
          quoted = !quoted;
        else if (c == ' ' && !quoted)
          words.emplace_back();
        else
          words.back() += c;
      }
      while (!words.empty() && words.back().empty()) words.pop_back();
      INFO(line);
      REQUIRE(words.size() > 1);
      CHECK(words[0] == "vmproxy");
      words.erase(words.begin());
      CHECK(good(words).command == command);
    }
  }
}

TEST_CASE("any words are answered") {
  const std::vector<std::string> pieces{
      "status", "--wait",  "ready", "-o",         "json", "--",    "-",       "",         "--percent",
      "10",     "cutover", "-c",    "backfill",   "\xff", "--url", "from",    "--help=3", "-y",
      "=",      "---",     "--=x",  "quarantine", "drop", "-9",    "--force", ",",        "--watch"};
  rc::prop("words", [&]() {
    const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(pieces));
    const auto parsed = cli::parse(words, {"a"});
    RC_ASSERT(parsed.options || !parsed.text.empty());
  });
}
