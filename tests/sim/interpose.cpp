// What stands between the code that is simulated and the C library: mutexes, condition variables, futures, threads and clocks
// of a thread that belongs to a run are the Scheduler's, those of any other thread are the real ones. Linking this file
// into a program is all that it takes: the linker prefers a program's own functions to those of shared libraries, so the
// product's objects are the ones that everybody uses, compiled as always.
//
// For Linux, the GNU C library and libstdc++; not together with the thread sanitizer, which does the same.
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cxxabi.h>
#include <future>
#include <thread>

#include "tests/sim/scheduler.h"

using vmproxy::sim::Scheduler;
using vmproxy::sim::Time;

namespace {

// Some names have an older version beside the one that programs get.
template <class Function>
Function real(const char* name, const char* version = nullptr) {
  void* found = version ? ::dlvsym(RTLD_NEXT, name, version) : nullptr;
  if (found == nullptr) found = ::dlsym(RTLD_NEXT, name);
  return reinterpret_cast<Function>(found);
}

constexpr Time begins = Time{1'000'000} * vmproxy::sim::second;    // CLOCK_MONOTONIC of a run's beginning
constexpr Time wall = Time{1'767'225'600} * vmproxy::sim::second;  // 2026-01-01

Time time_of(const timespec& at) {
  return static_cast<Time>(at.tv_sec) * vmproxy::sim::second + at.tv_nsec;
}
timespec timespec_of(Time time) {
  return {time / vmproxy::sim::second, time % vmproxy::sim::second};
}
Time deadline_of(clockid_t clock, const timespec& at) {
  return std::max<Time>(0, time_of(at) - (clock == CLOCK_REALTIME ? wall : begins));
}

std::string name_of_type(const char* mangled) {
  int status = 0;
  char* name = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string text = status == 0 ? name : mangled;
  std::free(name);
  const auto from = text.find("_Invoker<std::tuple<");
  return from == std::string::npos ? text : text.substr(from + 20);
}

}  // namespace

extern "C" {

int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  if (auto* run = Scheduler::current()) {
    run->lock(mutex);
    return 0;
  }
  static const auto next = real<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  return next(mutex);
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  if (auto* run = Scheduler::current()) return run->try_lock(mutex) ? 0 : EBUSY;
  static const auto next = real<int (*)(pthread_mutex_t*)>("pthread_mutex_trylock");
  return next(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  if (auto* run = Scheduler::current()) {
    run->unlock(mutex);
    return 0;
  }
  static const auto next = real<int (*)(pthread_mutex_t*)>("pthread_mutex_unlock");
  return next(mutex);
}

int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
  if (auto* run = Scheduler::current()) {
    (void)run->wait_condition(condition, mutex, vmproxy::sim::never);
    return 0;
  }
  static const auto next =
      real<int (*)(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait", "GLIBC_2.3.2");
  return next(condition, mutex);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  if (auto* run = Scheduler::current())
    return run->wait_condition(condition, mutex, deadline_of(CLOCK_REALTIME, *until)) ? 0 : ETIMEDOUT;
  static const auto next = real<int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*)>(
      "pthread_cond_timedwait", "GLIBC_2.3.2");
  return next(condition, mutex, until);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* until) {
  if (auto* run = Scheduler::current())
    return run->wait_condition(condition, mutex, deadline_of(clock, *until)) ? 0 : ETIMEDOUT;
  static const auto next =
      real<int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>("pthread_cond_clockwait");
  return next(condition, mutex, clock, until);
}

int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  if (auto* run = Scheduler::current()) {
    run->signal(condition, false);
    return 0;
  }
  static const auto next = real<int (*)(pthread_cond_t*)>("pthread_cond_signal", "GLIBC_2.3.2");
  return next(condition);
}

int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  if (auto* run = Scheduler::current()) {
    run->signal(condition, true);
    return 0;
  }
  static const auto next = real<int (*)(pthread_cond_t*)>("pthread_cond_broadcast", "GLIBC_2.3.2");
  return next(condition);
}

