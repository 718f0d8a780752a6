#include "app/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <thread>

#include "base/log.h"

namespace vmproxy::app {
namespace {

sigset_t ending_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

void block_ending_signals() {
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

int wait_for_ending_signal() {
  const sigset_t set = ending_signals();
  int signal = 0;
  while (::sigwait(&set, &signal) != 0) {
  }
  return signal;
}

void end_at_next_signal() {
  try {
    std::thread([] {
      wait_for_ending_signal();
      log::warn("second signal: ending at once");
      ::_exit(1);
    }).detach();
  } catch (const std::exception&) {
    const sigset_t set = ending_signals();
    ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }
}

}  // namespace vmproxy::app
