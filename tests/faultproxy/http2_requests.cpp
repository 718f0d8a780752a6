#include "http2_requests.h"

#include <algorithm>
#include <new>

namespace vmproxy::faultproxy {
namespace {

constexpr size_t frame_head_bytes = 9;
constexpr size_t priority_bytes = 5;

uint32_t number(std::string_view bytes) {
  uint32_t out = 0;
  for (const char c : bytes) out = out << 8 | static_cast<uint8_t>(c);
  return out;
}

}  // namespace

Http2Requests::Http2Requests(RequestNotes notes) : notes_(std::move(notes)) {
  if (nghttp2_hd_inflate_new(&inflater_) != 0) throw std::bad_alloc();
  // The upstream may allow the client a larger table than the protocol's default, and that is not read here.
  if (nghttp2_hd_inflate_change_table_size(inflater_, 1024 * 1024) != 0) throw std::bad_alloc();
}

Http2Requests::~Http2Requests() {
  nghttp2_hd_inflate_del(inflater_);
}

bool Http2Requests::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!in_frame_) {
      const size_t taken = std::min(bytes.size(), frame_head_bytes - frame_head_.size());
      frame_head_.append(bytes, 0, taken);
      bytes.remove_prefix(taken);
      if (frame_head_.size() < frame_head_bytes) return true;
      if (!begin_frame()) return false;
    }
    const size_t taken = std::min<size_t>(bytes.size(), payload_left_);
    if (!take_payload(bytes.substr(0, taken))) return false;
    payload_left_ -= static_cast<uint32_t>(taken);
    bytes.remove_prefix(taken);
    if (payload_left_ == 0 && !end_frame()) return false;
  }
  return true;
}

bool Http2Requests::begin_frame() {
  const std::string_view head = frame_head_;
  frame_.length = number(head.substr(0, 3));
  frame_.type = static_cast<uint8_t>(head[3]);
  frame_.flags = static_cast<uint8_t>(head[4]);
  frame_.stream = static_cast<int32_t>(number(head.substr(5, 4)) & 0x7fffffffu);
  frame_head_.clear();
  payload_.clear();
  payload_left_ = data_left_ = frame_.length;
  pad_unread_ = frame_.type == NGHTTP2_DATA && (frame_.flags & NGHTTP2_FLAG_PADDED) != 0;
  in_frame_ = true;
  return !pad_unread_ || frame_.length > 0;
}

bool Http2Requests::take_payload(std::string_view bytes) {
  if (frame_.type == NGHTTP2_DATA) return take_data(bytes);
  if (frame_.type != NGHTTP2_HEADERS && frame_.type != NGHTTP2_CONTINUATION) return true;
  payload_.append(bytes);
  return payload_.size() <= block_bytes_max;
}

bool Http2Requests::take_data(std::string_view bytes) {
  if (pad_unread_ && !bytes.empty()) {
    const uint32_t pad = static_cast<uint8_t>(bytes.front());
    if (pad >= frame_.length) return false;
    data_left_ = frame_.length - 1 - pad;
    pad_unread_ = false;
    bytes.remove_prefix(1);
  }
  const auto data = bytes.substr(0, data_left_);
  data_left_ -= static_cast<uint32_t>(data.size());
  if (const auto at = open_.find(frame_.stream); at != open_.end()) notes_.body(at->second, data);
  return true;
}

bool Http2Requests::end_frame() {
  in_frame_ = false;
  std::string_view block = payload_;
  switch (frame_.type) {
    case NGHTTP2_DATA:
      if ((frame_.flags & NGHTTP2_FLAG_END_STREAM) != 0) end_stream(frame_.stream);
      return true;
    case NGHTTP2_RST_STREAM:
      if (const auto at = open_.find(frame_.stream); at != open_.end()) {
        notes_.reset(at->second);
        open_.erase(at);
      }
      return true;
    case NGHTTP2_HEADERS: {
      size_t pad = 0;
      if ((frame_.flags & NGHTTP2_FLAG_PADDED) != 0) {
        if (block.empty()) return false;
        pad = static_cast<uint8_t>(block.front());
        block.remove_prefix(1);
      }
      const size_t priority = (frame_.flags & NGHTTP2_FLAG_PRIORITY) != 0 ? priority_bytes : 0;
      if (block.size() < priority + pad) return false;
      block = block.substr(priority, block.size() - priority - pad);
      block_.assign(block);
      block_stream_ = frame_.stream;
      block_ends_stream_ = (frame_.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      break;
    }
    case NGHTTP2_CONTINUATION:
      if (frame_.stream != block_stream_ || block_.size() + block.size() > block_bytes_max) return false;
      block_.append(block);
      break;
    default: return true;
  }
  return (frame_.flags & NGHTTP2_FLAG_END_HEADERS) == 0 || end_headers();
}

bool Http2Requests::end_headers() {
  LoggedRequest entry;
  entry.protocol = "http2";
  entry.stream = block_stream_;
  if (!inflate(entry)) return false;
  block_.clear();
  if (!open_.contains(block_stream_)) {  // otherwise these are trailers
    if (open_.size() >= streams_max) return false;
    open_.emplace(block_stream_, notes_.begin(std::move(entry)));
  }
  if (block_ends_stream_) end_stream(block_stream_);
  return true;
}

bool Http2Requests::inflate(LoggedRequest& entry) {
  const auto* in = reinterpret_cast<const uint8_t*>(block_.data());
  size_t left = block_.size();
  for (;;) {
    nghttp2_nv field{};
    int flags = 0;
    const auto taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, left, 1);
    if (taken < 0) return false;
    in += taken;
    left -= static_cast<size_t>(taken);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      const std::string_view name(reinterpret_cast<const char*>(field.name), field.namelen);
      const std::string_view value(reinterpret_cast<const char*>(field.value), field.valuelen);
      if (name == ":method") {
        entry.method = value;
      } else if (name == ":path") {
        entry.target = value;
      } else if (!name.starts_with(':')) {
        entry.headers.emplace_back(name, value);
      }
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) return false;
  }
  return nghttp2_hd_inflate_end_headers(inflater_) == 0;
}

void Http2Requests::end_stream(int32_t stream) {
  const auto at = open_.find(stream);
  if (at == open_.end()) return;
  notes_.complete(at->second);
  open_.erase(at);
}

}  // namespace vmproxy::faultproxy
