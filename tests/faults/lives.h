// Lives: what starts tests/faults/journey.cpp in a process of its own, and on which ways it is sent.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vmproxy::faults {

struct Directory {
  Directory();
  Directory(const Directory&) = delete;
  ~Directory();
  std::filesystem::path path;
};

// The program's exit code where a life could not begin, or not end as it should: whoever runs it starts it again.
inline constexpr int exit_start_again = 3;

// One process; its status as waitpid() has it. `moment`: instead of the others once the journey is
// open, and nothing any more soon after its last point was passed.
int run(const std::filesystem::path& directory, const std::string& journey, const std::string& faults,
        const std::string& moment = "");
bool ended_well(int status);
bool was_killed(int status);
bool starts_again(int status);

std::string log_of(const std::filesystem::path& directory);
std::string end_of_log(const std::filesystem::path& directory);

// A journey, what goes wrong in it besides, and where a life before it was killed.
struct Way {
  std::string journey, faults, killed_before;
};
extern const std::vector<Way> ways;

// What a life on a way passes that nothing more is done to.
struct Survey {
  bool well = false;
  std::map<std::string, uint64_t> hits;
  std::string log;

  // One more life on the same way.
  void add(const Survey& next);
};
// One for each of `ways`; made when it is first asked for, from several lives where one missed a point.
const std::vector<Survey>& surveys();

// The ways that pass a point.
struct Pass {
  const Way* way;
  uint64_t hits;  // so often
};
std::vector<Pass> passes_of(const std::string& point);

// Why no journey here passes them; each is for the test with real databases, or has a test of its own.
extern const std::map<std::string, std::string> beyond;

// The life before, where the way has one.
void live_before(const std::filesystem::path& directory, const Way& way);
// What is armed on a way, with these besides.
std::string armed_with(const Way& way, const std::string& faults);

// Runs work(i) for each i below `count`, some at once; nothing of Catch in it.
void for_each(size_t count, const std::function<void(size_t)>& work);

// $VMPROXY_KILLS_SEED: which time that a point is passed, and on which way (attempts()).
std::optional<uint64_t> chosen_seed();

// A way, and which time that it passes the point.
struct Attempt {
  const Way* way;
  uint64_t nth;
};
// What leads to some points is a race of writers with lanes and copies: where one way meets the point by chance, the next may do
// so always. Lives differ: the n-th time may not come again. So there are several attempts, until one meets the point: with a seed
// the first are its choice, `what` telling one use of it from another; then each way, in the order of `passes`, at its first time.
std::vector<Attempt> attempts(const std::vector<Pass>& passes, std::optional<uint64_t> seed,
                              const std::string& what);

}  // namespace vmproxy::faults
