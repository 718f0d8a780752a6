// What the steps of a migration are refused with, and what an operator has said of it beforehand.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "cutover/control.h"
#include "cutover/state.h"

namespace vmproxy::cutover {

// The operator goes on in spite of this gate (--force).
inline bool forced(const Actor& actor, std::string_view gate) {
  return std::find(actor.force.begin(), actor.force.end(), gate) != actor.force.end();
}

inline Error wrong_state(const std::string& what, Phase now, const std::string& hint) {
  return {Code::precondition, what + " is not possible in state " + std::string(name_of(now)) + "; " + hint};
}

}  // namespace vmproxy::cutover