// The real one waits until nobody looks at it any more, which it would not hear of.
int pthread_cond_destroy(pthread_cond_t* condition) noexcept {
  if (Scheduler::current() != nullptr) return 0;
  static const auto next = real<int (*)(pthread_cond_t*)>("pthread_cond_destroy", "GLIBC_2.3.2");
  return next(condition);
}

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  if (auto* run = Scheduler::current()) {
    if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
      *now = timespec_of(begins + run->read_clock());
      return 0;
    }
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
      *now = timespec_of(wall + run->read_clock());
      return 0;
    }
  }
  static const auto next = real<int (*)(clockid_t, timespec*)>("clock_gettime");
  return next(clock, now);
}

int nanosleep(const timespec* time, timespec* left) {
  if (auto* run = Scheduler::current()) {
    run->sleep_until(run->now() + time_of(*time));
    return 0;
  }
  static const auto next = real<int (*)(const timespec*, timespec*)>("nanosleep");
  return next(time, left);
}

}  // extern "C"

namespace std {

void thread::_M_start_thread(_State_ptr state, void (*)()) {
  if (auto* run = Scheduler::current()) {
    const _State& kind = *state;
    run->start_thread(
        name_of_type(typeid(kind).name()),
        [state = std::shared_ptr<_State>(std::move(state))] { state->_M_run(); }, &_M_id._M_thread);
    return;
  }
  _State* given = state.release();
  const auto enter = [](void* argument) -> void* {
    const _State_ptr owned(static_cast<_State*>(argument));
    owned->_M_run();
    return nullptr;
  };
  if (const int failed = ::pthread_create(&_M_id._M_thread, nullptr, enter, given); failed != 0) {
    delete given;
    throw system_error(failed, generic_category());
  }
}

void thread::join() {
  if (!joinable()) throw system_error(EINVAL, generic_category());
  if (auto* run = Scheduler::current()) {
    run->join(_M_id._M_thread);
  } else {
    ::pthread_join(_M_id._M_thread, nullptr);
  }
  _M_id = id();
}

unsigned int thread::hardware_concurrency() noexcept {
  // A run is the same on every machine.
  return Scheduler::current() ? 2 : static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
}

bool __atomic_futex_unsigned_base::_M_futex_wait_until(unsigned* address, unsigned value, bool timed,
                                                       chrono::seconds s, chrono::nanoseconds ns) {
  if (auto* run = Scheduler::current()) {
    const timespec until{s.count(), ns.count()};
    return run->wait_futex(address, value, timed ? deadline_of(CLOCK_REALTIME, until) : vmproxy::sim::never);
  }
  using Next = bool (*)(__atomic_futex_unsigned_base*, unsigned*, unsigned, bool, chrono::seconds,
                        chrono::nanoseconds);
  static const auto next = real<Next>(
      "_ZNSt28__atomic_futex_unsigned_base19_M_futex_wait_untilEPjjbNSt6chrono8durationIlSt5ratioILl1ELl1EEEENS2_"
      "IlS3_ILl1ELl1000000000EEEE");
  return next(this, address, value, timed, s, ns);
}

bool __atomic_futex_unsigned_base::_M_futex_wait_until_steady(unsigned* address, unsigned value, bool timed,
                                                              chrono::seconds s, chrono::nanoseconds ns) {
  if (auto* run = Scheduler::current()) {
    const timespec until{s.count(), ns.count()};
    return run->wait_futex(address, value, timed ? deadline_of(CLOCK_MONOTONIC, until) : vmproxy::sim::never);
  }
  using Next = bool (*)(__atomic_futex_unsigned_base*, unsigned*, unsigned, bool, chrono::seconds,
                        chrono::nanoseconds);
  static const auto next = real<Next>(
      "_ZNSt28__atomic_futex_unsigned_base26_M_futex_wait_until_steadyEPjjbNSt6chrono8durationIlSt5ratioILl1ELl1EEEE"
      "NS2_IlS3_ILl1ELl1000000000EEEE");
  return next(this, address, value, timed, s, ns);
}

void __atomic_futex_unsigned_base::_M_futex_notify_all(unsigned* address) {
  if (auto* run = Scheduler::current()) {
    run->notify(address);
    return;
  }
  using Next = void (*)(unsigned*);
  static const auto next = real<Next>("_ZNSt28__atomic_futex_unsigned_base19_M_futex_notify_allEPj");
  next(address);
}

}  // namespace std
