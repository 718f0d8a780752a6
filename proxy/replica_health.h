// ReplicaHealth: back-off and circuit breaker for one side that we write to. After a failure everyone waits a growing,
// jittered time; then a single lane probes with a single entry before the others go on. Thread-safe.
#pragma once

#include <algorithm>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/random.h"

namespace vmproxy::proxy {

class ReplicaHealth {
 public:
  ReplicaHealth(Clock& clock, Random& random) : clock_(clock), random_(random) {}

  // May this lane send now, and how much? 0: not yet (see retry_at), 1: as the probe, else anything.
  size_t allowed() {
    std::lock_guard hold(mutex_);
    if (failures_ == 0) return SIZE_MAX;
    if (probing_ || clock_.now() < retry_at_) return 0;
    probing_ = true;
    return 1;
  }
  // allowed() said yes to a probe, for as long as this lives. Whatever came of it, it may not have been anything that fails
  // or succeeds: then the next one probes, for else nobody would ever ask again.
  class Turn {
   public:
    Turn(ReplicaHealth& health, size_t allowed)
        : health_(health), probes_(allowed > 0 && allowed != SIZE_MAX) {}
    Turn(const Turn&) = delete;
    ~Turn() {
      if (probes_) health_.unused();
    }

   private:
    ReplicaHealth& health_;
    const bool probes_;
  };
  // allowed() said yes, but there was nothing to send.
  void unused() {
    std::lock_guard hold(mutex_);
    probing_ = false;
  }
  TimePoint retry_at() const {
    std::lock_guard hold(mutex_);
    return probing_ ? clock_.now() + std::chrono::milliseconds(20) : retry_at_;
  }
  // True when this ended an outage.
  bool succeeded() {
    std::lock_guard hold(mutex_);
    const bool was_out = failures_ > 0;
    failures_ = 0;
    probing_ = false;
    problem_.clear();
    return was_out;
  }
  // True when this began an outage.
  bool failed(const std::string& problem) {
    std::lock_guard hold(mutex_);
    const bool began = failures_ == 0;
    failures_ = std::min(failures_ + (probing_ || began ? 1 : 0), 10);
    probing_ = false;
    problem_ = problem;
    const double seconds = std::min(0.05 * static_cast<double>(1 << failures_), backoff_seconds_max);
    retry_at_ = clock_.now() + std::chrono::duration_cast<Duration>(
                                   std::chrono::duration<double>(seconds * (0.5 + random_.unit() / 2)));
    return began;
  }
  std::string problem() const {
    std::lock_guard hold(mutex_);
    return problem_;
  }

 private:
  static constexpr double backoff_seconds_max = 2.0;

  Clock& clock_;
  Random& random_;
  mutable std::mutex mutex_;
  int failures_ = 0;
  bool probing_ = false;
  TimePoint retry_at_{};
  std::string problem_;
};

}  // namespace vmproxy::proxy
