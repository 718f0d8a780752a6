// The records of a history: what a program adds in memory and what a line of a file says (README.md has the names).
// Times are nanoseconds on one monotonic clock that all recorders share. Views need to live only during the call
// that takes them. Values are compared as text: a digest or a version number of what was stored is enough.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

namespace vmproxy::checker {

using Time = int64_t;
inline constexpr Time never = std::numeric_limits<Time>::max();
inline constexpr Time before_all = std::numeric_limits<Time>::min();

enum class Kind : uint8_t {
  read,
  write,
  write_if_absent,  // stores its value if the key is absent, else does nothing and is acknowledged all the same
  remove,
  remove_where,  // a conditional or predicate delete: whether it matched this key is not known
};

enum class Outcome : uint8_t {
  ok,
  fail,     // it did not happen and will not
  unknown,  // it may have happened, or may still
};

// One operation of the application on one key. A batch is one record for each key, with the same times.
struct Operation {
  std::string_view process = {};
  std::string_view key = {};
  Kind kind = Kind::read;
  std::optional<std::string_view> value = {};  // written, or seen by a read; none: absent
  Time call = 0;
  Time ret = never;
  Outcome outcome = Outcome::ok;
  Time latest = never;  // unknown writes: the last moment at which they may execute
  Time stale =
      0;  // reads: may show a state that was current up to this long before `call`; never: any older one
  std::string_view side = {};  // who answered; empty: not recorded
  uint32_t epoch = 0;          // 0: not recorded
};

// A listing of keys. It promises all keys that begin with `prefix`, unless it is partial.
struct Scan {
  std::string_view process = {};
  std::string_view prefix = {};
  std::span<const std::string_view> keys = {};
  Time call = 0;
  Time ret = 0;
  bool partial = false;
};

// A write that a side executed as the primary. What the mirror wrote is none.
struct Execution {
  std::string_view side = {};
  uint32_t epoch = 0;
  std::string_view key = {};
  Time call = 0;
  Time ret = 0;
};

// A request as the proxy sent it, or as a database saw it.
struct Request {
  enum class By : uint8_t {
    sent,
    maybe_sent,  // the proxy cannot know whether it arrived
    seen,
  };
  By by = By::sent;
  std::string_view side = {};
  std::string_view request = {};
};

// A key on one side after everything has ended.
struct Final {
  std::string_view side = {};
  std::string_view key = {};
  std::optional<std::string_view> value = {};  // none: absent
};

}  // namespace vmproxy::checker
