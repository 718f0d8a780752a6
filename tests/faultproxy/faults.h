// What a test may ask of a link, as values, and how control lines spell them. No I/O.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "base/error.h"

namespace vmproxy::faultproxy {

// Of a link: the party that connected is the client, the one that we connect to is the upstream.
enum class Direction { to_upstream, to_client };

// How a connection ends after its last byte.
enum class Cut {
  fin,        // both sides see an orderly end
  reset,      // both sides see a RST
  half_close  // the receiver sees an orderly end, the other direction goes on
};

// One direction of a link. As made: a plain relay.
struct Faults {
  Duration latency{};             // added to every byte; bytes on their way do not hold up later ones
  Duration jitter{};              // up to that much more, by the seed; never changes the order of bytes
  uint64_t bytes_per_second = 0;  // of each connection; 0: no limit
  bool blackhole = false;  // nothing passes, no end either; it goes on when this is cleared, as TCP would
  std::optional<uint64_t>
      cut_after;  // ends a connection once that many bytes passed; 0: instead of the first byte
  Cut cut = Cut::fin;
  size_t read_bytes = 0;  // at most that many bytes at a time from a small receive window; 0: no limit
  Duration read_pause{};  // between two reads
};

// A second connection to the upstream, made `after` the first byte went there. It sends again what the first had sent
// by then, at most `bytes`, and throws the answer away.
struct Duplicate {
  Duration after{};
  uint64_t bytes = 64 * 1024;
};

struct LinkFaults {
  Faults to_upstream;
  Faults to_client;
  bool refuse = false;  // new connections are refused by the kernel
  std::optional<Duplicate> duplicate;

  Faults& of(Direction direction) { return direction == Direction::to_upstream ? to_upstream : to_client; }
};

constexpr uint64_t duplicate_bytes_max = 1024 * 1024;

// {"latency_ms": 5, "jitter_ms": 2, "bytes_per_second": 1000, "blackhole": true, "cut_after": 17, "cut": "reset",
// "read_bytes": 1, "read_pause_ms": 10}; what is absent is as made.
Result<Faults> read_faults(const boost::json::object& from);
// {"after_ms": 50, "bytes": 1000}
Result<Duplicate> read_duplicate(const boost::json::object& from);
Result<Direction> read_direction(std::string_view name);

}  // namespace vmproxy::faultproxy
