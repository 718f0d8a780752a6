#include "faults.h"

#include <boost/json/value.hpp>
#include <string>

namespace vmproxy::faultproxy {
namespace {

constexpr int64_t number_max = int64_t{1} << 40;

Error unknown(std::string_view name) {
  return {Code::invalid, "unknown field '" + std::string(name) + "'"};
}

Result<uint64_t> number(std::string_view name, const boost::json::value& value) {
  const auto* whole = value.if_int64();
  if (whole == nullptr || *whole < 0 || *whole > number_max)
    return Error(Code::invalid, std::string(name) + " is not a whole number from 0 to 2^40");
  return static_cast<uint64_t>(*whole);
}

Result<Cut> read_cut(const boost::json::value& value) {
  const auto* text = value.if_string();
  const std::string_view name = text != nullptr ? std::string_view(*text) : std::string_view();
  if (name == "fin") return Cut::fin;
  if (name == "reset") return Cut::reset;
  if (name == "half_close") return Cut::half_close;
  return Error(Code::invalid, "cut is none of fin, reset, half_close");
}

Result<void> read_number(std::string_view name, uint64_t value, Faults& out) {
  const auto milliseconds = std::chrono::milliseconds(value);
  if (name == "latency_ms") {
    out.latency = milliseconds;
  } else if (name == "jitter_ms") {
    out.jitter = milliseconds;
  } else if (name == "bytes_per_second") {
    out.bytes_per_second = value;
  } else if (name == "cut_after") {
    out.cut_after = value;
  } else if (name == "read_bytes") {
    out.read_bytes = value;
  } else if (name == "read_pause_ms") {
    out.read_pause = milliseconds;
  } else {
    return unknown(name);
  }
  return {};
}

}  // namespace

Result<Faults> read_faults(const boost::json::object& from) {
  Faults out;
  for (const auto& [name, value] : from) {
    if (name == "blackhole") {
      const auto* flag = value.if_bool();
      if (flag == nullptr) return Error(Code::invalid, "blackhole is neither true nor false");
      out.blackhole = *flag;
    } else if (name == "cut") {
      const auto cut = read_cut(value);
      if (!cut) return cut.error();
      out.cut = *cut;
    } else {
      const auto read = number(name, value);
      if (!read) return read.error();
      if (auto known = read_number(name, *read, out); !known) return known.error();
    }
  }
  return out;
}

Result<Duplicate> read_duplicate(const boost::json::object& from) {
  Duplicate out;
  for (const auto& [name, value] : from) {
    const auto read = number(name, value);
    if (!read) return read.error();
    if (name == "after_ms") {
      out.after = std::chrono::milliseconds(*read);
    } else if (name == "bytes") {
      if (*read > duplicate_bytes_max)
        return Error(Code::invalid,
                     "bytes of a duplicate are more than " + std::to_string(duplicate_bytes_max));
      out.bytes = *read;
    } else {
      return unknown(name);
    }
  }
  return out;
}

Result<Direction> read_direction(std::string_view name) {
  if (name == "to_upstream") return Direction::to_upstream;
  if (name == "to_client") return Direction::to_client;
  return Error(Code::invalid, "direction is neither to_upstream nor to_client");
}

}  // namespace vmproxy::faultproxy
