// StepTimes: how long each step of a change of the primary took, for the audit and the log: whoever asks why a switch held
// his writes finds the answer there. Of one thread.
#pragma once

#include <string>

#include "base/clock.h"

namespace vmproxy::cutover {

class StepTimes {
 public:
  explicit StepTimes(Clock& clock) : clock_(clock), last_(clock.now()) {}
  // The step that ends now.
  void ended(const char* step) {
    const TimePoint now = clock_.now();
    add(step, now - last_);
    last_ = now;
  }
  void add(const char* what, Duration took) {
    text_ += (text_.empty() ? "" : ", ") + std::string(what) + ' ' +
             std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()) + " ms";
  }
  // "pre-drain 40 ms, drain 3 ms, ..."
  const std::string& text() const { return text_; }

 private:
  Clock& clock_;
  TimePoint last_;
  std::string text_;
};

}  // namespace vmproxy::cutover
