// Scheduler: runs code made of threads, mutexes, condition variables, futures and clocks so that one thread goes on at a
// time, which one is drawn from a seed, and time is a number. The code is not changed for it: interpose.cpp stands between
// it and the C library, and asks here. The same seed gives the same run.
//
// A thread gives way only where it could notice others: before it takes a mutex, when it waits, wakes somebody, starts or
// joins a thread, and where a fake says so (pause_point()). Time passes a little at each of these, and jumps to the next
// deadline when nobody can run. One run at a time in a process; threads that a run leaves behind sleep for ever, so a program
// gives each seed a process of its own.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vmproxy::sim {

using Time = int64_t;  // nanoseconds since the run began
inline constexpr Time never = INT64_MAX;
inline constexpr Time microsecond = 1000, millisecond = 1000 * microsecond, second = 1000 * millisecond;

// What stops together when a process is killed.
using Group = uint32_t;

class Scheduler {
 public:
  struct Options {
    uint64_t seed = 1;
    uint64_t steps_max = 20'000'000;  // of a run; more is a run that does not end
    bool verbose = false;             // notes go to stderr
  };
  enum class End { done, deadlock, too_long };
  struct Outcome {
    End end = End::done;
    std::string report;  // of a deadlock: who waits for what
    uint64_t trace = 0;  // a digest of every decision and every note
    uint64_t steps = 0;
    Time time = 0;
  };

  explicit Scheduler(Options options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;

  // Runs `body` and whatever it starts until `body` ends. What runs then still never goes on.
  Outcome run(std::function<void()> body);

  // --- for fakes and the workload, from inside a run
  static Scheduler* current();  // of the calling thread; nothing: it is none of a run
  Time now() const { return now_; }
  uint64_t random() { return random_(); }
  uint64_t below(uint64_t bound) { return random_() % bound; }
  bool chance(double probability) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability; }
  Time between(Time from, Time to) {
    return from + static_cast<Time>(below(static_cast<uint64_t>(to - from) + 1));
  }
  // Somebody else may go on here.
  void pause_point();
  void sleep_until(Time when);
  // `what` runs then, whoever lives: on no thread, so it must not wait.
  void at(Time when, std::function<void()> what);
  // Something that happened, as the run is compared with another of the same seed.
  void note(std::string_view what);
  // An event right after the note, so many of them from now, that begins so: the thread that noted it has not gone on, if it
  // waits then. One at a time; another one replaces it.
  void after_notes(std::string beginning, uint64_t count, std::function<void()> what);
  // Threads started from now on by the calling thread, and by those, belong to it.
  Group new_group() { return ++groups_; }
  // A thread that belongs to `group`.
  void spawn(Group group, std::string name, std::function<void()> body);
  // kill -9: no thread of the group ever goes on, wherever it is.
  void kill(Group group);
  // Waits until notify() of the same place; false at the deadline. For fakes: threads of a run wait on what they know.
  bool wait(const void* place, Time deadline);
  void notify(const void* place);

  // --- for interpose.cpp
  void lock(void* mutex);
  bool try_lock(void* mutex);
  void unlock(void* mutex);
  bool wait_condition(void* condition, void* mutex, Time deadline);  // false at the deadline
  void signal(void* condition, bool all);
  bool wait_futex(const unsigned* address, unsigned value, Time deadline);
  void start_thread(std::string name, std::function<void()> body, pthread_t* handle);
  void join(pthread_t handle);
  Time read_clock();

 private:
  struct Thread;
  struct Mutex {
    Thread* owner = nullptr;
    std::vector<Thread*> waiting;
  };
  struct Awaited {
    std::string beginning;
    uint64_t count = 0;
    std::function<void()> event;
  };
  struct Timer {
    Thread* thread = nullptr;
    uint64_t wait = 0;
    std::function<void()> event;
  };

  Thread* make_thread(Group group, std::string name, std::function<void()> body);
  void launch(Thread* thread, pthread_t* handle);
  static void* enter(void* thread);
  void finish(Thread* self);
  void step(char kind);
  void yield();
  bool block(const char* what, const void* place, Time deadline);
  bool wait_in(std::unordered_map<const void*, std::vector<Thread*>>& waiting, const char* what,
               const void* place, Time deadline);
  void wake(Thread* thread);
  void wake_all(std::vector<Thread*> threads);
  void acquire(void* mutex);
  void release(void* mutex);
  void fire_due();
  Thread* choose();  // nobody: the run is over
  void switch_to(Thread* next);
  void end(End end, std::string report);
  std::string waiting_report() const;
  void mix(uint64_t value);
  void print(const std::string& text) const;

  static constinit thread_local Thread* self_;

  const Options options_;
  std::mt19937_64 random_;
  double switch_chance_ = 0, stall_chance_ = 0;
  Time now_ = 0;
  uint64_t timers_made_ = 0;
  Group groups_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Thread*> runnable_;
  std::map<std::pair<Time, uint64_t>, Timer> timers_;
  // Looked up, never walked through: their order is that of addresses.
  std::unordered_map<const void*, Mutex> mutexes_;
  std::unordered_map<const void*, std::vector<Thread*>> conditions_, places_;
  Awaited awaited_;
  Thread* first_ = nullptr;
  bool in_event_ = false;
  Outcome outcome_;
  bool over_ = false;
  int over_signal_ = 0;
};

}  // namespace vmproxy::sim
