// The status of a migration as one screen: a verdict, the five questions, the parts, the next and the way
// back. Pure: from the admin API's object to text.
#pragma once

#include <boost/json.hpp>
#include <string>

#include "cli/terminal.h"

namespace vmproxy::cli {

std::string status_screen(const boost::json::object& status, const Terminal& terminal);
// One line, for waiting: "copying [####....] 42 % 1 876 056 / 4 466 810 12 300/s 2 m 31 s left".
std::string progress_line(const boost::json::object& status);

// ", 3 not compared (written all the while)"; empty when there are none.
std::string unsettled_part(const boost::json::object& status);
// Collections that the source has dropped and the target still has: the first three, and how many more; empty: none.
std::string left_behind_names(const boost::json::object& status);

// Members by a path like "backfill.records"; a default where absent or of another type.
std::string text_at(const boost::json::object& object, std::string_view path);
double number_at(const boost::json::object& object, std::string_view path, double absent = 0);
uint64_t count_at(const boost::json::object& object, std::string_view path);
bool truth_at(const boost::json::object& object, std::string_view path);
const boost::json::array& array_at(const boost::json::object& object, std::string_view name);

}  // namespace vmproxy::cli
