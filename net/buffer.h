// Bytes received and not yet used, contiguous. Allocated when first needed, moved only by space(): views into
// bytes() live until the next space() or consume().
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace vmproxy::net {

class Buffer {
 public:
  static constexpr size_t usual_bytes = 16 * 1024;

  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  // Room for at least `bytes_min` more; what is held moves to the front or into a larger block when it has
  // to.
  std::span<char> space(size_t bytes_min) {
    if (empty()) begin_ = end_ = 0;
    if (capacity_ - end_ < bytes_min) make_room(bytes_min);
    return {data_.get() + end_, capacity_ - end_};
  }
  void filled(size_t bytes) { end_ += bytes; }
  void consume(size_t bytes) { begin_ += bytes; }
  void append(std::string_view bytes) {
    const auto room = space(bytes.size());
    std::memcpy(room.data(), bytes.data(), bytes.size());
    filled(bytes.size());
  }
  // Gives a block that a large message made back.
  void shrink() {
    if (empty() && capacity_ > usual_bytes) {
      data_.reset();
      begin_ = end_ = capacity_ = 0;
    }
  }

 private:
  void make_room(size_t bytes_min) {
    const size_t held = size();
    if (data_ && capacity_ - held >= bytes_min) {
      std::memmove(data_.get(), data_.get() + begin_, held);
    } else {
      const size_t capacity = std::max({usual_bytes, held + bytes_min, data_ ? capacity_ * 2 : 0});
      std::unique_ptr<char[]> larger(new char[capacity]);  // not zeroed on purpose
      if (held > 0) std::memcpy(larger.get(), data_.get() + begin_, held);
      data_ = std::move(larger);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = held;
  }

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace vmproxy::net
