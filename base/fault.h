// Fault points: named places of the code where a test kills the process, waits, or lets the step fail, to see what a restart
// makes of it. fault_points.def is the list; docs/reliability.md says how to use them. They are in builds with the CMake option
// VMPROXY_FAULTS only: elsewhere a point is a constant, and its name is not in the program.
//
// Any thread may pass a point, also with a lock held. While nothing is armed that costs one relaxed load. A delay blocks the
// thread that is there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::fault {

enum Action : unsigned {
  kill = 1,          // SIGKILL: nothing is flushed, nobody is told
  delay = 2,         // so many milliseconds
  fail = 4,          // the step reports its ordinary error
  drop = 8,          // the step was done and its answer is lost
  short_write = 16,  // so many bytes are written, then the step fails
  full = 32,         // it fails as on a full disk
};
// What every place can do.
inline constexpr unsigned mark = kill | delay;

struct Point {
  std::string_view name;
  unsigned places;   // lines of the code that name it
  unsigned actions;  // of Action
  std::string_view meaning;
};

inline constexpr Point points[] = {
#define POINT(name, places, actions, meaning) {name, places, actions, meaning},
#include "base/fault_points.def"
#undef POINT
};
inline constexpr size_t points_count = std::size(points);

#ifdef VMPROXY_FAULTS
inline constexpr bool built_in = true;
#else
inline constexpr bool built_in = false;
#endif

// What the step at a point is to do. Nothing, as a rule.
struct Hit {
  bool fails = false;
  bool full = false;
  bool drops = false;
  size_t bytes_max = SIZE_MAX;  // of a short write

  bool broken() const { return fails || full; }
  bool cut() const { return bytes_max != SIZE_MAX; }
  Error disk_error() const { return {Code::io, full ? "the disk is full" : "the disk failed"}; }
};

// Arms what the text says instead of whatever was armed, and counts hits from 0 again: "NAME:NTH:ACTION[,...]". NTH is a number
// from 1, or * for each hit; ACTION one of kill, delay=MS, fail, drop, short=BYTES, full. "count" arms nothing and counts hits;
// an empty text ends both. On error (invalid; unsupported where this build has no points) everything is as it was.
Result<void> arm(std::string_view text);

#ifdef VMPROXY_FAULTS
// What arm() was told last.
std::string armed();
// Since arm(); an index of `points`.
uint64_t hits(size_t point);
// "kill, delay" and so on.
std::string names_of(unsigned actions);

extern std::atomic<bool> active;
Hit reached(size_t point);
inline Hit pass(size_t point) {
  return active.load(std::memory_order_relaxed) ? reached(point) : Hit{};
}
#else
constexpr Hit pass(size_t) {
  return {};
}
#endif

// Its index. What is not in the list does not compile, nor does a point that takes more actions than its place looks at.
consteval size_t index_of(std::string_view name, bool marks_only) {
  for (size_t i = 0; i < points_count; ++i) {
    if (points[i].name != name) continue;
    if ((points[i].actions == mark) != marks_only)
      throw "VMPROXY_FAULT is for marks, VMPROXY_FAULT_HIT for all others";
    return i;
  }
  throw "not in base/fault_points.def";
}

}  // namespace vmproxy::fault

// A place that only marks a moment.
#define VMPROXY_FAULT(name) static_cast<void>(::vmproxy::fault::pass(::vmproxy::fault::index_of(name, true)))
// A place that can fail: a Hit, which says how.
#define VMPROXY_FAULT_HIT(name) ::vmproxy::fault::pass(::vmproxy::fault::index_of(name, false))
