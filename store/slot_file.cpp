#include "store/slot_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "store/crc32c.h"

namespace vmproxy::store {
namespace {

constexpr size_t half_bytes = 4096;
constexpr std::string_view magic("vmslot1\0", 8);
constexpr size_t head_bytes = 8 + 8 + 4;

Error failed(const std::string& path, const char* what) {
  return {Code::io, "cannot " + std::string(what) + " " + path + ": " + std::strerror(errno)};
}

struct Half {
  uint64_t generation = 0;  // 0: not valid
  std::string bytes;
};

Half parse(std::string_view half) {
  if (half.size() != half_bytes || half.substr(0, 8) != magic) return {};
  uint64_t generation;
  uint32_t length, crc;
  std::memcpy(&generation, half.data() + 8, 8);
  std::memcpy(&length, half.data() + 16, 4);
  if (length > half_bytes - head_bytes - 4) return {};
  std::memcpy(&crc, half.data() + head_bytes + length, 4);
  if (crc != crc32c_extend(0, half.substr(0, head_bytes + length))) return {};
  return {generation, std::string(half.substr(head_bytes, length))};
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

}  // namespace

SlotFile::~SlotFile() {
  if (file_ >= 0) ::close(file_);
}

std::string SlotFile::value() {
  std::lock_guard hold(mutex_);
  return value_;
}

Result<void> SlotFile::open(const std::string& path) {
  std::lock_guard hold(mutex_);
  path_ = path;
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0) return failed(path, "open");
  struct stat facts{};
  if (::fstat(file_, &facts) != 0) return failed(path, "stat");
  if (facts.st_size < static_cast<off_t>(2 * half_bytes)) {
    const std::string zeros(2 * half_bytes, '\0');
    if (!write_all(file_, zeros, 0)) return failed(path, "preallocate");
    if (::fsync(file_) != 0) return failed(path, "sync");
    return {};
  }
  std::array<char, 2 * half_bytes> bytes{};
  if (::pread(file_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return failed(path, "read");
  for (size_t i = 0; i < 2; ++i) {
    Half half = parse({bytes.data() + i * half_bytes, half_bytes});
    if (half.generation > generation_) {
      generation_ = half.generation;
      value_ = std::move(half.bytes);
    }
  }
  return {};
}

Result<void> SlotFile::write(std::string_view bytes, bool sync) {
  std::lock_guard hold(mutex_);
  if (bytes.size() > half_bytes - head_bytes - 4)
    return Error(Code::invalid, path_ + ": too long for the slot");
  const uint64_t generation = generation_ + 1;
  const auto length = static_cast<uint32_t>(bytes.size());
  std::string half(magic);
  half.append(reinterpret_cast<const char*>(&generation), 8);
  half.append(reinterpret_cast<const char*>(&length), 4);
  half.append(bytes);
  const uint32_t crc = crc32c_extend(0, half);
  half.append(reinterpret_cast<const char*>(&crc), 4);
  if (!write_all(file_, half, static_cast<off_t>((generation % 2) * half_bytes)))
    return failed(path_, "write");
  if (sync && ::fdatasync(file_) != 0) return failed(path_, "sync");
  generation_ = generation;
  value_ = bytes;
  return {};
}

}  // namespace vmproxy::store
