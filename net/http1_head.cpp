#include "net/http1_head.h"

#include <array>
#include <charconv>
#include <cstring>

namespace vmproxy::net {
namespace {

constexpr size_t fields_max = 256;

constexpr std::array<uint8_t, 256> character_classes() {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; ++c) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    bool token = alnum;
    for (const char extra : std::string_view("!#$%&'*+-.^_`|~")) token = token || c == extra;
    const bool target = c > 0x20 && c != 0x7f;
    const bool value = (c >= 0x20 && c != 0x7f) || c == '\t';
    table[static_cast<size_t>(c)] =
        static_cast<uint8_t>((token ? 1 : 0) | (target ? 2 : 0) | (value ? 4 : 0));
  }
  return table;
}
constexpr auto classes = character_classes();

bool all_of_class(std::string_view text, uint8_t bit) {
  uint8_t seen = bit;
  for (const char c : text) seen &= classes[static_cast<uint8_t>(c)];
  return (seen & bit) != 0;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Calls f for each element of a comma list.
template <class F>
void each_element(std::string_view list, F f) {
  while (true) {
    const auto comma = list.find(',');
    const auto element = trimmed(list.substr(0, comma));
    if (!element.empty()) f(element);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

bool refuse(Http1Head& head, const char* problem) {
  head.problem = problem;
  return false;
}

// What the fields say about framing and this hop.
struct FieldFacts {
  int hosts = 0;
  bool has_length = false;
  bool has_transfer = false;
  bool chunked = false;
  bool close = false;
  bool keep_alive = false;
};

bool parse_length(std::string_view value, uint64_t& length) {
  if (value.empty() || value.size() > 18) return false;
  for (const char c : value) {
    if (c < '0' || c > '9') return false;
  }
  return std::from_chars(value.data(), value.data() + value.size(), length).ec == std::errc();
}

bool note_connection(std::string_view value, Http1Head& head, FieldFacts& facts) {
  bool allowed = true;
  each_element(value, [&](std::string_view option) {
    if (equal_ignoring_case(option, "close")) {
      facts.close = true;
      head.as_it_came = false;
    } else if (equal_ignoring_case(option, "keep-alive")) {
      facts.keep_alive = true;
    } else {
      head.as_it_came = false;
      for (const auto* framing :
           {"content-length", "transfer-encoding", "host", "authorization", "content-type"}) {
        allowed = allowed && !equal_ignoring_case(option, framing);
      }
    }
  });
  return allowed;
}

void note_keep_alive(std::string_view value, Http1Head& head) {
  each_element(value, [&](std::string_view option) {
    if (option.size() < 9 || !equal_ignoring_case(option.substr(0, 8), "timeout=")) return;
    unsigned seconds = 0;
    if (std::from_chars(option.data() + 8, option.data() + option.size(), seconds).ec == std::errc() &&
        seconds < 86400) {
      head.keep_alive_timeout = std::chrono::seconds(seconds);
    }
  });
}

// False when the field makes the message ambiguous.
bool note_field(const HeadField& field, Http1Head& head, FieldFacts& facts) {
  const auto name = field.name;
  switch (name.size()) {
    case 2:
      if (equal_ignoring_case(name, "te")) head.as_it_came = false;
      return true;
    case 4:
      if (equal_ignoring_case(name, "host")) ++facts.hosts;
      return true;
    case 6:
      if (equal_ignoring_case(name, "expect")) {
        head.as_it_came = false;
        if (!equal_ignoring_case(field.value, "100-continue")) return refuse(head, "unknown Expect");
        head.expect_continue = true;
      }
      return true;
    case 7:
      if (equal_ignoring_case(name, "upgrade")) head.as_it_came = false;
      return true;
    case 10:
      if (equal_ignoring_case(name, "connection")) {
        return note_connection(field.value, head, facts) ||
               refuse(head, "Connection names a field that is not of one hop");
      }
      if (equal_ignoring_case(name, "keep-alive")) note_keep_alive(field.value, head);
      return true;
    case 14:
      if (!equal_ignoring_case(name, "content-length")) return true;
      if (facts.has_length) return refuse(head, "Content-Length given twice");
      facts.has_length = true;
      return parse_length(field.value, head.length) || refuse(head, "Content-Length is not a number");
    case 16:
      if (equal_ignoring_case(name, "proxy-connection")) head.as_it_came = false;
      return true;
    case 17:
      if (!equal_ignoring_case(name, "transfer-encoding")) return true;
      if (facts.has_transfer || !equal_ignoring_case(field.value, "chunked")) {
        return refuse(head, "a Transfer-Encoding other than one \"chunked\"");
      }
      facts.has_transfer = facts.chunked = true;
      return true;
    default: return true;
  }
}

bool parse_fields(std::string_view rest, Http1Head& head, FieldFacts& facts) {
  head.fields.clear();
  while (rest.size() > 2) {
    const auto line = rest.substr(0, rest.find('\n') + 1);
    rest.remove_prefix(line.size());
    const auto text = line.substr(0, line.size() - 2);
    if (text.front() == ' ' || text.front() == '\t') return refuse(head, "a field folded over two lines");
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) return refuse(head, "a field without a colon");
    const HeadField field{text.substr(0, colon), trimmed(text.substr(colon + 1)), line};
    if (field.name.empty() || !all_of_class(field.name, 1))
      return refuse(head, "a field name with characters not allowed");
    if (!all_of_class(field.value, 4)) return refuse(head, "a control character in a field");
    if (head.fields.size() == fields_max) return refuse(head, "more than 256 fields");
    head.fields.push_back(field);
    if (!note_field(field, head, facts)) return false;
  }
  if (facts.has_length && facts.has_transfer)
    return refuse(head, "both Content-Length and Transfer-Encoding");
  if (facts.chunked && head.minor_version == 0) return refuse(head, "Transfer-Encoding in HTTP/1.0");
  head.keep_alive = head.minor_version == 1 ? !facts.close : facts.keep_alive && !facts.close;
  return true;
}

void restart(std::string_view raw, Http1Head& head) {
  auto fields = std::move(head.fields);  // keeps its memory
  head = Http1Head{};
  head.fields = std::move(fields);
  head.raw = raw;
  head.start_line = raw.substr(0, raw.find('\n') + 1);
}

bool parse_version(std::string_view version, Http1Head& head) {
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse(head, "not HTTP/1.1 or HTTP/1.0");
  head.minor_version = version.back() - '0';
  return true;
}

bool of_one_hop(std::string_view name, const std::vector<std::string_view>& nominated) {
  for (const auto* fixed : {"connection", "keep-alive", "proxy-connection", "te", "upgrade", "expect"}) {
    if (equal_ignoring_case(name, fixed)) return true;
  }
  for (const auto& option : nominated) {
    if (equal_ignoring_case(name, option)) return true;
  }
  return false;
}

}  // namespace

bool claims_http(std::string_view raw) {
  auto line = raw.substr(0, raw.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto last = line.rfind(' ');
  if (last == line.find(' ')) return true;  // no version: a person at a terminal
  return line.substr(last + 1).starts_with("HTTP/");
}

bool is_token(std::string_view text) {
  return !text.empty() && all_of_class(text, 1);
}
bool is_field_value(std::string_view text) {
  return all_of_class(text, 4);
}

HeadScan scan_head(std::string_view bytes, size_t& scanned) {
  while (scanned < bytes.size()) {
    const auto* feed =
        static_cast<const char*>(std::memchr(bytes.data() + scanned, '\n', bytes.size() - scanned));
    if (feed == nullptr) return HeadScan::need_more;
    const auto at = static_cast<size_t>(feed - bytes.data());
    if (at == scanned || bytes[at - 1] != '\r') return HeadScan::bad;
    const bool empty_line = at == scanned + 1;
    scanned = at + 1;
    if (empty_line) return HeadScan::complete;
  }
  return HeadScan::need_more;
}

bool parse_request_head(std::string_view raw, Http1Head& head) {
  restart(raw, head);
  const auto line =
      head.start_line.substr(0, head.start_line.size() - std::min<size_t>(2, head.start_line.size()));
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || last == first) return refuse(head, "not a request line");
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  if (!is_token(head.method) || head.target.empty() || !all_of_class(head.target, 2))
    return refuse(head, "not a request line");
  if (head.method == "CONNECT") return refuse(head, "CONNECT is not served");
  if (!parse_version(line.substr(last + 1), head)) return false;
  FieldFacts facts;
  if (!parse_fields(raw.substr(head.start_line.size()), head, facts)) return false;
  if (facts.hosts > 1 || (facts.hosts == 0 && head.minor_version == 1))
    return refuse(head, "not exactly one Host");
  if (facts.chunked) {
    head.body = BodyKind::chunked;
  } else if (head.length > 0) {
    head.body = BodyKind::length;
  }
  return true;
}

bool parse_response_head(std::string_view raw, std::string_view request_method, Http1Head& head) {
  restart(raw, head);
  const auto line =
      head.start_line.substr(0, head.start_line.size() - std::min<size_t>(2, head.start_line.size()));
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' '))
    return refuse(head, "not a status line");
  if (!parse_version(line.substr(0, 8), head)) return false;
  for (size_t i = 9; i < 12; ++i) {
    if (line[i] < '0' || line[i] > '9') return refuse(head, "not a status line");
    head.status = head.status * 10 + (line[i] - '0');
  }
  if (head.status < 100 || head.status > 599 || !all_of_class(line.substr(12), 4))
    return refuse(head, "not a status line");
  FieldFacts facts;
  if (!parse_fields(raw.substr(head.start_line.size()), head, facts)) return false;
  if (head.status < 200 || head.status == 204 || head.status == 304 || request_method == "HEAD") {
    head.body = BodyKind::none;
  } else if (facts.chunked) {
    head.body = BodyKind::chunked;
  } else if (facts.has_length) {
    head.body = head.length > 0 ? BodyKind::length : BodyKind::none;
  } else {
    head.body = BodyKind::until_close;
    head.keep_alive = false;
  }
  return true;
}

