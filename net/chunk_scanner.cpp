#include "net/chunk_scanner.h"

#include <algorithm>

#include "net/http1_head.h"

namespace vmproxy::net {
namespace {

constexpr size_t extension_bytes_max = 1024;
constexpr size_t trailer_bytes_max = 16 * 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkScanner::Step ChunkScanner::scan(std::string_view bytes, std::string* decoded) {
  size_t at = 0;
  while (at < bytes.size() && !complete_) {
    if (state_ == State::data) {
      const auto taken = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size() - at));
      if (decoded != nullptr) decoded->append(bytes, at, taken);
      at += taken;
      remaining_ -= taken;
      if (remaining_ == 0) state_ = State::data_return;
    } else if (!accept(bytes[at])) {
      return {Status::bad, at};
    } else {
      ++at;
    }
  }
  return {complete_ ? Status::complete : Status::need_more, at};
}

bool ChunkScanner::accept(char c) {
  switch (state_) {
    case State::size_first:
    case State::size: {
      const int digit = hex_digit(c);
      if (digit >= 0) {
        if (++digits_ > 15) return false;
        remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
        state_ = State::size;
        return true;
      }
      if (state_ == State::size_first) return false;
      if (c == ';') {
        extension_bytes_ = 0;
        state_ = State::extension;
        return true;
      }
      state_ = State::size_feed;
      return c == '\r';
    }
    case State::extension:
      if (c == '\r') {
        state_ = State::size_feed;
        return true;
      }
      return ++extension_bytes_ <= extension_bytes_max && is_field_value({&c, 1});
    case State::size_feed:
      state_ = remaining_ > 0 ? State::data : State::trailer;
      digits_ = 0;
      return c == '\n';
    case State::data: return false;
    case State::data_return: state_ = State::data_feed; return c == '\r';
    case State::data_feed: state_ = State::size_first; return c == '\n';
    case State::trailer:
      if (++trailer_bytes_ > trailer_bytes_max) return false;
      if (c == '\r') {
        state_ = trailer_line_.empty() ? State::end_feed : State::trailer_feed;
        return true;
      }
      trailer_line_ += c;
      return c != '\n';
    case State::trailer_feed: state_ = State::trailer; return c == '\n' && end_trailer_line();
    case State::end_feed: complete_ = true; return c == '\n';
  }
  return false;
}

bool ChunkScanner::end_trailer_line() {
  const std::string_view line = trailer_line_;
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) ||
      !is_field_value(line.substr(colon + 1)))
    return false;
  for (const auto* framing :
       {"content-length", "transfer-encoding", "host", "trailer", "connection", "authorization"}) {
    if (equal_ignoring_case(line.substr(0, colon), framing)) return false;
  }
  trailer_line_.clear();
  return true;
}

}  // namespace vmproxy::net
