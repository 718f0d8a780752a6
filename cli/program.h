// Program: everything a command line needs from the process it runs in, and run(), which is all of it but
// main(). Commands that ask a running vmproxy are thin calls to the admin API; those that work in process
// (serve, check, discover, from, the journal without a server) are handed in by app/, so that this room links
// no database.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/admin_client.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "config/config.h"

namespace vmproxy::cli {

struct Program;

// One run of a command.
struct Session {
  Program& program;
  const Options& options;
  Terminal& terminal;

  // The configuration that was named, or the usual one; checked for serving.
  boost::system::result<config::Config, Failure> configuration() const;
  // Nothing is wrong: nothing. For waiting loops: true once Ctrl-C was pressed.
  bool interrupted() const;
};

// Nothing: it went well.
using Ending = std::optional<Failure>;
using LocalCommand = std::function<Ending(Session&)>;

struct Program {
  Streams streams;
  Clock& clock;
  std::atomic<bool>& interrupted;
  std::string version;
  config::KnownNames known;
  // A transport to this address; an error when it is none.
  std::function<Result<Transport>(const std::string& url)> connect;
  // Sleeps, at most so long; returns early when interrupted.
  std::function<void(Duration)> pause;
  std::function<std::optional<std::string>(const std::string& name)> variable;
  std::map<std::string, LocalCommand> local;  // by command
};

// `words` without the program's name. The exit code. Never throws.
int run(const std::vector<std::string>& words, Program& program);

}  // namespace vmproxy::cli
