// State: where a migration stands, as one durable row. Every transition is written here before it takes effect
// (design.md, States), so that a restart finds either the old or the new one, never something between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "journal/journal.h"

namespace vmproxy::cutover {

enum class Phase : uint8_t {
  created,
  mirroring,
  backfilling,
  validating,
  ready,
  canary,
  reads_moved,
  promoted,
  finalized,
  abandoned,
};
std::string_view name_of(Phase phase);

struct State {
  Phase phase = Phase::created;
  journal::Side primary = journal::Side::source;
  uint64_t epoch = 1;
  uint64_t routing_generation = 0;
  uint64_t salt = 0;
  double reads_percent = 0;
  bool capture = false;
  uint64_t copy_generation = 0;  // of the capture barrier; 0: never armed
  bool settled = false;          // the barrier's settle time has passed
  bool copied = false;
  uint64_t validation_pass = 0;     // number of the last pass begun
  bool validating_full = false;     // that pass is a full one and has not ended: it goes on under its number
  uint64_t validation_horizon = 0;  // what it vouches for when it is clean: capture gaps up to this one,
  uint64_t validation_round = 0;    // and written keys of the rounds before this one
  bool validated = false;           // a full pass was clean, and nothing has closed that gate since
  bool flip_intended = false;       // PREPARE without COMMIT: aborted on recovery
  journal::Side flip_to = journal::Side::target;
  std::string rolled_back_at;  // RFC 3339
  std::string rolled_back_reason;
  // What a person decided holds over a restart.
  bool started = false;         // `start` was asked for; it goes on by itself up to `until`
  std::string until = "ready";  // mirroring, backfilling or ready
  std::vector<std::string>
      start_force;  // gates that this start skips; none any more once the mirror is armed, or a pass has begun
  bool paused = false;         // the copy
  std::optional<double> rate;  // of the copy, records per second, 0: no bound; nothing: the configuration's
  uint64_t doubted_pass = 0;   // passes up to this one vouch for nothing, however clean they end
};

// Whether the work that was asked for is not done yet: it goes on by itself, also after a restart.
bool goes_on(const State& state);

// Code::corrupt / unsupported when the row cannot be understood. A fresh State when there is none.
Result<State> load_state(journal::Journal& journal);
Result<void> save_state(journal::Journal& journal, const State& state);  // synced
// Durable before anything that is put into the journal later; for when it cannot be synced now.
void put_state(journal::Journal& journal, const State& state);

}  // namespace vmproxy::cutover
