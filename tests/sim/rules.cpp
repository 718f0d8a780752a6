#include "tests/sim/rules.h"

#include <array>

#include "base/rule.h"

namespace vmproxy {
namespace {
std::string taken_away;
}

bool rule_stands(const char* name) {
  return taken_away != name;
}

namespace sim {

std::span<const std::string_view> rules() {
  static constexpr std::array all = std::to_array<std::string_view>({"broad.overlapped-read",
                                                                     "broad.own-names",
                                                                     "copy.touched",
                                                                     "crash.replay",
                                                                     "crash.uncertain",
                                                                     "crash.wait",
                                                                     "ddl.debts-kept",
                                                                     "ddl.read-anew",
                                                                     "debt.durable",
                                                                     "debt.waits",
                                                                     "flip.old-epoch",
                                                                     "flip.zombies-paid",
                                                                     "forced.frozen",
                                                                     "image.whole-records",
                                                                     "overlap.earlier",
                                                                     "overlap.later",
                                                                     "predicate.enumerated",
                                                                     "predicate.from-enumeration",
                                                                     "predicate.from-in-flight",
                                                                     "predicate.open-windows",
                                                                     "predicate.overlap",
                                                                     "predicate.reread",
                                                                     "predicate.reread-in-flight",
                                                                     "predicate.window",
                                                                     "predicate.window-after-crash",
                                                                     "predicate.window-owed",
                                                                     "read.inherits-wait",
                                                                     "read.waits",
                                                                     "uncertain.read-again",
                                                                     "window.read-at-close",
                                                                     "window.registered",
                                                                     "zombie.read"});
  return all;
}

void take_away(std::string rule) {
  taken_away = std::move(rule);
}

}  // namespace sim
}  // namespace vmproxy
