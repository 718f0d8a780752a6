// sim: seeds of the simulator. Each runs in a process of its own, so that what it leaves behind, or breaks, is its own.
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "tests/sim/seed.h"
#ifdef VMPROXY_RULES
#include "tests/sim/rules.h"
#endif

namespace {

using vmproxy::sim::Counts;
using vmproxy::sim::Verdict;

struct Arguments {
  uint64_t seeds = 300, first = 1, seed = 0, twice = 0;
  unsigned jobs = 2, seconds_max = 120;
  bool quiet = false;
  std::optional<std::string> until;  // the first violation that says this, if anything
};

// What a child says of its seed, then so many bytes of violations.
struct Head {
  uint64_t trace = 0;
  Counts counts;
  uint64_t violations_bytes = 0;
};

struct Running {
  uint64_t seed = 0;
  bool again = false;
  int from = -1;
  unsigned place = 0;
};

void write_all(int to, const void* bytes, size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(to, at, size);
    if (written <= 0) std::_Exit(4);
    at += written;
    size -= static_cast<size_t>(written);
  }
}

// Threads that hand on a baton do it faster on one core.
void stay_on_core(unsigned place) {
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0) return;
  unsigned left = place % static_cast<unsigned>(CPU_COUNT(&cores));
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &cores) || left-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    (void)::sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

void hide_log() {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) (void)::dup2(nowhere, STDERR_FILENO);
}

[[noreturn]] void run_child(uint64_t seed, int to, unsigned place, unsigned seconds_max) {
  stay_on_core(place);
  // Of the processor, so that a busy machine makes no seed late. Of real time only for one that hangs.
  const rlimit bound{seconds_max, seconds_max + 1};
  (void)::setrlimit(RLIMIT_CPU, &bound);
  ::alarm(10 * seconds_max);
  hide_log();
  const Verdict verdict = vmproxy::sim::run_seed(seed, false);
  std::string violations;
  for (const auto& violation : verdict.violations) violations += "  " + violation + "\n";
  // What a pipe holds at once: nobody reads before the end.
  if (violations.size() > 30000) violations.resize(30000);
  const Head head{verdict.trace, verdict.counts, violations.size()};
  write_all(to, &head, sizeof head);
  write_all(to, violations.data(), violations.size());
  std::_Exit(0);
}

class Seeds {
 public:
  explicit Seeds(const Arguments& arguments) : arguments_(arguments) {}

  int run() {
    const uint64_t last = arguments_.first + arguments_.seeds;
    std::vector<std::pair<uint64_t, bool>> wanted;
    for (uint64_t seed = arguments_.first; seed < last; ++seed) wanted.emplace_back(seed, false);
    for (uint64_t i = 0; i < std::min(arguments_.twice, arguments_.seeds); ++i)
      wanted.emplace_back(arguments_.first + i, true);
    std::vector<bool> places(std::max(1u, arguments_.jobs), false);
    for (const auto& [seed, again] : wanted) {
      if (found_) break;
      if (running_.size() >= places.size()) places[finish_one()] = false;
      const auto place =
          static_cast<unsigned>(std::find(places.begin(), places.end(), false) - places.begin());
      places[place] = true;
      begin(seed, again, place);
    }
    while (!running_.empty()) (void)finish_one();
    return arguments_.quiet ? 0 : report();
  }
  uint64_t first() const { return broken_.empty() ? 0 : *broken_.begin(); }
  const std::string& what() const { return what_; }

