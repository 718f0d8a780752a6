// Where the body of a message ends, whatever its framing. No I/O.
#pragma once

#include <algorithm>

#include "net/chunk_scanner.h"
#include "net/http1_head.h"

namespace vmproxy::net {

class BodyFramer {
 public:
  BodyFramer() = default;
  explicit BodyFramer(const Http1Head& head)
      : kind_(head.body), left_(head.length), complete_(head.body == BodyKind::none) {}

  // How many of the bytes belong to this body and are sound; appends them without framing to `decoded` when
  // given.
  size_t take(std::string_view bytes, std::string* decoded = nullptr) {
    if (complete_ || bad_) return 0;
    if (kind_ == BodyKind::chunked) {
      const auto step = chunks_.scan(bytes, decoded);
      complete_ = step.status == ChunkScanner::Status::complete;
      bad_ = step.status == ChunkScanner::Status::bad;
      return step.consumed;
    }
    size_t taken = bytes.size();
    if (kind_ == BodyKind::length) {
      taken = static_cast<size_t>(std::min<uint64_t>(left_, taken));
      left_ -= taken;
      complete_ = left_ == 0;
    }
    if (decoded != nullptr) decoded->append(bytes, 0, taken);
    return taken;
  }
  void took(size_t bytes) {  // bytes of a body with a length that were read elsewhere
    left_ -= bytes;
    complete_ = left_ == 0;
  }
  void peer_ended() { complete_ = complete_ || kind_ == BodyKind::until_close; }

  BodyKind kind() const { return kind_; }
  uint64_t left() const { return left_; }
  bool complete() const { return complete_; }
  bool bad() const { return bad_; }

 private:
  BodyKind kind_ = BodyKind::none;
  uint64_t left_ = 0;
  bool complete_ = true;
  bool bad_ = false;
  ChunkScanner chunks_;
};

}  // namespace vmproxy::net
