// Figures as people read them, and JSON as people read it.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>

namespace vmproxy::cli {

std::string grouped(uint64_t number);         // 4 466 810
std::string short_duration(double seconds);   // 0.2 s, 42 s, 9 m 29 s, 3 h 05 m
std::string percent(double value);            // 12.5 %, 10 %
std::string bar(double share, size_t width);  // [####......]
std::string bytes(uint64_t count);            // 1.5 GiB
// "1 record", "2 records".
std::string count(uint64_t number, const std::string& one, const std::string& many);

// Two spaces of indentation, numbers in their shortest usual form, a newline at the end.
std::string pretty(const boost::json::value& value);

}  // namespace vmproxy::cli
