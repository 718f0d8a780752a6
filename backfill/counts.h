// Counts: what became of scanned records. Part of every checkpoint, so that a resumed copy counts on exactly.
#pragma once

#include <cstdint>

namespace vmproxy::backfill {

struct Counts {
  uint64_t records = 0;  // acknowledged, whatever became of them
  uint64_t dropped = 0;
  uint64_t quarantined = 0;
  uint64_t duplicates = 0;

  Counts& operator+=(const Counts& other) {
    records += other.records;
    dropped += other.dropped;
    quarantined += other.quarantined;
    duplicates += other.duplicates;
    return *this;
  }
};

}  // namespace vmproxy::backfill
