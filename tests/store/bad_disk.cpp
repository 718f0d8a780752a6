#include "tests/store/bad_disk.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <mutex>

namespace vmproxy::bad_disk {
namespace {

// Never destroyed: the library's threads write until the end of the process.
struct State {
  std::mutex mutex;
  std::string directory;
  Fault fault = Fault::full_once;
  uint64_t nth = 0;
  uint64_t calls = 0;
  bool struck = false;
  bool well = true;
};
State& state() {
  static State& it = *new State;
  return it;
}

struct Verdict {
  int error = 0;
  bool half = false;
};

Verdict verdict(const std::string& path, size_t bytes) {
  State& at = state();
  std::lock_guard hold(at.mutex);
  if (at.directory.empty() || path.compare(0, at.directory.size(), at.directory) != 0) return {};
  const uint64_t call = ++at.calls;
  if (at.well || call < at.nth) return {};
  const bool for_good = at.fault == Fault::full || at.fault == Fault::error || at.fault == Fault::half;
  if (call > at.nth && !for_good) return {};
  at.struck = true;
  if (at.fault == Fault::half && call == at.nth && bytes > 1) return {.half = true};
  return {.error = at.fault == Fault::error || at.fault == Fault::error_once ? EIO : ENOSPC};
}

std::string path_of(int file) {
  char link[64], target[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = ::readlink(link, target, sizeof target);
  return length > 0 ? std::string(target, static_cast<size_t>(length)) : "";
}

// What a call that stores nothing returns.
template <class Call>
int unless_bad(const std::string& path, Call call) {
  const int kept = errno;
  const Verdict bad = verdict(path, 0);
  errno = bad.error != 0 ? bad.error : kept;
  return bad.error != 0 ? -1 : static_cast<int>(call());
}

template <class Call>
ssize_t store(int file, size_t bytes, Call call) {
  const int kept = errno;
  const Verdict bad = verdict(path_of(file), bytes);
  errno = bad.error != 0 ? bad.error : kept;
  if (bad.error != 0) return -1;
  return call(bad.half ? bytes / 2 : bytes);
}

}  // namespace

void arm(const std::string& directory, Fault fault, uint64_t nth) {
  State& at = state();
  std::lock_guard hold(at.mutex);
  at.directory = directory;
  at.fault = fault;
  at.nth = nth;
  at.calls = 0;
  at.struck = false;
  at.well = false;
}

void heal() {
  State& at = state();
  std::lock_guard hold(at.mutex);
  at.well = true;
}

uint64_t calls() {
  State& at = state();
  std::lock_guard hold(at.mutex);
  return at.calls;
}

bool struck() {
  State& at = state();
  std::lock_guard hold(at.mutex);
  return at.struck;
}

}  // namespace vmproxy::bad_disk

using vmproxy::bad_disk::path_of;
using vmproxy::bad_disk::unless_bad;

extern "C" {

ssize_t write(int file, const void* bytes, size_t count) {
  return vmproxy::bad_disk::store(file, count,
                                  [&](size_t n) { return ::syscall(SYS_write, file, bytes, n); });
}

ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  return vmproxy::bad_disk::store(file, count,
                                  [&](size_t n) { return ::syscall(SYS_pwrite64, file, bytes, n, at); });
}

int fsync(int file) {
  return unless_bad(path_of(file), [&] { return ::syscall(SYS_fsync, file); });
}

int fdatasync(int file) {
  return unless_bad(path_of(file), [&] { return ::syscall(SYS_fdatasync, file); });
}

// Without flags it asks for nothing and never fails; RocksDB asserts that.
int sync_file_range(int file, off_t from, off_t count, unsigned flags) {
  return unless_bad(flags != 0 ? path_of(file) : "",
                    [&] { return ::syscall(SYS_sync_file_range, file, from, count, flags); });
}

// Room that is only set aside changes nothing that can be read, and a file system in memory clears every page of it: RocksDB sets
// aside megabytes for each log. It can fail like the rest; otherwise it is not done.
int fallocate(int file, int mode, off_t from, off_t count) {
  return unless_bad(path_of(file), [&]() -> long {
    if (mode == FALLOC_FL_KEEP_SIZE) return 0;
    return ::syscall(SYS_fallocate, file, mode, from, count);
  });
}

int ftruncate(int file, off_t length) noexcept {
  return unless_bad(path_of(file), [&] { return ::syscall(SYS_ftruncate, file, length); });
}

int rename(const char* from, const char* to) noexcept {
  return unless_bad(to, [&] { return ::syscall(SYS_rename, from, to); });
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list rest;
    va_start(rest, flags);
    mode = va_arg(rest, mode_t);
    va_end(rest);
  }
  const auto really = [&] { return ::syscall(SYS_openat, AT_FDCWD, path, flags, mode); };
  return (flags & O_CREAT) != 0 ? unless_bad(path, really) : static_cast<int>(really());
}

// It is closed all the same, as Linux does.
int close(int file) {
  const int flags = static_cast<int>(::syscall(SYS_fcntl, file, F_GETFL));
  const bool written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
  const std::string path = written ? path_of(file) : "";
  const int closed = static_cast<int>(::syscall(SYS_close, file));
  return closed == 0 ? unless_bad(path, [] { return 0; }) : closed;
}

}  // extern "C"
