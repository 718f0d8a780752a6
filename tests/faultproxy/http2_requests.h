// HTTP/2 requests by stream. Frames (RFC 9113, section 4.1) are a head of nine bytes and a payload:
//   length:24 type:8 flags:8 stream:32, then HEADERS [pad:8] [priority:40] block [padding], CONTINUATION block,
//   DATA [pad:8] bytes [padding], RST_STREAM error:32; other types are passed over.
// Header blocks are inflated by nghttp2, all of them: its table must follow the client's. Inner header of
// request_reader.cpp.
#pragma once

#include <nghttp2/nghttp2.h>

#include <map>

#include "request_reader.h"

namespace vmproxy::faultproxy {

class Http2Requests final : public RequestReader::Protocol {
 public:
  explicit Http2Requests(RequestNotes notes);
  ~Http2Requests() override;
  Http2Requests(const Http2Requests&) = delete;
  Http2Requests& operator=(const Http2Requests&) = delete;

  // The bytes after the preface.
  bool feed(std::string_view bytes) override;

 private:
  struct Frame {
    uint32_t length = 0;
    uint8_t type = 0;
    uint8_t flags = 0;
    int32_t stream = 0;
  };
  bool begin_frame();
  bool take_payload(std::string_view bytes);
  bool take_data(std::string_view bytes);
  bool end_frame();
  bool end_headers();
  bool inflate(LoggedRequest& entry);
  void end_stream(int32_t stream);

  static constexpr size_t block_bytes_max = 1024 * 1024;
  static constexpr size_t streams_max = 10'000;
  RequestNotes notes_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string frame_head_;
  Frame frame_;
  bool in_frame_ = false;
  uint32_t payload_left_ = 0;
  std::string payload_;      // of HEADERS, CONTINUATION: at most block_bytes_max
  uint32_t data_left_ = 0;   // of a DATA frame, without its padding
  bool pad_unread_ = false;  // of a DATA frame whose first byte says how much padding there is
  std::string block_;        // HEADERS and what continues it
  int32_t block_stream_ = 0;
  bool block_ends_stream_ = false;
  std::map<int32_t, uint64_t> open_;  // stream to entry
};

}  // namespace vmproxy::faultproxy
