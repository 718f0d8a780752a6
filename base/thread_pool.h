// A bounded pool for blocking work: drivers, disk. Work posted when the queue is full is refused, not queued.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace vmproxy {

class ThreadPool {
 public:
  // Threads start when first needed, up to `threads_max`; at most `queue_max` items wait.
  ThreadPool(size_t threads_max, size_t queue_max);
  ~ThreadPool();  // runs what is queued, then joins

  // False when the queue is full, the pool is stopping, or no thread can be had; then `work` will not run, nor when it
  // throws. Threads that the system refuses beside others are done without. Thread-safe.
  [[nodiscard]] bool post(std::function<void()> work);
  void stop();

 private:
  bool start_thread();  // mutex_ held
  void run();

  const size_t threads_max_;
  const size_t queue_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
  bool refused_ = false;  // the last thread wanted; said once
};

}  // namespace vmproxy