std::string forwarded_head(const Http1Head& head, std::string_view extra) {
  std::vector<std::string_view> nominated;
  for (const auto& field : head.fields) {
    if (equal_ignoring_case(field.name, "connection")) {
      each_element(field.value, [&](std::string_view option) { nominated.push_back(option); });
    }
  }
  std::string out;
  out.reserve(head.raw.size() + extra.size());
  out += head.start_line;
  for (const auto& field : head.fields) {
    if (!of_one_hop(field.name, nominated)) out += field.line;
  }
  out += extra;
  out += "\r\n";
  return out;
}

std::string head_for_body(Http1Head head, uint64_t bytes) {
  std::erase_if(head.fields, [](const HeadField& field) {
    return equal_ignoring_case(field.name, "content-length") ||
           equal_ignoring_case(field.name, "transfer-encoding") || equal_ignoring_case(field.name, "trailer");
  });
  return forwarded_head(head, "Content-Length: " + std::to_string(bytes) + "\r\n");
}

void fill_request_head(const Http1Head& head, RequestHead& out) {
  out.method.assign(head.method);
  out.target.assign(head.target);
  for (size_t i = 0; i < head.fields.size(); ++i)
    out.headers.put(i, head.fields[i].name, head.fields[i].value);
  out.headers.truncate(head.fields.size());
  out.http2 = false;
  out.content_length.reset();
  if (head.body == BodyKind::length) out.content_length = head.length;
  out.chunked = head.body == BodyKind::chunked;
  out.keep_alive = head.keep_alive;
}

Headers headers_of(const Http1Head& head) {
  Headers headers;
  headers.reserve(head.fields.size());
  for (const auto& field : head.fields) headers.add(field.name, field.value);
  return headers;
}

}  // namespace vmproxy::net
