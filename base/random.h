// Randomness, passed in so that a run can be repeated from its seed. Not for secrets.
#pragma once

#include <cstdint>
#include <mutex>
#include <random>

namespace vmproxy {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  uint64_t next() {
    std::lock_guard hold(mutex_);
    return engine_();
  }
  // Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound) { return next() % bound; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

uint64_t seed_from_system();

}  // namespace vmproxy
