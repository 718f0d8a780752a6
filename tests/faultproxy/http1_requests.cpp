#include "http1_requests.h"

namespace vmproxy::faultproxy {

bool Http1Requests::feed(std::string_view bytes) {
  std::string left;  // what followed a head
  while (!bytes.empty()) {
    if (in_body_) {
      std::string decoded;
      const size_t taken = body_.take(bytes, &decoded);
      notes_.body(entry_, decoded);
      if (body_.bad()) return false;
      bytes.remove_prefix(taken);
      if (body_.complete()) {
        notes_.complete(entry_);
        in_body_ = false;
      }
      continue;
    }
    head_.append(bytes);
    while (scanned_ == 0 && head_.starts_with("\r\n")) head_.erase(0, 2);  // some clients end a body with one
    if (!head_.empty() && head_.front() != '\r' && !net::is_token(head_.substr(0, 1))) return false;
    const auto found = net::scan_head(head_, scanned_);
    if (found == net::HeadScan::bad) return false;
    if (found != net::HeadScan::complete) return head_.size() <= head_bytes_max;
    left = head_.substr(scanned_);
    head_.resize(scanned_);
    if (!take_head()) return false;
    head_.clear();
    scanned_ = 0;
    bytes = left;
  }
  return true;
}

bool Http1Requests::take_head() {
  net::Http1Head head;
  if (!net::parse_request_head(head_, head)) return false;
  LoggedRequest entry;
  entry.protocol = "http1";
  entry.method = head.method;
  entry.target = head.target;
  for (const auto& field : head.fields) entry.headers.emplace_back(field.name, field.value);
  entry_ = notes_.begin(std::move(entry));
  body_ = net::BodyFramer(head);
  in_body_ = !body_.complete();
  if (!in_body_) notes_.complete(entry_);
  return true;
}

}  // namespace vmproxy::faultproxy
