#include "base/thread_pool.h"

#include <system_error>
#include <utility>

#include "base/log.h"

namespace vmproxy {

ThreadPool::ThreadPool(size_t threads_max, size_t queue_max)
    : threads_max_(threads_max), queue_max_(queue_max) {}

ThreadPool::~ThreadPool() {
  stop();
}

bool ThreadPool::post(std::function<void()> work) {
  {
    std::lock_guard hold(mutex_);
    if (stopping_ || queue_.size() >= queue_max_) return false;
    // A thread before the work: what throws here has queued nothing. The thread waits for the lock.
    if (queue_.size() >= idle_ && threads_.size() < threads_max_ && !start_thread() && threads_.empty())
      return false;
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
  return true;
}

bool ThreadPool::start_thread() {
  try {
    threads_.emplace_back([this] { run(); });
    refused_ = false;
    return true;
  } catch (const std::system_error& refused) {
    if (!std::exchange(refused_, true)) {
      log::warn("a thread for background work cannot be started; the others do it",
                {{"error", refused.what()}, {"others", threads_.size()}});
    }
    return false;
  }
}

void ThreadPool::stop() {
  {
    std::lock_guard hold(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ThreadPool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (queue_.empty()) return;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    try {
      work();
    } catch (const std::exception& e) {
      log::error("background work failed", {{"what", e.what()}});
    }
    work = nullptr;
    lock.lock();
  }
}

}  // namespace vmproxy
