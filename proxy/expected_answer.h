// ExpectedAnswer: what the next answer that is held may take, from those before. Requests count so much in the budget before
// their answer is there, so that many that begin at once do not find out together that there was no room. Thread-safe.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace vmproxy::proxy {

class ExpectedAnswer {
 public:
  // Bytes while it is made: rows, records and text of it are there beside each other. Answers of 4.4 MB took 14 MB each
  // (tests/integration/test_overload.py, clients that do not read).
  uint64_t making() const { return 4 * largest_.load(std::memory_order_relaxed); }
  // Bytes of one that is there. A larger one counts at once; it is forgotten over some hundred smaller ones.
  void seen(uint64_t bytes) {
    const uint64_t before = largest_.load(std::memory_order_relaxed);
    // Of two at the same moment one may be lost: the next one says it again.
    largest_.store(std::max(bytes, before - before / 64), std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t> largest_{1 << 20};
};

}  // namespace vmproxy::proxy
