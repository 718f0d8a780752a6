// SlotFile: a preallocated file of two halves, each with a generation and a checksum, that can be overwritten on a full
// disk. Thread-safe.
//
// Half (4096 bytes): magic | u64 generation | u32 length | bytes ... | u32 CRC32C of all before it | zeros.
// The magic is "vmslot2\0" where both halves are written, "vmslot1\0" where they are written in turn.
//
// both_halves: a value goes into one half, which is synced, then into the other, synced too; write() returns after both. So
// once it has returned either half is enough, and a half that cannot be read has cost nothing: a crash tore the write of a
// value that nobody was told of, and the other half has the value before it or the same; or the disk damaged a copy. open()
// makes both halves equal again before anything is relied on.
// in_turn: a value goes over the older half and is not synced: cheap, for what may be one value behind. A half that cannot
// be read beside one that can was torn by a crash, or was the newer one and got damaged: nobody can tell. Older versions
// wrote so everywhere; such a file of both_halves is found older_perhaps once, and whole from its next write on.
// Zeros in both halves are a file that was never written: damage that zeroes all of it is not noticed.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::store {

class SlotFile {
 public:
  enum class Writes { both_halves, in_turn };
  enum class Found {
    whole,          // value() is what the last write() left
    older_perhaps,  // ... or what the one before it left
    nothing,        // short, missing, or damaged: value() is empty, whatever was written
  };

  explicit SlotFile(Writes writes) : writes_(writes) {}
  ~SlotFile();
  // Opens or makes the file. `fresh`: what it belongs to is made now, so no value of it can be lost; then the file is filled
  // and synced, so that its blocks are taken. Else a file that is not found whole is left as it is until write().
  Result<void> open(const std::string& path, bool fresh);
  Result<void> write(std::string_view bytes);
  std::string value();  // as of open() or the last write()
  Found found();        // by open(); whole after a write()

 private:
  Result<void> put(const std::string& bytes);  // mutex_ held
  Result<void> write_half(std::string_view half, size_t index);

  const Writes writes_;
  std::mutex mutex_;
  int file_ = -1;
  std::string path_;
  uint64_t generation_ = 0;
  size_t newest_ = 1;  // the half that holds value_
  std::string value_;
  Found found_ = Found::whole;
};

}  // namespace vmproxy::store
