// A whole migration between two fake databases is killed at every fault point that it passes, and started again.
#include <catch2/catch.hpp>
#include <iostream>

#include "base/fault.h"
#include "tests/faults/lives.h"

using namespace vmproxy;
using namespace vmproxy::faults;

namespace {

struct Kill {
  std::vector<Pass> passes;
  std::string point;
  bool killed = false, well = false;
  std::string log = {};
};

void carry_out_once(Kill& kill, const Way& way, uint64_t nth) {
  Directory at;
  live_before(at.path, way);
  const std::string faults = armed_with(way, kill.point + ":" + std::to_string(nth) + ":kill");
  kill.killed = was_killed(run(at.path, way.journey, faults));
  kill.well = kill.killed && ended_well(run(at.path, way.journey, ""));
  kill.log = "'" + way.journey + "' " + faults + "\n" + end_of_log(at.path);
}

// A night of torture has twenty seeds, and so twenty moments.
void carry_out(Kill& kill, std::optional<uint64_t> seed) {
  for (const Attempt& attempt : attempts(kill.passes, seed, kill.point)) {
    if (kill.killed) return;
    carry_out_once(kill, *attempt.way, attempt.nth);
  }
}

}  // namespace

TEST_CASE("whoever is killed at a fault point goes on where he was, and nothing acknowledged is lost") {
  for (size_t i = 0; i < ways.size(); ++i) {
    INFO(ways[i].journey << " " << ways[i].faults << ways[i].killed_before << "\n" << surveys()[i].log);
    REQUIRE(surveys()[i].well);
  }
  std::vector<Kill> kills;
  std::vector<std::string> not_here;
  for (const auto& point : fault::points) {
    if ((point.actions & fault::kill) == 0) continue;
    const std::string name(point.name);
    Kill kill{passes_of(name), name};
    INFO(name);
    const bool passed = !kill.passes.empty();
    CHECK(passed != beyond.contains(name));
    if (passed) {
      kills.push_back(std::move(kill));
    } else {
      not_here.push_back(name);
    }
  }
  for_each(kills.size(), [&, seed = chosen_seed()](size_t i) { carry_out(kills[i], seed); });
  size_t killed = 0, lost = 0;
  std::cout << "killed here:";
  for (const Kill& kill : kills) {
    INFO(kill.point << " in " << kill.log);
    ++killed;
    if (kill.killed) std::cout << ' ' << kill.point;
    CHECK(kill.killed);
    CHECK(kill.well);
    lost += kill.well ? 0 : 1;
  }
  // scripts/torture kills at these between real databases.
  std::cout << "\nbeyond this test:";
  for (const auto& name : not_here) std::cout << ' ' << name;
  std::cout << "\nkilled at " << killed << " fault points, " << lost << " not recovered; " << not_here.size()
            << " are beyond this test\n";
}
