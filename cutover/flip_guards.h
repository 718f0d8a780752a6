// What a change of the primary holds, and gives back however it ends. Of one thread each.
#pragma once

#include <atomic>
#include <exception>
#include <utility>

#include "proxy/gate.h"
#include "proxy/mirror.h"

namespace vmproxy::cutover {

// While the old primary is dead nobody begins a READ of it: one that hangs would outlast the fence.
class HeldReads {
 public:
  HeldReads(proxy::Mirror& mirror, bool held) : mirror_(mirror), held_(held) {
    if (held_) mirror_.hold_reads(true);
  }
  HeldReads(const HeldReads&) = delete;
  ~HeldReads() {
    if (held_) mirror_.hold_reads(false);
  }

 private:
  proxy::Mirror& mirror_;
  const bool held_;
};

// A promotion gives way while this is set. However the wait for it ends, it is not afterwards.
class GivingWay {
 public:
  explicit GivingWay(std::atomic<bool>& set) : set_(set) {}
  GivingWay(const GivingWay&) = delete;
  ~GivingWay() { set_ = false; }

 private:
  std::atomic<bool>& set_;
};

// A gate that is closed. However the change ends, it is opened again.
class Fence {
 public:
  explicit Fence(proxy::Gate& gate) : gate_(gate) {}
  Fence(const Fence&) = delete;
  ~Fence() { end(); }
  void close() {
    gate_.close();
    closed_ = true;
  }
  void end() {
    if (std::exchange(closed_, false)) gate_.open();
  }

 private:
  proxy::Gate& gate_;
  bool closed_ = false;
};

// Lanes that were stopped in the fence. However the change ends, they run again.
class StoppedLanes {
 public:
  explicit StoppedLanes(proxy::Mirror& mirror) : mirror_(mirror) {}
  StoppedLanes(const StoppedLanes&) = delete;
  ~StoppedLanes() { resume(); }
  void resume() noexcept {
    if (!std::exchange(stopped, false)) return;
    try {
      mirror_.resume_lanes();
    } catch (const std::exception&) {  // they are let run first; threads that are missing begin later
    }
  }
  bool stopped = false;

 private:
  proxy::Mirror& mirror_;
};

}  // namespace vmproxy::cutover
