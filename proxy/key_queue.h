// KeyQueue: first come, first served per key, for writes that are read-modify-write (after promotion). The only place
// where writes wait for each other. All keys of a write queue up in one step, so two writes can never wait in a circle.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace vmproxy::proxy {

class KeyQueue {
 public:
  explicit KeyQueue(Clock& clock) : clock_(clock) {}

  // Holds its keys until it dies.
  class Turn {
   public:
    Turn(KeyQueue& queue, std::vector<std::string> keys) : queue_(&queue), keys_(std::move(keys)) {}
    Turn(Turn&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)),
          keys_(std::move(other.keys_)),
          number_(other.number_) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();
    // False at the deadline; the place in the queue is given up then.
    bool wait(Deadline deadline);

   private:
    friend class KeyQueue;
    KeyQueue* queue_;
    std::vector<std::string> keys_;
    uint64_t number_ = 0;
  };
  // Queues up at once; wait() before using the keys.
  Turn line_up(std::vector<std::string> keys);
  // Waits until all that lined up before for a key that begins so have left. False at the deadline.
  bool wait_for_all(std::string_view beginning, Deadline deadline);

 private:
  bool first(const Turn& turn) const;
  void leave(const Turn& turn);

  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<std::string, std::deque<uint64_t>> lines_;
  uint64_t next_ = 1;
};

}  // namespace vmproxy::proxy
