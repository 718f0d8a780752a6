// A disk that fails on command, whatever library uses it: the C library's calls that write, sync, make, rename and close files
// are redefined for the whole program (bad_disk.cpp). Those on files of one directory are counted, and one of them, or all from
// it on, fail. Reading and deleting go on. For programs that a test starts, as what is examined may end them.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace vmproxy::bad_disk {

enum class Fault {
  full_once,   // ENOSPC, once
  full,        // ENOSPC until heal()
  error_once,  // EIO, once
  error,       // EIO until heal()
  half,  // a write stores half of its bytes, as the last ones do on a disk that gets full; then as `full`
};
inline constexpr int faults = 5;
inline const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::full_once: return "full once";
    case Fault::full: return "full";
    case Fault::error_once: return "EIO once";
    case Fault::error: return "EIO";
    case Fault::half: return "half written, then full";
  }
  return "?";
}

// Counts from 0 again; the `nth` call from now, from 1, is the one that fails.
void arm(const std::string& directory, Fault fault, uint64_t nth);
void heal();
uint64_t calls();  // since arm()
bool struck();     // one has failed since arm()

// What is wrong, for who started the program (bad_disk_runs.h).
inline void complain(const std::string& what) {
  std::printf("WRONG %s\n", what.c_str());
}
[[noreturn]] inline void give_up(const std::string& what) {
  complain(what);
  ::_exit(1);
}

}  // namespace vmproxy::bad_disk
