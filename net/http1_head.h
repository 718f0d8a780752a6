// HTTP/1.1 heads, strictly: what two parsers could read differently is refused, never forwarded (request
// smuggling). Refused: bare CR or LF, NUL and other controls, obs-fold, empty names, blanks before the colon,
// Content-Length twice or with Transfer-Encoding, any transfer coding but one "chunked", no or several Host,
// CONNECT. No I/O. Views point into the caller's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "net/message.h"

namespace vmproxy::net {

enum class BodyKind { none, length, chunked, until_close };

struct HeadField {
  std::string_view name;
  std::string_view value;
  std::string_view line;  // with its CRLF
};

struct Http1Head {
  std::string_view raw;         // start line to the empty line
  std::string_view start_line;  // with its CRLF
  std::vector<HeadField> fields;
  std::string_view method;  // requests
  std::string_view target;
  int status = 0;  // answers
  int minor_version = 1;
  BodyKind body = BodyKind::none;
  uint64_t length = 0;
  bool keep_alive = true;
  bool expect_continue = false;
  bool as_it_came = true;         // no field of this hop only: raw may go on unchanged
  Duration keep_alive_timeout{};  // of the Keep-Alive field; 0: none
  const char* problem = nullptr;  // why it was refused
};

// Finds the end of a head. `scanned` starts at 0 and keeps the place between calls on growing bytes.
enum class HeadScan { need_more, complete, bad };
HeadScan scan_head(std::string_view bytes, size_t& scanned);

// Whether the first line of a complete head says that it is HTTP, of whatever version. A client that speaks something else (a
// broken HTTP/2 preface is told apart by nothing else) could not read an answer.
bool claims_http(std::string_view raw);

// `raw` is a complete head (scanned bytes). False: `out.problem` says why.
bool parse_request_head(std::string_view raw, Http1Head& out);
// `request_method` decides whether a body follows.
bool parse_response_head(std::string_view raw, std::string_view request_method, Http1Head& out);

// The head without the fields of one hop, in their order and spelling, then `extra` ("Connection:
// close\r\n").
std::string forwarded_head(const Http1Head& head, std::string_view extra = {});
// The same for another body of that many bytes, not chunked.
std::string head_for_body(Http1Head head, uint64_t bytes);

void fill_request_head(const Http1Head& head, RequestHead& out);
Headers headers_of(const Http1Head& head);

bool is_token(std::string_view text);        // a method or field name
bool is_field_value(std::string_view text);  // no controls but HTAB

}  // namespace vmproxy::net
