// The program: the process' own things (streams, clock, environment, signals) handed to the command line.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <iostream>

#include "app/from.h"
#include "app/registry.h"
#include "app/serve.h"
#include "base/clock.h"
#include "base/fault.h"
#include "cli/check.h"
#include "cli/databases.h"
#include "cli/discover.h"
#include "cli/http_transport.h"
#include "cli/journal_local.h"
#include "cli/program.h"

namespace {

std::atomic<bool> interrupted{false};

// The first Ctrl-C lets a command end by itself, the second does not ask.
extern "C" void on_interrupt(int) {
  if (interrupted.exchange(true)) ::_exit(vmproxy::cli::exit_interrupted);
}

// Ends early by a signal, which is why std::this_thread::sleep_for would not do.
void pause_for(vmproxy::Duration d) {
  const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
  timespec wait{static_cast<time_t>(nanoseconds / 1'000'000'000),
                static_cast<long>(nanoseconds % 1'000'000'000)};
  ::nanosleep(&wait, nullptr);
}

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace vmproxy;
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);

  if (const auto armed = fault::arm(variable("VMPROXY_FAULTS").value_or("")); !armed) {
    std::cerr << "vmproxy: VMPROXY_FAULTS: " << armed.error().message << '\n';
    return cli::exit_of(armed.error().code);
  }
  const auto systems = app::systems();
  SystemClock clock;
  cli::Program program{cli::standard_streams(),
                       clock,
                       interrupted,
                       VMPROXY_VERSION,
                       cli::known_names(systems),
                       cli::http_transport,
                       pause_for,
                       variable,
                       {}};
  program.local["serve"] = app::serve_command(systems);
  program.local["check"] = cli::check_command(systems);
  program.local["discover"] = cli::discover_command(systems);
  program.local["from"] = app::from_command(systems);
  program.local["journal stats"] = cli::journal_stats_command();
  program.local["journal verify"] = cli::journal_verify_command();
  return cli::run({argv + 1, argv + argc}, program);
}
