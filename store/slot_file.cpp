#include "store/slot_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/fault.h"
#include "store/crc32c.h"

namespace vmproxy::store {
namespace {

constexpr size_t half_bytes = 4096;
constexpr std::string_view magic_in_turn("vmslot1\0", 8);
constexpr std::string_view magic_both("vmslot2\0", 8);
constexpr size_t head_bytes = 8 + 8 + 4;

Error failed(const std::string& path, const char* what) {
  return {Code::io, "cannot " + std::string(what) + " " + path + ": " + std::strerror(errno)};
}

struct Half {
  enum class Kind { damaged, zeros, valid };
  Kind kind = Kind::damaged;
  bool both = false;  // written so that the other half has the same, or is about to
  uint64_t generation = 0;
  std::string bytes;
  bool valid() const { return kind == Kind::valid; }
};

Half parse(std::string_view half) {
  Half found;
  if (half.size() != half_bytes) return found;
  if (half.find_first_not_of('\0') == half.npos) {
    found.kind = Half::Kind::zeros;
    return found;
  }
  const std::string_view magic = half.substr(0, 8);
  if (magic != magic_both && magic != magic_in_turn) return found;
  uint64_t generation;
  uint32_t length, crc;
  std::memcpy(&generation, half.data() + 8, 8);
  std::memcpy(&length, half.data() + 16, 4);
  if (length > half_bytes - head_bytes - 4) return found;
  std::memcpy(&crc, half.data() + head_bytes + length, 4);
  if (crc != crc32c_extend(0, half.substr(0, head_bytes + length))) return found;
  found.kind = Half::Kind::valid;
  found.both = magic == magic_both;
  found.generation = generation;
  found.bytes = half.substr(head_bytes, length);
  return found;
}

// `newest`: the valid half of the highest generation, if any is valid.
SlotFile::Found judge(const Half& newest, const Half& other) {
  if (!newest.valid()) {
    const bool never_written = newest.kind == Half::Kind::zeros && other.kind == Half::Kind::zeros;
    return never_written ? SlotFile::Found::whole : SlotFile::Found::nothing;
  }
  const bool first_in_turn = newest.generation == 1 && other.kind == Half::Kind::zeros;
  return newest.both || other.valid() || first_in_turn ? SlotFile::Found::whole
                                                       : SlotFile::Found::older_perhaps;
}

bool write_all(int file, std::string_view bytes, off_t at) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
    at += n;
  }
  return true;
}

// As many as there are; false: it cannot be read.
bool read_all(int file, std::string& bytes) {
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t n = ::pread(file, bytes.data() + size, bytes.size() - size, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  bytes.resize(size);
  return true;
}

// A file that was just made stays in its directory.
bool sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const int file = ::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file < 0) return false;
  const bool synced = ::fsync(file) == 0;
  ::close(file);
  return synced;
}

}  // namespace

SlotFile::~SlotFile() {
  if (file_ >= 0) ::close(file_);
}

std::string SlotFile::value() {
  std::lock_guard hold(mutex_);
  return value_;
}

SlotFile::Found SlotFile::found() {
  std::lock_guard hold(mutex_);
  return found_;
}

Result<void> SlotFile::open(const std::string& path, bool fresh) {
  std::lock_guard hold(mutex_);
  path_ = path;
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) return failed(path, "open");
  std::string bytes(2 * half_bytes, '\0');
  if (!read_all(file_, bytes)) return failed(path, "read");
  if (fresh && bytes.size() < 2 * half_bytes) {
    bytes.assign(2 * half_bytes, '\0');
    if (!write_all(file_, bytes, 0)) return failed(path, "preallocate");
    if (::fsync(file_) != 0 || !sync_directory_of(path)) return failed(path, "sync");
  }
  std::array<Half, 2> halves;
  for (size_t i = 0; i < 2; ++i) {
    const size_t at = std::min(i * half_bytes, bytes.size());
    halves[i] = parse(std::string_view(bytes).substr(at, half_bytes));
  }
  const bool first_is_newest =
      halves[0].valid() && (!halves[1].valid() || halves[0].generation > halves[1].generation);
  newest_ = first_is_newest ? 0 : 1;
  const Half& newest = halves[newest_];
  if (newest.valid()) {
    generation_ = newest.generation;
    value_ = newest.bytes;
  }
  found_ = fresh ? Found::whole : judge(newest, halves[1 - newest_]);
  if (found_ != Found::whole || writes_ == Writes::in_turn) return {};
  const bool equal = halves[0].both && halves[1].both && halves[0].generation == halves[1].generation;
  return equal ? Result<void>() : put(std::string(value_));
}

Result<void> SlotFile::write(std::string_view bytes) {
  std::lock_guard hold(mutex_);
  if (bytes.size() > half_bytes - head_bytes - 4)
    return Error(Code::invalid, path_ + ": too long for the slot");
  return put(std::string(bytes));
}

Result<void> SlotFile::put(const std::string& bytes) {
  const bool both = writes_ == Writes::both_halves;
  const uint64_t generation = generation_ + 1;
  const auto length = static_cast<uint32_t>(bytes.size());
  std::string half(both ? magic_both : magic_in_turn);
  half.append(reinterpret_cast<const char*>(&generation), 8);
  half.append(reinterpret_cast<const char*>(&length), 4);
  half.append(bytes);
  const uint32_t crc = crc32c_extend(0, half);
  half.append(reinterpret_cast<const char*>(&crc), 4);
  half.resize(half_bytes, '\0');
  // Never over the only half that holds the value before.
  const size_t first = 1 - newest_;
  if (auto written = write_half(half, first); !written) return written;
  generation_ = generation;
  newest_ = first;
  value_ = bytes;
  if (both) {
    VMPROXY_FAULT("slot.half");
    if (auto written = write_half(half, 1 - first); !written) return written;
  }
  found_ = Found::whole;
  return {};
}

Result<void> SlotFile::write_half(std::string_view half, size_t index) {
  const auto fault = VMPROXY_FAULT_HIT("slot.write");
  const bool whole = write_all(file_, half.substr(0, fault.fails ? 0 : fault.bytes_max),
                               static_cast<off_t>(index * half_bytes));
  if (!whole || fault.fails || fault.cut()) return failed(path_, "write");
  if (writes_ != Writes::both_halves) return {};
  if (VMPROXY_FAULT_HIT("slot.sync").fails || ::fdatasync(file_) != 0) return failed(path_, "sync");
  return {};
}

}  // namespace vmproxy::store
