// Waiting for a migration to get somewhere, with progress for people and an end for scripts.
#pragma once

#include <functional>
#include <optional>

#include "cli/program.h"

namespace vmproxy::cli {

// What a status means for the one who waits: go on, done, or failed.
struct Decision {
  bool done = false;
  std::optional<Failure> failure;
};

struct Wait {
  std::string migration;
  std::optional<Duration> timeout;
  std::string what;  // "ready", for messages
  std::function<Decision(const boost::json::object& status, TimePoint now)> decide;
};

// The status with which it ended, or why it did not end well. A proxy that does not answer is given half a
// minute to come back: it may be restarting.
Answer wait_for(Session& session, AdminClient& client, const Wait& wait);

// The work has stopped and does not begin again by itself: why, and what to do. Nothing: it goes on, or there is none.
std::optional<Failure> work_stopped(const boost::json::object& status);

// Reaching a state or one beyond it.
Wait until_state(const std::string& migration, const std::string& state, std::optional<Duration> timeout);

}  // namespace vmproxy::cli
