// Whether one register can have given these answers: the search of Wing and Gong with Lowe's memory of the states
// that were tried, over reads, writes and optional writes.
//
// A register begins absent (value 0). An order of the operations explains them if each read finds its value, and no
// operation stands behind one that began only after it had ended. Operations whose times touch may go either way.
#pragma once

#include <cstdint>
#include <span>

#include "tests/checker/record.h"

namespace vmproxy::checker {

struct Step {
  enum class Does : uint8_t { read, write, write_if_absent };
  Does does = Does::read;
  bool optional = false;  // a write that may also never take effect
  uint32_t value = 0;     // 0 is absent
  uint32_t epoch = 0;     // of a write; 0: none. Along the order epochs never fall.
  Time call = 0;          // takes effect not before
  Time last = never;      // and not after; an optional one: then or never
};

enum class Answer : uint8_t { possible, impossible, gave_up };

struct SearchResult {
  Answer answer = Answer::possible;
  uint64_t states = 0;  // distinct (operations done, value) that were tried, in all ways together
};

// Gives up after `states_max` states, of 16 bytes each, or 64 visits of an operation for each of them; with conditional
// writes after twice and a fifth as many, tried in several ways one after the other. States are known by 128-bit
// hashes: two that meet by chance (once in 10^20 runs of the largest size) could only make a possible history look
// impossible.
SearchResult search_register(std::span<const Step> steps, uint64_t states_max);

}  // namespace vmproxy::checker
