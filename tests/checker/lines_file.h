// Lines of a history in a file of their own, which goes away.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/checker/check.h"
#include "tests/checker/reader.h"

namespace vmproxy::checker {

class LinesFile {
 public:
  explicit LinesFile(std::string_view content) {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("history_checker_" + std::to_string(::getpid()) + "_" + std::to_string(count++));
    std::ofstream(path_, std::ios::binary) << content;
  }
  LinesFile(const LinesFile&) = delete;
  ~LinesFile() { std::filesystem::remove(path_); }

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

inline std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

inline Report check_lines(const std::vector<std::string>& lines) {
  const LinesFile file(joined(lines));
  History history;
  Reader(history).read(file.path()).value();
  return check(history);
}

}  // namespace vmproxy::checker
