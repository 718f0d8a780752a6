// A duration as metrics, settings and people count it.
#pragma once

#include "base/clock.h"

namespace vmproxy {

inline double seconds_of(Duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace vmproxy