 private:
  void begin(uint64_t seed, bool again, unsigned place) {
    int ends[2];
    if (::pipe(ends) != 0) std::_Exit(4);
    (void)std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      run_child(seed, ends[1], place, arguments_.seconds_max);
    }
    ::close(ends[1]);
    running_[child] = {seed, again, ends[0], place};
  }

  unsigned finish_one() {
    int status = 0;
    const pid_t child = ::waitpid(-1, &status, 0);
    const Running ended = running_.at(child);
    running_.erase(child);
    Head head;
    std::string said;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(ended.from, part, sizeof part)) > 0;)
      said.append(part, static_cast<size_t>(got));
    ::close(ended.from);
    std::string violations;
    if (said.size() < sizeof head) {
      const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      violations = signal == SIGXCPU || signal == SIGKILL || signal == SIGALRM
                       ? "  it did not end within " + std::to_string(arguments_.seconds_max) + " s\n"
                       : "  its process broke\n";
    } else {
      std::memcpy(&head, said.data(), sizeof head);
      violations = said.substr(sizeof head);
    }
    if (ended.again) {
      if (head.trace == traces_[ended.seed]) {
        ++same_;
      } else {
        violations = "  run twice, it is not the same run\n";
      }
    } else {
      traces_[ended.seed] = head.trace;
      sum_ += head.counts;
    }
    if (violations.empty() || !broken_.insert(ended.seed).second) return ended.place;
    found_ = found_ || (arguments_.until && violations.find(*arguments_.until) != std::string::npos);
    if (what_.empty()) what_ = violations.substr(0, violations.find('\n'));
    if (!arguments_.quiet)
      std::printf("seed %llu:\n%s", static_cast<unsigned long long>(ended.seed), violations.c_str());
    return ended.place;
  }

  int report() const {
    const auto number = [](uint64_t value) { return std::to_string(value); };
    const std::string counts =
        number(sum_.operations) + " operations (" + number(sum_.unknown) + " unknown), " +
        number(sum_.kills) + " kills, " + number(sum_.machine_ends) + " machine ends, " + number(sum_.stops) +
        " stops, " + number(sum_.lost) + " lost, " + number(sum_.replayed) + " replayed, " +
        number(sum_.late) + " late, " + number(sum_.partial) + " partial, " + number(sum_.stale) +
        " stale, " + number(sum_.disk_faults) + " disk faults, " + number(sum_.read_faults) +
        " reads of it that failed, " + number(sum_.full_disks) + " full disks, " +
        number(sum_.percent_changes) + " percent changes, " + number(sum_.promotions) + " promotions, " +
        number(sum_.rollbacks) + " rollbacks, " + number(sum_.dead_rollbacks) + " without the target, " +
        number(sum_.forced) + " forced changes, " + number(sum_.given_up) + " records given up, " +
        number(sum_.finalized) + " finalized, " + number(sum_.refusals) + " refusals for good, " +
        number(sum_.reconfigured) + " configurations, " + number(sum_.reads_moved) + " reads moved, " +
        number(sum_.simulated_seconds / 60) + " simulated minutes, " + number(sum_.steps) + " steps";
    const std::string first = broken_.empty() ? "" : " (first in seed " + number(*broken_.begin()) + ")";
    std::printf("simulator: %zu seeds, %zu violations%s, %llu the same when run twice; %s\n", traces_.size(),
                broken_.size(), first.c_str(), static_cast<unsigned long long>(same_), counts.c_str());
    return broken_.empty() ? 0 : 1;
  }

  const Arguments arguments_;
  std::map<pid_t, Running> running_;
  std::map<uint64_t, uint64_t> traces_;
  std::set<uint64_t> broken_;
  std::string what_;  // the first line of the violation that was seen first
  bool found_ = false;
  uint64_t same_ = 0;
  Counts sum_;
};

#ifdef VMPROXY_RULES
// In which seed the rule is missed that the code is run without, from the first on; 0: in none. What it says goes to `what`.
uint64_t missed_in(std::string_view rule, Arguments arguments, std::string& what) {
  vmproxy::sim::take_away(std::string(rule));
  arguments.until = "";
  arguments.quiet = true;
  Seeds seeds(arguments);
  (void)seeds.run();
  what = seeds.what();
  return seeds.first();
}

