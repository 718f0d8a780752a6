#include "tests/checker/lines.h"

#include <simdjson.h>

#include <cerrno>
#include <cstring>

namespace vmproxy::checker {
namespace {

constexpr size_t block_bytes = 1U << 20;

}  // namespace

Result<Lines> Lines::open(const std::string& path) {
  Lines lines;
  lines.file_.reset(std::fopen(path.c_str(), "rb"));
  if (!lines.file_) return Error(Code::io, path + ": " + std::strerror(errno));
  lines.buffer_.resize(block_bytes + simdjson::SIMDJSON_PADDING);
  return lines;
}

Result<bool> Lines::next() {
  size_t searched = next_;
  for (;;) {
    const void* newline = std::memchr(buffer_.data() + searched, '\n', filled_ - searched);
    if (newline) {
      begin_ = next_;
      end_ = static_cast<size_t>(static_cast<const char*>(newline) - buffer_.data());
      next_ = end_ + 1;
      has_end_ = true;
      ++number_;
      return true;
    }
    searched = filled_ - next_;  // fill() moves what is left to the front
    const auto more = fill();
    if (!more) return more.error();
    if (!*more) break;
  }
  if (next_ == filled_) return false;
  begin_ = next_;
  end_ = next_ = filled_;
  has_end_ = false;
  ++number_;
  return true;
}

// False at the end of the file.
Result<bool> Lines::fill() {
  std::memmove(buffer_.data(), buffer_.data() + next_, filled_ - next_);
  filled_ -= next_;
  next_ = 0;
  size_t room = buffer_.size() - simdjson::SIMDJSON_PADDING - filled_;
  if (room == 0) {
    if (filled_ >= line_bytes_max)
      return Error(Code::invalid, "line " + std::to_string(number_ + 1) + " is too long");
    buffer_.resize(2 * filled_ + simdjson::SIMDJSON_PADDING);
    room = filled_;
  }
  const size_t got = std::fread(buffer_.data() + filled_, 1, room, file_.get());
  if (got == 0 && std::ferror(file_.get())) return Error(Code::io, std::strerror(errno));
  filled_ += got;
  return got > 0;
}

}  // namespace vmproxy::checker
