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
  static constexpr std::array all = std::to_array<std::string_view>({"overlap.earlier",
                                                                     "overlap.later",
                                                                     "window.registered",
                                                                     "image.whole-records",
                                                                     "uncertain.read-now",
                                                                     "uncertain.read-again",
                                                                     "debt.durable",
                                                                     "zombie.read",
                                                                     "crash.wait",
                                                                     "crash.uncertain",
                                                                     "crash.replay",
                                                                     "copy.touched",
                                                                     "predicate.overlap",
                                                                     "predicate.enumerated",
                                                                     "predicate.window",
                                                                     "predicate.reread",
                                                                     "predicate.open-windows",
                                                                     "predicate.window-after-crash",
                                                                     "predicate.from-enumeration",
                                                                     "window.read-at-close",
                                                                     "read.waits",
                                                                     "read.inherits-wait",
                                                                     "debt.waits",
                                                                     "ddl.pause",
                                                                     "flip.zombies-paid",
                                                                     "flip.old-epoch"});
  return all;
}

void take_away(std::string rule) {
  taken_away = std::move(rule);
}

}  // namespace sim
}  // namespace vmproxy