// A table: in which seed each rule is missed.
int each_rule(const Arguments& arguments) {
  size_t missed = 0;
  std::string what;
  std::printf("| without | missed in seed | what said so |\n|---|---|---|\n");
  for (const auto& rule : vmproxy::sim::rules()) {
    const uint64_t seed = missed_in(rule.name, arguments, what);
    missed += seed != 0;
    const std::string where = seed == 0 ? "-" : std::to_string(seed);
    std::printf("| `%s` | %s | %.100s |\n", std::string(rule.name).c_str(), where.c_str(), what.c_str());
    (void)std::fflush(stdout);
  }
  std::printf("simulator: %zu of %zu rules missed, %llu seeds at most for each\n", missed,
              vmproxy::sim::rules().size(), static_cast<unsigned long long>(arguments.seeds));
  return 0;
}

// Each rule that the table says is missed still is: in the seed that stands there, or in another one of those that are tried.
int listed_rules(const Arguments& arguments) {
  size_t listed = 0, same = 0, others = 0;
  std::string what;
  for (const auto& rule : vmproxy::sim::rules()) {
    if (rule.seed == 0) continue;
    ++listed;
    Arguments one = arguments;
    one.first = rule.seed;
    one.seeds = 1;
    if (missed_in(rule.name, one, what) != 0) {
      ++same;
      continue;
    }
    const uint64_t seed = missed_in(rule.name, arguments, what);
    others += seed != 0;
    std::printf("  %s: no longer missed in seed %llu, %s\n", std::string(rule.name).c_str(),
                static_cast<unsigned long long>(rule.seed),
                seed == 0 ? "nor in any other" : ("but in " + std::to_string(seed)).c_str());
    (void)std::fflush(stdout);
  }
  std::printf(
      "simulator: of %zu rules %zu are missed in the seed of the table, %zu in another, %zu in none\n",
      listed, same, others, listed - same - others);
  return same + others == listed && listed > 0 ? 0 : 1;
}
#endif

int replay(uint64_t seed) {
  stay_on_core(0);
  const Verdict verdict = vmproxy::sim::run_seed(seed, true);
  for (const auto& violation : verdict.violations) std::printf("%s\n", violation.c_str());
  std::printf("seed %llu: %s, trace %016llx\n", static_cast<unsigned long long>(seed),
              verdict.violations.empty() ? "clean" : "violated",
              static_cast<unsigned long long>(verdict.trace));
  (void)std::fflush(stdout);
  std::_Exit(verdict.violations.empty() ? 0 : 1);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Runs vmproxy between two fake databases on simulated time, network and disk, from seeds.");
  app.add_option("--seeds", arguments.seeds, "how many");
  app.add_option("--first", arguments.first, "the first of them");
  app.add_option("--seed", arguments.seed, "only this one, and say what happens");
  app.add_option("--twice", arguments.twice, "so many of them run again, to be the same to the byte");
  app.add_option("--until", arguments.until,
                 "end with the first violation that says this; with '', the first of all");
  app.add_option("--jobs", arguments.jobs, "seeds at a time");
  app.add_option("--seconds-max", arguments.seconds_max, "processor time of one seed");
#ifdef VMPROXY_RULES
  bool each = false, listed = false;
  std::string without;
  app.add_flag("--each-rule", each, "a table: in which seed each rule is missed");
  app.add_flag("--listed", listed, "each rule of the table is missed where the table says, or elsewhere");
  app.add_option("--without", without, "the code without this rule");
#endif
  CLI11_PARSE(app, argc, argv);
  // The same for all, for logging takes time of a run; only who replays one is shown it.
  vmproxy::log::configure("info", "text");
#ifdef VMPROXY_RULES
  if (each) return each_rule(arguments);
  if (listed) return listed_rules(arguments);
  vmproxy::sim::take_away(without);
#endif
  return arguments.seed != 0 ? replay(arguments.seed) : Seeds(arguments).run();
}
