// HTTP/1.1 requests one after the other, by the product's own framing. Inner header of request_reader.cpp.
#pragma once

#include "net/body_framer.h"
#include "request_reader.h"

namespace vmproxy::faultproxy {

class Http1Requests final : public RequestReader::Protocol {
 public:
  explicit Http1Requests(RequestNotes notes) : notes_(std::move(notes)) {}
  bool feed(std::string_view bytes) override;

 private:
  bool take_head();

  static constexpr size_t head_bytes_max = 256 * 1024;
  RequestNotes notes_;
  std::string head_;  // of the request that begins; at most head_bytes_max and one read
  size_t scanned_ = 0;
  bool in_body_ = false;
  net::BodyFramer body_;
  uint64_t entry_ = 0;
};

}  // namespace vmproxy::faultproxy
