// Fault points: what can be armed, when it acts, and what a build without them says.
#include "base/fault.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <set>
#include <thread>
#include <vector>

#include "tests/store/print_result.h"

using namespace vmproxy;
using Catch::Matchers::Contains;

namespace {

// Nothing stays armed behind a test.
struct Disarmed {
  ~Disarmed() { (void)fault::arm(""); }
};

}  // namespace

TEST_CASE("every fault point has a name of its own in the form area.moment, and says what is true there") {
  std::set<std::string_view> names;
  for (const auto& point : fault::points) {
    INFO(point.name);
    CHECK(names.insert(point.name).second);
    const size_t dot = point.name.find('.');
    CHECK(dot != point.name.npos);
    CHECK(point.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", dot + 1) == point.name.npos);
    CHECK(point.name.size() < 20);
    CHECK(point.meaning.size() > 5);
    CHECK(point.places >= 1);
    // A place that can do something besides says what it means.
    for (const auto& [action, word] :
         {std::pair(fault::fail, "fail"), std::pair(fault::drop, "drop:"),
          std::pair(fault::short_write, "short:"), std::pair(fault::full, "full:")}) {
      if ((point.actions & action) != 0) CHECK_THAT(std::string(point.meaning), Contains(word));
    }
  }
  CHECK(names.size() >= 48);
}

#ifdef VMPROXY_FAULTS

TEST_CASE("a fault point acts at the hit that was named, once, or at each") {
  const Disarmed after;
  const auto fails = [] { return VMPROXY_FAULT_HIT("state.saving").fails; };
  CHECK_FALSE(fails());
  REQUIRE(fault::arm("state.saving:2:fail"));
  CHECK_FALSE(fails());
  CHECK(fails());
  CHECK_FALSE(fails());
  REQUIRE(fault::arm("state.saving:*:fail"));
  CHECK(fails());
  CHECK(fails());
  REQUIRE(fault::arm(""));
  CHECK_FALSE(fails());
}

TEST_CASE("each action reaches the step as what it is, and no other point") {
  const Disarmed after;
  REQUIRE(fault::arm("store.write:1:full,slot.write:1:short=7,lane.upserted:1:drop,journal.commit:2:fail"));
  const auto full = VMPROXY_FAULT_HIT("store.write");
  CHECK(full.full);
  CHECK_FALSE(full.fails);
  CHECK(full.broken());
  CHECK_THAT(full.disk_error().message, Contains("full"));
  const auto cut = VMPROXY_FAULT_HIT("slot.write");
  CHECK(cut.cut());
  CHECK(cut.bytes_max == 7);
  CHECK_FALSE(cut.broken());
  CHECK(VMPROXY_FAULT_HIT("lane.upserted").drops);
  CHECK_FALSE(VMPROXY_FAULT_HIT("lane.erased").drops);
  CHECK_FALSE(VMPROXY_FAULT_HIT("journal.commit").broken());
  CHECK(VMPROXY_FAULT_HIT("journal.commit").broken());
}

TEST_CASE("a delay holds whoever passes for at least as long as it says") {
  const Disarmed after;
  REQUIRE(fault::arm("write.begun:1:delay=30"));
  const auto before = std::chrono::steady_clock::now();
  VMPROXY_FAULT("write.begun");
  CHECK(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(30));
}

TEST_CASE("a kill is SIGKILL at that hit: nothing after it runs") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    (void)fault::arm("write.begun:2:kill");
    VMPROXY_FAULT("write.begun");
    (void)!::write(ends[1], "1", 1);
    VMPROXY_FAULT("write.begun");
    (void)!::write(ends[1], "2", 1);
    ::_exit(0);
  }
  ::close(ends[1]);
  char seen[4] = {};
  CHECK(::read(ends[0], seen, 1) == 1);
  CHECK(::read(ends[0], seen + 1, 1) == 0);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("hits are counted from the moment when something is armed, or counting begins") {
  const Disarmed after;
  const size_t point = fault::index_of("write.begun", true);
  VMPROXY_FAULT("write.begun");
  REQUIRE(fault::arm("count"));
  CHECK(fault::hits(point) == 0);
  VMPROXY_FAULT("write.begun");
  VMPROXY_FAULT("write.begun");
  CHECK(fault::hits(point) == 2);
  CHECK(fault::armed() == "count");
  REQUIRE(fault::arm("state.saving:1:fail"));
  CHECK(fault::hits(point) == 0);
}

TEST_CASE("text that cannot be armed is refused with its reason, and leaves what is armed") {
  const Disarmed after;
  REQUIRE(fault::arm("state.saving:1:fail"));
  const std::vector<std::pair<std::string, std::string>> bad{
      {"write.begin:1:kill", "vmproxy debug faults"},
      {"write.begun", "NAME:NTH:ACTION"},
      {"write.begun:0:kill", "from 1"},
      {"write.begun:x:kill", "from 1"},
      {"write.begun:1", "no such action"},
      {"write.begun:1:die", "no such action"},
      {"write.begun:1:fail", "does not take 'fail'"},
      {"write.begun:1:delay", "needs a number"},
      {"write.begun:1:delay=x", "needs a number"},
      {"write.begun:1:delay=60001", "at most"},
      {"write.begun:1:kill=3", "takes no number"},
      {"write.begun:1:kill,", "vmproxy debug faults"},
      {",write.begun:1:kill", "vmproxy debug faults"},
      {"counts", "vmproxy debug faults"},
  };
  for (const auto& [text, reason] : bad) {
    INFO(text);
    const auto armed = fault::arm(text);
    REQUIRE_FALSE(armed);
    CHECK(armed.error().code == Code::invalid);
    CHECK_THAT(armed.error().message, Contains(reason));
  }
  std::string many = "write.begun:1:kill";
  for (int i = 0; i < 200; ++i) many += ",write.begun:1:kill";
  CHECK_FALSE(fault::arm(many));
  CHECK(fault::armed() == "state.saving:1:fail");
  CHECK(VMPROXY_FAULT_HIT("state.saving").fails);
}

TEST_CASE("many threads pass a point at once: every hit counts, and exactly one is the one that fails") {
  const Disarmed after;
  REQUIRE(fault::arm("state.saving:500:fail"));
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int hit = 0; hit < 200; ++hit) failed += VMPROXY_FAULT_HIT("state.saving").fails ? 1 : 0;
    });
  }
  // Arming beside them takes nothing from anybody.
  for (int i = 0; i < 50; ++i) (void)fault::arm("nothing of the kind");
  for (auto& thread : threads) thread.join();
  CHECK(failed == 1);
  CHECK(fault::hits(fault::index_of("state.saving", false)) == 1600);
}

#else

TEST_CASE("a build without fault points arms none, and says so") {
  CHECK(fault::arm(""));
  const auto armed = fault::arm("state.saving:1:fail");
  REQUIRE_FALSE(armed);
  CHECK(armed.error().code == Code::unsupported);
  CHECK_THAT(armed.error().message, Contains("no fault points"));
  CHECK_FALSE(VMPROXY_FAULT_HIT("state.saving").fails);
}

#endif
