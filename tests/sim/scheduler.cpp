#include "tests/sim/scheduler.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace vmproxy::sim {

// The baton is passed below the C library's locks, which are what is being scheduled.
namespace {

void wait_for_baton(int& baton) {
  std::atomic_ref<int> value(baton);
  while (value.exchange(0, std::memory_order_acquire) == 0) {
    ::syscall(SYS_futex, &baton, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
  }
}
void give_baton(int& baton) {
  std::atomic_ref<int>(baton).store(1, std::memory_order_release);
  ::syscall(SYS_futex, &baton, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace

enum class State { runnable, blocked, finished, dead };

struct Scheduler::Thread {
  Scheduler* scheduler = nullptr;
  uint32_t id = 0;
  Group group = 0;
  std::string name;
  std::function<void()> body;
  State state = State::runnable;
  uint64_t wait = 0;  // of which timers it is the one
  bool timed_out = false;
  const char* waits_for = "";
  const void* place = nullptr;
  pthread_t handle{};
  int baton = 0;
};

constinit thread_local Scheduler::Thread* Scheduler::self_ = nullptr;

Scheduler* Scheduler::current() {
  return self_ != nullptr ? self_->scheduler : nullptr;
}

Scheduler::Scheduler(Options options) : options_(options), random_(options.seed) {
  // Some runs switch everywhere, some hardly ever: different faults need either.
  static constexpr double chances[] = {0.002, 0.02, 0.1, 0.5};
  switch_chance_ = chances[below(4)];
  stall_chance_ = below(3) == 0 ? 0 : 0.0003;
}
// What still sleeps looks at its baton, for ever.
Scheduler::~Scheduler() {
  for (auto& thread : threads_) {
    if (thread->state != State::finished) (void)thread.release();
  }
}

Scheduler::Outcome Scheduler::run(std::function<void()> body) {
  first_ = make_thread(new_group(), "the run", std::move(body));
  pthread_t handle{};
  launch(first_, &handle);
  switch_to(choose());
  wait_for_baton(over_signal_);
  if (outcome_.end == End::done) ::pthread_join(handle, nullptr);
  outcome_.time = now_;
  return outcome_;
}

// ------------------------------------------------------------------------------------------------- threads

Scheduler::Thread* Scheduler::make_thread(Group group, std::string name, std::function<void()> body) {
  auto& thread = threads_.emplace_back(std::make_unique<Thread>());
  thread->scheduler = this;
  thread->id = static_cast<uint32_t>(threads_.size());
  thread->group = group;
  thread->name = std::move(name);
  thread->body = std::move(body);
  return thread.get();
}

void Scheduler::launch(Thread* thread, pthread_t* handle) {
  const int failed = ::pthread_create(handle, nullptr, &Scheduler::enter, thread);
  if (failed != 0) {
    std::fprintf(stderr, "simulator: the system refuses a thread (%zu were started)\n", threads_.size());
    std::_Exit(3);
  }
  thread->handle = *handle;
  runnable_.push_back(thread);
}

void* Scheduler::enter(void* given) {
  auto* self = static_cast<Thread*>(given);
  wait_for_baton(self->baton);
  self_ = self;
  self->body();
  self->body = nullptr;
  self->scheduler->finish(self);
  return nullptr;
}

// What the thread's end still does (its thread-local objects) is beside the run.
void Scheduler::finish(Thread* self) {
  self->state = State::finished;
  std::erase(runnable_, self);
  if (self == first_) {
    self_ = nullptr;
    end(End::done, "");
    return;
  }
  if (const auto found = places_.find(self); found != places_.end()) {
    auto joiners = std::move(found->second);
    places_.erase(found);
    wake_all(std::move(joiners));
  }
  Thread* next = choose();
  self_ = nullptr;
  if (next != nullptr) give_baton(next->baton);
}

void Scheduler::start_thread(std::string name, std::function<void()> body, pthread_t* handle) {
  Thread* made = make_thread(self_->group, std::move(name), std::move(body));
  launch(made, handle);
  mix(made->id);
  step('s');
}

void Scheduler::spawn(Group group, std::string name, std::function<void()> body) {
  Thread* made = make_thread(group, std::move(name), std::move(body));
  pthread_t handle{};
  launch(made, &handle);
  ::pthread_detach(handle);
  mix(made->id);
}

void Scheduler::join(pthread_t handle) {
  // Handles are used again: the newest has it.
  for (auto at = threads_.rbegin(); at != threads_.rend(); ++at) {
    if (!::pthread_equal((*at)->handle, handle)) continue;
    Thread* joined = at->get();
    while (joined->state != State::finished) (void)wait_in(places_, "the end of a thread", joined, never);
    break;
  }
  ::pthread_join(handle, nullptr);
}

void Scheduler::kill(Group group) {
  for (auto& thread : threads_) {
    if (thread->group == group && thread->state != State::finished) thread->state = State::dead;
  }
  std::erase_if(runnable_, [](const Thread* thread) { return thread->state == State::dead; });
  mix(0xdead0000 + group);
  if (!in_event_ && self_->state == State::dead) switch_to(choose());
}

// ------------------------------------------------------------------------------------------ who goes on

void Scheduler::fire_due() {
  while (!timers_.empty() && timers_.begin()->first.first <= now_) {
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    if (timer.event) {
      in_event_ = true;
      timer.event();
      in_event_ = false;
    } else if (timer.thread->state == State::blocked && timer.thread->wait == timer.wait) {
      timer.thread->timed_out = true;
      wake(timer.thread);
    }
  }
}

Scheduler::Thread* Scheduler::choose() {
  if (over_) return nullptr;
  fire_due();
  while (runnable_.empty()) {
    if (timers_.empty()) {
      end(End::deadlock, waiting_report());
      return nullptr;
    }
    now_ = timers_.begin()->first.first;
    fire_due();
  }
  Thread* next = runnable_[below(runnable_.size())];
  mix(next->id);
  mix(static_cast<uint64_t>(now_));
  return next;
}

void Scheduler::switch_to(Thread* next) {
  Thread* self = self_;
  if (next == self && next != nullptr) return;
  if (next != nullptr) give_baton(next->baton);
  if (self != nullptr) wait_for_baton(self->baton);
}

void Scheduler::end(End how, std::string report) {
  if (over_) return;
  over_ = true;
  outcome_.end = how;
  outcome_.report = std::move(report);
  give_baton(over_signal_);
  // Whoever finds a deadlock stops because choose() has nobody for it.
  if (how == End::too_long) switch_to(nullptr);
}

void Scheduler::step(char kind) {
  if (in_event_) return;
  mix(static_cast<uint64_t>(kind));
  now_ += static_cast<Time>(below(2 * microsecond));
  if (++outcome_.steps > options_.steps_max) end(End::too_long, waiting_report());
  if (stall_chance_ > 0 && chance(stall_chance_)) {
    (void)block("nothing: it was not given the processor", nullptr, now_ + between(0, 300 * millisecond));
  } else if (chance(switch_chance_)) {
    yield();
  }
}

void Scheduler::yield() {
  switch_to(choose());
}

bool Scheduler::block(const char* what, const void* place, Time deadline) {
  Thread* self = self_;
  if (in_event_) {
    std::fprintf(stderr, "simulator: an event waits for %s\n", what);
    std::abort();
  }
  self->state = State::blocked;
  self->timed_out = false;
  self->waits_for = what;
  self->place = place;
  ++self->wait;
  std::erase(runnable_, self);
  if (deadline != never) timers_.emplace(std::pair{deadline, ++timers_made_}, Timer{self, self->wait, {}});
  switch_to(choose());
  return !self->timed_out;
}

void Scheduler::wake(Thread* thread) {
  if (thread->state != State::blocked) return;
  thread->state = State::runnable;
  runnable_.push_back(thread);
}

void Scheduler::wake_all(std::vector<Thread*> threads) {
  for (Thread* thread : threads) wake(thread);
}

void Scheduler::pause_point() {
  step('p');
}

void Scheduler::sleep_until(Time when) {
  (void)block("time to pass", nullptr, when);
}

void Scheduler::at(Time when, std::function<void()> what) {
  timers_.emplace(std::pair{when, ++timers_made_}, Timer{nullptr, 0, std::move(what)});
}

Time Scheduler::read_clock() {
  // A loop that looks at the clock until it is late ends.
  if (!in_event_) now_ += 100;
  return now_;
}

// ------------------------------------------------------------------------------------------------- waiting

bool Scheduler::wait_in(std::unordered_map<const void*, std::vector<Thread*>>& waiting, const char* what,
                        const void* place, Time deadline) {
  Thread* self = self_;
  waiting[place].push_back(self);
  const bool notified = block(what, place, deadline);
  if (const auto found = waiting.find(place); found != waiting.end()) {
    std::erase(found->second, self);
    if (found->second.empty()) waiting.erase(found);
  }
  return notified;
}

bool Scheduler::wait(const void* place, Time deadline) {
  return wait_in(places_, "a fake", place, deadline);
}

void Scheduler::notify(const void* place) {
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  auto threads = std::move(found->second);
  places_.erase(found);
  wake_all(std::move(threads));
}

void Scheduler::acquire(void* address) {
  Thread* self = self_;
  while (true) {
    Mutex& mutex = mutexes_[address];
    // What a killed process held, it holds no more.
    if (mutex.owner == nullptr || mutex.owner->state == State::dead) {
      mutex.owner = self;
      return;
    }
    mutex.waiting.push_back(self);
    (void)block("a mutex", address, never);
  }
}

void Scheduler::release(void* address) {
  const auto found = mutexes_.find(address);
  if (found == mutexes_.end()) return;  // taken before the run
  auto waiting = std::move(found->second.waiting);
  mutexes_.erase(found);
  wake_all(std::move(waiting));
}

void Scheduler::lock(void* mutex) {
  step('l');
  acquire(mutex);
}

bool Scheduler::try_lock(void* address) {
  step('t');
  Mutex& mutex = mutexes_[address];
  if (mutex.owner != nullptr && mutex.owner->state != State::dead) return false;
  mutex.owner = self_;
  return true;
}

void Scheduler::unlock(void* mutex) {
  release(mutex);
  step('u');
}

bool Scheduler::wait_condition(void* condition, void* mutex, Time deadline) {
  release(mutex);
  // The standard allows a wake-up for nothing.
  const bool spurious = chance(0.01);
  const Time until = spurious ? std::min(deadline, now_ + between(0, 20 * millisecond)) : deadline;
  const bool notified = wait_in(conditions_, "a condition", condition, until);
  acquire(mutex);
  return notified || until != deadline;
}

void Scheduler::signal(void* condition, bool all) {
  if (const auto found = conditions_.find(condition); found != conditions_.end()) {
    auto& waiting = found->second;
    std::erase_if(waiting, [](const Thread* thread) { return thread->state != State::blocked; });
    if (all || waiting.size() <= 1) {
      auto threads = std::move(waiting);
      conditions_.erase(found);
      wake_all(std::move(threads));
    } else {
      const auto chosen = waiting.begin() + static_cast<std::ptrdiff_t>(below(waiting.size()));
      Thread* thread = *chosen;
      waiting.erase(chosen);
      wake(thread);
    }
  }
  step('n');
}

bool Scheduler::wait_futex(const unsigned* address, unsigned value, Time deadline) {
  step('f');
  if (std::atomic_ref<unsigned>(*const_cast<unsigned*>(address)).load() != value) return true;
  return wait_in(places_, "a future", address, deadline);
}

// -------------------------------------------------------------------------------------------------- the trace

void Scheduler::mix(uint64_t value) {
  outcome_.trace = (outcome_.trace ^ value) * 0x9e3779b97f4a7c15ULL;
  outcome_.trace ^= outcome_.trace >> 29;
}

void Scheduler::note(std::string_view what) {
  for (const char byte : what) mix(static_cast<unsigned char>(byte));
  mix(static_cast<uint64_t>(now_));
  if (options_.verbose) print(std::string(what));
  if (awaited_.event && what.starts_with(awaited_.beginning) && --awaited_.count == 0)
    at(now_, std::exchange(awaited_.event, nullptr));
}

void Scheduler::after_notes(std::string beginning, uint64_t count, std::function<void()> what) {
  awaited_ = {std::move(beginning), std::max<uint64_t>(1, count), std::move(what)};
}

void Scheduler::print(const std::string& text) const {
  const Thread* self = self_;
  std::fprintf(stderr, "%12.6f %4u %s\n", static_cast<double>(now_) / second, self ? self->id : 0,
               text.c_str());
}

std::string Scheduler::waiting_report() const {
  std::string report;
  for (const auto& thread : threads_) {
    if (thread->state == State::finished || thread->state == State::dead) continue;
    report += "  thread " + std::to_string(thread->id) + " (" + thread->name + ") ";
    if (thread->state == State::runnable) {
      report += "could run\n";
      continue;
    }
    report += std::string("waits for ") + thread->waits_for;
    if (const auto mutex = mutexes_.find(thread->place);
        mutex != mutexes_.end() && mutex->second.owner != nullptr) {
      report += " that thread " + std::to_string(mutex->second.owner->id) + " has";
    }
    report += "\n";
  }
  return report;
}

}  // namespace vmproxy::sim
