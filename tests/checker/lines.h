// A file line by line, with the room behind each line that simdjson asks for. A view lives until the next call.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace vmproxy::checker {

class Lines {
 public:
  static constexpr size_t line_bytes_max = 64U << 20;

  static Result<Lines> open(const std::string& path);

  // False at the end of the file. An error: the disk's, or a line that is too long.
  Result<bool> next();
  std::string_view line() const { return {buffer_.data() + begin_, end_ - begin_}; }
  bool has_end() const { return has_end_; }  // the line ended with a newline
  uint64_t number() const { return number_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  Result<bool> fill();

  std::unique_ptr<std::FILE, Close> file_;
  std::vector<char> buffer_;
  size_t begin_ = 0, end_ = 0;    // the line
  size_t next_ = 0, filled_ = 0;  // what was read and not yet given out
  bool has_end_ = false;
  uint64_t number_ = 0;
};

}  // namespace vmproxy::checker
