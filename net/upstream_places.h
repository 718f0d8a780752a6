// How many connections to databases a worker may have at once, and who waits for one. Used on its worker only.
#pragma once

#include <cstddef>
#include <limits>
#include <list>
#include <utility>

#include "net/signal.h"

namespace vmproxy::net {

class UpstreamPlaces {
 public:
  // What a connection holds from its first attempt until it is closed.
  class Place {
   public:
    Place() = default;
    explicit Place(UpstreamPlaces& places) : places_(&places) { ++places.taken_; }
    Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(places_, other.places_);
      return *this;
    }
    ~Place() {
      if (places_ == nullptr) return;
      --places_->taken_;
      places_->changed();
    }

   private:
    UpstreamPlaces* places_ = nullptr;
  };

  // Somebody who waits; the one who came first is the next.
  class Turn {
   public:
    explicit Turn(UpstreamPlaces& places)
        : places_(places),
          signal_(places.signals_),
          entry_(places.turns_.insert(places.turns_.end(), this)) {}
    ~Turn() {
      places_.turns_.erase(entry_);
      places_.changed();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    bool first() const { return places_.turns_.front() == this; }
    Signal& changed() { return signal_; }

   private:
    UpstreamPlaces& places_;
    Signal signal_;
    std::list<Turn*>::iterator entry_;
  };

  explicit UpstreamPlaces(SignalSet& signals) : signals_(signals) {}

  void at_most(size_t places) { most_ = places; }
  bool full() const { return taken_ >= most_; }
  // Who comes now has to wait for others first.
  bool awaited() const { return !turns_.empty(); }
  // A place has become free, or a connection idle.
  void changed() {
    if (!turns_.empty()) turns_.front()->changed().notify();
  }

 private:
  SignalSet& signals_;
  size_t most_ = std::numeric_limits<size_t>::max();
  size_t taken_ = 0;
  std::list<Turn*> turns_;  // bound: a turn each for the requests under way
};

}  // namespace vmproxy::net
