#include "request_reader.h"

#include "http1_requests.h"
#include "http2_requests.h"

namespace vmproxy::faultproxy {
namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace

RequestReader::RequestReader(RequestNotes notes) : notes_(std::move(notes)) {}
RequestReader::~RequestReader() = default;

void RequestReader::feed(std::string_view bytes) {
  if (!unreadable_ && !protocol_) {
    first_bytes_.append(bytes);
    choose();
    if (!protocol_) return;  // HTTP/2's preface may still be coming
    bytes = first_bytes_;
    if (bytes.starts_with(http2_preface)) bytes.remove_prefix(http2_preface.size());
  }
  if (!unreadable_ && !protocol_->feed(bytes)) {
    unreadable_ = true;
    LoggedRequest other;
    other.protocol = "other";
    other_ = notes_.begin(std::move(other));
  }
  if (unreadable_) notes_.body(other_, bytes);
  std::string().swap(first_bytes_);
}

void RequestReader::choose() {
  if (first_bytes_.starts_with(http2_preface)) {
    protocol_ = std::make_unique<Http2Requests>(notes_);
  } else if (!http2_preface.starts_with(first_bytes_)) {
    protocol_ = std::make_unique<Http1Requests>(notes_);
  }
}

}  // namespace vmproxy::faultproxy
