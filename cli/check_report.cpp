#include "cli/check_report.h"

#include <boost/json.hpp>

#include "cli/databases.h"
#include "cli/format.h"

namespace vmproxy::cli {
namespace json = boost::json;

void CheckReport::fail(const std::string& what, const Error& error) {
  unreachable_ = unreachable_ || exit_of(error.code) == exit_unreachable || error.code == Code::timeout;
  add("fail", what, error.message, remedy(error));
}

void CheckReport::add(std::string result, const std::string& what, const std::string& detail,
                      const std::string& fix) {
  if (result == "warn") ++warnings_;
  if (result == "fail") ++failures_;
  if (!session_.options.json) {
    Terminal& terminal = session_.terminal;
    const Colour colour = result == "ok" ? Colour::green : result == "warn" ? Colour::yellow : Colour::red;
    terminal.out() << terminal.paint(result, colour) << std::string(6 - result.size(), ' ')
                   << wrap(std::string(6, ' ') + what + ": " + detail, terminal.width(), 6).substr(6) << '\n';
    if (!fix.empty())
      terminal.out() << "      " << wrap(std::string(6, ' ') + "fix: " + fix, terminal.width(), 11).substr(6)
                     << '\n';
    terminal.out() << std::flush;
  }
  lines_.push_back({std::move(result), what, detail, fix});
}

Ending CheckReport::finish() {
  if (session_.options.json) {
    json::array checks;
    for (const auto& line : lines_) {
      checks.push_back({{"result", line.result},
                        {"what", line.what},
                        {"detail", line.detail},
                        {"fix", line.fix.empty() ? json::value(nullptr) : json::value(line.fix)}});
    }
    session_.terminal.out() << pretty(
        json::object{{"checks", std::move(checks)}, {"failures", failures_}, {"warnings", warnings_}});
  }
  if (failures_ > 0) {
    const Exit code = unreachable_ ? exit_unreachable : exit_precondition;
    return Failure{
        code, count(failures_, "check", "checks") + " failed, " + count(warnings_, "warning", "warnings"),
        "Mend what is marked 'fail' and check again"};
  }
  if (!session_.options.json) {
    session_.terminal.say(warnings_ == 0 ? "all is well; next: vmproxy serve"
                                         : count(warnings_, "warning", "warnings") +
                                               "; nothing that forbids to go on: vmproxy serve");
  }
  return std::nullopt;
}

}  // namespace vmproxy::cli
