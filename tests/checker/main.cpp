// history_check FILE...: the report of a recorded history (README.md).
#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "tests/checker/check.h"
#include "tests/checker/reader.h"

namespace {

using namespace vmproxy;
using namespace vmproxy::checker;

constexpr int exit_clean = 0, exit_anomaly = 1, exit_bad_input = 2, exit_gave_up = 3;

struct Arguments {
  std::vector<std::string> files;
  std::vector<std::string> required;
  bool json = false;
  uint64_t pass_bytes = 1ULL << 30;
  Limits limits;
};

int bad_input(const std::string& message) {
  std::fprintf(stderr, "history_check: %s\n", message.c_str());
  return exit_bad_input;
}

Result<uint32_t> passes(const Arguments& arguments) {
  uint64_t bytes = 0;
  for (const std::string& file : arguments.files) {
    std::error_code error;
    bytes += std::filesystem::file_size(file, error);
    if (error) return Error(Code::io, file + ": " + error.message());
  }
  return static_cast<uint32_t>(1 + bytes / arguments.pass_bytes);
}

// Each pass reads all files and checks its share of the keys.
Result<Report> check_files(const Arguments& arguments) {
  const auto count = passes(arguments);
  if (!count) return count.error();
  Report report;
  for (uint32_t index = 0; index < *count; ++index) {
    History history(Part{index, *count});
    Reader reader(history);
    for (const std::string& file : arguments.files) {
      const auto done = reader.read(file);
      if (!done) return done.error();
    }
    Report part = check(history, arguments.limits);
    part.torn_lines = reader.torn_lines();
    report.merge(std::move(part), arguments.limits.details_per_rule);
  }
  return report;
}

// A history that lacks what it was recorded for is no proof.
std::optional<std::string> nothing_for(const Arguments& arguments, const Report& report) {
  for (const std::string& required : arguments.required) {
    const size_t colon = required.find(':');
    const std::string wanted = required.substr(0, colon);
    uint64_t least = 1;
    if (colon != std::string::npos) {
      const char* const end = required.data() + required.size();
      const auto [read, error] = std::from_chars(required.data() + colon + 1, end, least);
      if (error != std::errc() || read != end || least == 0) return "no count in " + required;
    }
    std::optional<uint64_t> checked;
    for (size_t i = 0; i < rule_count; ++i) {
      const auto rule = static_cast<Rule>(i);
      if (name_of(rule) == wanted) checked = report.of(rule).checked;
    }
    if (!checked) return "no rule " + wanted;
    if (*checked == 0) return "the history has nothing to check for " + wanted;
    if (*checked < least)
      return "the history has only " + std::to_string(*checked) + " to check for " + required;
  }
  return std::nullopt;
}

int run(const Arguments& arguments) {
  const auto report = check_files(arguments);
  if (!report) return bad_input(report.error().message);
  std::cout << (arguments.json ? to_json(*report) + "\n" : to_text(*report)) << std::flush;
  if (!std::cout) return bad_input("the report could not be written");
  if (report->verdict() == Verdict::anomaly) return exit_anomaly;
  if (const auto missing = nothing_for(arguments, *report)) return bad_input(*missing);
  return report->verdict() == Verdict::gave_up ? exit_gave_up : exit_clean;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Checks recorded histories. Exit code 0: clean, 1: anomaly, 2: bad input, 3: gave up.");
  app.add_option("FILE", arguments.files, "JSON lines; all files are one history")->required();
  app.add_flag("--json", arguments.json, "the report as JSON");
  app.add_option("--details", arguments.limits.details_per_rule,
                 "anomalies that are described, of each rule");
  app.add_option("--states", arguments.limits.states_per_key,
                 "of the search over one key, before it gives up")
      ->check(CLI::PositiveNumber);
  app.add_option("--pass-bytes", arguments.pass_bytes, "input for each pass: about the memory it takes")
      ->check(CLI::PositiveNumber);
  app.add_option("--require", arguments.required,
                 "RULE or RULE:N: a rule that must have had something, or N times something, to check")
      ->allow_extra_args(false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_clean : exit_bad_input;
  }
  return run(arguments);
}
