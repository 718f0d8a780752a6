// The lines of a check: what was tried, how it went, what to do.
#pragma once

#include <string>
#include <vector>

#include "cli/program.h"

namespace vmproxy::cli {

class CheckReport {
 public:
  explicit CheckReport(Session& session) : session_(session) {}

  void ok(const std::string& what, const std::string& detail) { add("ok", what, detail, ""); }
  void warn(const std::string& what, const std::string& detail, const std::string& fix) {
    add("warn", what, detail, fix);
  }
  void fail(const std::string& what, const std::string& detail, const std::string& fix) {
    add("fail", what, detail, fix);
  }
  void fail(const std::string& what, const Error& error);

  // Prints the whole as JSON when asked for, and says how the command ends.
  Ending finish();

 private:
  struct Line {
    std::string result, what, detail, fix;
  };
  void add(std::string result, const std::string& what, const std::string& detail, const std::string& fix);

  Session& session_;
  std::vector<Line> lines_;
  size_t warnings_ = 0;
  size_t failures_ = 0;
  bool unreachable_ = false;
};

}  // namespace vmproxy::cli
