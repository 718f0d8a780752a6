// Suspect: a key whose records did not agree when they were first seen. Most of them are races with the
// application's writes. It counts as a difference only when, some time later, both sides show the same again
// and the mirror owes the key nothing (H23).
#pragma once

#include <optional>

#include "validation/comparison.h"

namespace vmproxy::validation {

struct Suspect {
  model::Key key;                     // in the source's form
  std::optional<model::Key> foreign;  // the target's key, where that has no source form
  Look last;                          // what was seen last
  bool seen = false;                  // `last` was seen while the key was not dirty
  int changed = 0, dirty = 0;         // looks that decided nothing, and why
  TimePoint due{};                    // of the next look

  // How many looks may decide nothing before the key counts as unsettled.
  static constexpr int changed_max = 10;
  static constexpr int dirty_max = 60;
};

enum class Verdict { equal, mismatch, open, unsettled };

// Takes in a new look. `owed`: the key was dirty just before or just after it.
inline Verdict take_in(Suspect& suspect, Look look, bool owed, bool mismatch) {
  if (!mismatch) return Verdict::equal;
  if (owed) {
    suspect.seen = false;
    return ++suspect.dirty < Suspect::dirty_max ? Verdict::open : Verdict::unsettled;
  }
  const bool same = suspect.seen && Comparison::unchanged(suspect.last, look);
  suspect.last = std::move(look);
  suspect.seen = true;
  if (same) return Verdict::mismatch;
  return ++suspect.changed < Suspect::changed_max ? Verdict::open : Verdict::unsettled;
}

}  // namespace vmproxy::validation
