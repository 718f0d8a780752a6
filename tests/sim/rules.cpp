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

// The seeds are those of the table in README.md: a change of what seeds mean, or of the product, may need others.
std::span<const Rule> rules() {
  static constexpr std::array all = std::to_array<Rule>({
      {"broad.overlapped-read", 0},
      {"broad.own-names", 0},
      {"copy.touched", 5},
      {"crash.replay", 17},
      {"crash.uncertain", 0},
      {"crash.wait", 0},
      {"ddl.debts-kept", 0},
      {"ddl.read-anew", 0},
      {"debt.durable", 0},
      {"debt.waits", 0},
      {"flip.old-epoch", 0},
      {"flip.zombies-paid", 0},
      {"forced.frozen", 0},
      {"image.whole-records", 0},
      {"overlap.earlier", 0},
      {"overlap.later", 50},
      {"predicate.enumerated", 9},
      {"predicate.from-enumeration", 0},
      {"predicate.from-in-flight", 0},
      {"predicate.open-windows", 0},
      {"predicate.overlap", 0},
      {"predicate.reread", 0},
      {"predicate.reread-in-flight", 0},
      {"predicate.window", 0},
      {"predicate.window-after-crash", 0},
      {"predicate.window-owed", 0},
      {"read.inherits-wait", 0},
      {"read.waits", 0},
      {"uncertain.read-again", 0},
      {"window.read-at-close", 0},
      {"window.registered", 0},
      {"zombie.read", 0},
  });
  return all;
}

void take_away(std::string rule) {
  taken_away = std::move(rule);
}

}  // namespace sim
}  // namespace vmproxy
