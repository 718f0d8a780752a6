// When the bytes of one direction of one connection may go on. No I/O: the time and the faults are told.
#pragma once

#include <random>

#include "faults.h"

namespace vmproxy::faultproxy {

class Shaper {
 public:
  explicit Shaper(uint64_t seed) : random_(seed) {}

  // The moment at which what came now is due: never before what came earlier. Uses one random number.
  TimePoint due(const Faults& faults, TimePoint now);
  // How many of `ready` bytes may be written now; 0: not before free_at().
  size_t allowance(const Faults& faults, size_t ready, TimePoint now) const;
  void wrote(const Faults& faults, size_t bytes, TimePoint now);
  TimePoint free_at() const { return free_at_; }
  bool cut_reached(const Faults& faults) const { return faults.cut_after && passed_ >= *faults.cut_after; }
  uint64_t passed() const { return passed_; }

 private:
  std::mt19937_64 random_;  // its numbers are the same with every standard library
  TimePoint last_due_{};
  TimePoint free_at_{};
  uint64_t passed_ = 0;
};

// One number for a name and two numbers, the same on every machine.
uint64_t seed_of(uint64_t seed, std::string_view name, uint64_t number);

}  // namespace vmproxy::faultproxy
