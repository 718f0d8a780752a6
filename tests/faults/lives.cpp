#include "tests/faults/lives.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include "base/fault.h"

namespace vmproxy::faults {

namespace fs = std::filesystem;

namespace {

constexpr size_t at_once = 4;  // they mostly wait for the disk and for each other
constexpr size_t chosen_attempts = 4, attempts_min = 8;
constexpr size_t surveys_max = 5;

Survey survey(const Way& way) {
  Survey found;
  Directory at;
  if (!way.killed_before.empty() && !was_killed(run(at.path, way.journey, way.killed_before))) {
    found.log = "the life before was not killed\n" + end_of_log(at.path);
    return found;
  }
  found.well = ended_well(run(at.path, way.journey, armed_with(way, way.faults.empty() ? "count" : "")));
  found.log = end_of_log(at.path);
  std::ifstream lines(at.path / "hits");
  std::string name;
  for (uint64_t count = 0; lines >> name >> count;) found.hits[name] = count;
  return found;
}

// Whether some way passed each point that is not beyond.
bool complete(const std::vector<Survey>& made) {
  return std::ranges::all_of(fault::points, [&](const fault::Point& point) {
    const std::string name(point.name);
    return beyond.contains(name) ||
           std::ranges::any_of(made, [&](const Survey& one) { return one.hits.contains(name); });
  });
}

}  // namespace

Directory::Directory() {
  std::string name = (fs::temp_directory_path() / "vmproxy-faults-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a directory");
  path = name;
}

Directory::~Directory() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

int run(const fs::path& directory, const std::string& journey, const std::string& faults,
        const std::string& moment) {
  std::vector<std::string> words;
  for (char** word = environ; *word != nullptr; ++word) {
    if (std::string(*word).rfind("VMPROXY_FAULTS", 0) != 0) words.emplace_back(*word);
  }
  words.push_back("VMPROXY_FAULTS=" + faults);
  words.push_back("VMPROXY_FAULTS_MOMENT=" + moment);
  std::vector<char*> environment, arguments;
  for (auto& word : words) environment.push_back(word.data());
  environment.push_back(nullptr);
  std::string program = VMPROXY_JOURNEY, where = directory.string(), which = journey;
  for (auto* word : {&program, &where, &which}) arguments.push_back(word->data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  const std::string log = (directory / "log").string();
  ::posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t child = 0;
  const int failed =
      ::posix_spawn(&child, program.c_str(), &files, nullptr, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return -1;
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

bool ended_well(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
bool was_killed(int status) {
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
bool starts_again(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) == exit_start_again;
}

std::string log_of(const fs::path& directory) {
  std::ifstream file(directory / "log");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string end_of_log(const fs::path& directory) {
  const std::string text = log_of(directory);
  return text.size() > 3000 ? text.substr(text.size() - 3000) : text;
}

const std::vector<Way> ways{
    {"there and back", "", ""},
    {"given up", "", ""},
    {"made again", "", ""},
    {"changed there", "", ""},
    {"configured anew", "", ""},
    {"refused record", "", ""},
    {"no room", "", ""},
    {"no bound", "", ""},
    {"dead primary", "", ""},
    {"dropped beside", "", ""},
    {"no new name", "", ""},
    {"dropped before", "", ""},
    {"there and back", "", "write.finished:25:kill"},
    {"there and back",
     "journal.intents:20:fail,journal.commit:160:full,lane.upserting:4:fail,lane.upserted:6:drop,lane.erased:2:drop,"
     "copy.written:2:drop,target.sent:3:drop,flip.compared:1:fail",
     ""},
    {"dead primary", "flip.compared:2:fail", ""},
};

const std::map<std::string, std::string> beyond{
    {"source.sending", "requests have no socket"},        {"source.sent", "requests have no socket"},
    {"source.answer", "requests have no socket"},         {"target.half", "no write both writes and erases"},
    {"ddl.renamed", "the fake dialect has no such call"}, {"source.cut", "requests have no socket"},
};

void Survey::add(const Survey& next) {
  well = next.well;
  log = next.log;
  for (const auto& [name, count] : next.hits) hits[name] = std::max(hits[name], count);
}

const std::vector<Survey>& surveys() {
  static const std::vector<Survey> all = [] {
    std::vector<Survey> made(ways.size());
    for_each(ways.size(), [&](size_t i) { made[i] = survey(ways[i]); });
    // What a race leads to may be missed by all of them, once.
    for (size_t again = 1; again < surveys_max && !complete(made); ++again) {
      for_each(ways.size(), [&](size_t i) {
        if (made[i].well) made[i].add(survey(ways[i]));
      });
    }
    return made;
  }();
  return all;
}

std::vector<Pass> passes_of(const std::string& point) {
  std::vector<Pass> passes;
  for (size_t i = 0; i < ways.size(); ++i) {
    const auto& hits = surveys()[i].hits;
    if (const auto found = hits.find(point); found != hits.end()) passes.push_back({&ways[i], found->second});
  }
  return passes;
}

void live_before(const fs::path& directory, const Way& way) {
  if (!way.killed_before.empty()) (void)run(directory, way.journey, way.killed_before);
}

std::string armed_with(const Way& way, const std::string& faults) {
  return way.faults + (way.faults.empty() || faults.empty() ? "" : ",") + faults;
}

void for_each(size_t count, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (size_t i = 0; i < at_once; ++i) {
    threads.emplace_back([&] {
      for (size_t mine = next++; mine < count; mine = next++) work(mine);
    });
  }
  for (auto& thread : threads) thread.join();
}

std::vector<Attempt> attempts(const std::vector<Pass>& passes, std::optional<uint64_t> seed,
                              const std::string& what) {
  std::vector<Attempt> made;
  std::mt19937_64 chance(seed.value_or(0) ^ std::hash<std::string>()(what));
  for (size_t i = 0; seed && i < chosen_attempts; ++i) {
    const Pass& pass = passes[chance() % passes.size()];
    made.push_back({pass.way, 1 + chance() % pass.hits});
  }
  for (size_t i = 0; i < std::max(attempts_min, passes.size()); ++i)
    made.push_back({passes[i % passes.size()].way, 1});
  return made;
}

std::optional<uint64_t> chosen_seed() {
  const char* said = std::getenv("VMPROXY_KILLS_SEED");
  return said == nullptr ? std::nullopt : std::optional<uint64_t>(std::strtoull(said, nullptr, 10));
}

}  // namespace vmproxy::faults
