// Options: a command line as values. parse() is the only place that knows the command line library.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"

namespace vmproxy::cli {

struct Options {
  std::string command;  // "serve", "backfill pause", "quarantine list", ...

  // Of every command.
  std::string config_file;  // empty: none was named
  std::string admin_url;
  std::string token;
  std::string migration;
  bool json = false;

  // Of those that change something.
  bool yes = false;
  std::vector<std::string> force;
  std::string reason;

  std::string until = "ready";
  bool no_wait = false;
  std::optional<Duration> timeout;
  bool watch = false;
  std::string wait_state;
  double rate = 0;
  double percent = 0;
  bool full = false;
  std::optional<double> sample;
  bool repair = false;
  bool show_diffs = false;
  std::optional<uint64_t> number;

  // discover, from
  std::string system;
  std::string url;
  std::string to_system;
  std::string to_url;
  std::vector<std::string> collections;
  bool dry_run = false;
};

struct Parsed {
  std::optional<Options> options;  // run this
  std::string text;                // else: help for stdout, or what is wrong for stderr
  bool is_help = false;
};

// `words` without the program's name. `systems`: for the help of discover and from.
Parsed parse(const std::vector<std::string>& words, const std::vector<std::string>& systems);

// The states of a migration in the order of its life; "abandoned" last. -1: no such state.
int state_rank(const std::string& state);
const std::vector<std::string>& states();

}  // namespace vmproxy::cli
