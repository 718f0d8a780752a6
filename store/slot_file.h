// SlotFile: a preallocated file of two halves, written in turn, each with a generation and a checksum. A new
// value goes over the older half, so a torn write leaves the value before. Needs no free space once made.
// Thread-safe.
//
// Half (4096 bytes): magic "vmslot1\0" | u64 generation | u32 length | bytes ... | u32 CRC32C of all before
// it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::store {

class SlotFile {
 public:
  // Opens or makes the file; a new one is filled and synced, so that its blocks are taken.
  Result<void> open(const std::string& path);
  ~SlotFile();
  // `sync` no: survives a crash of the process, not of the machine.
  Result<void> write(std::string_view bytes, bool sync);
  std::string value();  // as of open() or the last write()

 private:
  std::mutex mutex_;
  int file_ = -1;
  std::string path_;
  uint64_t generation_ = 0;
  std::string value_;
};

}  // namespace vmproxy::store
