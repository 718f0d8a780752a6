// Starts a program that runs with each call of its disk failing in turn (see disk_fault_run.cpp), and again behind a run that
// ended it.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/store/bad_disk.h"

namespace vmproxy::bad_disk {

struct Runs {
  int count = 0;
  std::vector<std::string> wrong;
};

// Every `step`th call, beginning with another one for each fault. Of its lines "RUN number ..." begins a run, "WRONG ..." is what
// it found.
inline Runs run(const std::string& program, Fault fault, int step,
                const std::vector<std::string>& arguments) {
  constexpr size_t wrong_max = 10;
  Runs runs;
  // In memory, where there is such a place: a sync costs nothing there, and only what fails is of interest.
  const std::filesystem::path memory = "/dev/shm";
  const auto parent = std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path();
  std::string directory = (parent / "vmproxy-bad-disk-XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) return {0, {"cannot make a directory"}};
  for (int first = 1 + static_cast<int>(fault) % step; runs.wrong.size() < wrong_max;) {
    std::vector<std::string> words = {program, directory + "/disk", std::to_string(static_cast<int>(fault)),
                                      std::to_string(first), std::to_string(step)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int ends[2];
    if (::pipe(ends) != 0) return {0, {"cannot make a pipe"}};
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], 1);
      ::dup2(ends[1], 2);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execv(program.c_str(), argv.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    std::FILE* lines = ::fdopen(ends[0], "r");
    std::string now = "before its first run", said;
    for (char line[4096]; std::fgets(line, sizeof line, lines) != nullptr;) {
      const std::string text(line, std::string_view(line).find_last_not_of('\n') + 1);
      if (text.rfind("RUN ", 0) == 0) {
        now = text;
        first = std::atoi(text.c_str() + 4) + step;
        ++runs.count;
        said.clear();
      } else if (text.rfind("WRONG ", 0) == 0) {
        runs.wrong.push_back(now + ": " + text.substr(6));
      } else {
        said = said.size() > 2000 ? text : said + "\n" + text;
      }
    }
    std::fclose(lines);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
    if (WIFSIGNALED(status))
      runs.wrong.push_back(now + ": ended by signal " + std::to_string(WTERMSIG(status)) + said);
    else if (runs.wrong.empty() || WEXITSTATUS(status) != 1)
      runs.wrong.push_back(now + ": exit code " + std::to_string(WEXITSTATUS(status)) + said);
    if (runs.count == 0) break;
  }
  std::filesystem::remove_all(directory);
  return runs;
}

}  // namespace vmproxy::bad_disk
