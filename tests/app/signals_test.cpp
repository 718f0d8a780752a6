// In a process of its own each: a signal ends it.
#include "app/signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <optional>

#include "tests/support/no_threads.h"

using namespace vmproxy;

namespace {

// How a process ends that stops for a signal and then gets another one.
int second_signal(bool threads) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGTERM, SIG_DFL);  // the test's own handler would report a failure
    app::block_ending_signals();
    ::kill(::getpid(), SIGTERM);
    if (app::wait_for_ending_signal() != SIGTERM) ::_exit(3);
    std::optional<support::NoThreads> limit;
    if (!threads) limit.emplace();
    try {
      app::end_at_next_signal();
    } catch (...) {
      ::_exit(2);  // it would have ended the process before it has stopped
    }
    ::kill(::getpid(), SIGTERM);
    for (int i = 0; i < 1000; ++i) ::usleep(10'000);
    ::_exit(4);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

TEST_CASE("a second signal ends a server that is stopping at once") {
  const int status = second_signal(true);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 1);
}

TEST_CASE(
    "a server that stops while the system refuses threads goes on stopping, and a second signal ends it all the same") {
  const int status = second_signal(false);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGTERM);
}
