#include "strict_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace vmproxy::smuggling {
namespace {

enum class Step { whole, more, wrong };

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// One line, which ends with CRLF and holds neither inside.
Step take_line(std::string_view& bytes, std::string_view& line) {
  const auto at = bytes.find_first_of("\r\n");
  if (at == bytes.npos || (bytes[at] == '\r' && at + 1 == bytes.size())) return Step::more;
  if (bytes.substr(at, 2) != "\r\n") return Step::wrong;
  line = bytes.substr(0, at);
  bytes.remove_prefix(at + 2);
  return Step::whole;
}

struct Reader {
  std::string_view bytes;
  std::string problem;

  Step wrong(std::string why) {
    problem = std::move(why);
    return Step::wrong;
  }

  Step line(std::string_view& out) {
    const Step step = take_line(bytes, out);
    return step == Step::wrong ? wrong("a line that does not end with CRLF") : step;
  }

  Step fields(Fields& out) {
    for (;;) {
      std::string_view text;
      if (const Step step = line(text); step != Step::whole) return step;
      if (text.empty()) return Step::whole;
      const auto colon = text.find(':');
      if (colon == text.npos || !is_token(text.substr(0, colon)) || !plain(text.substr(colon + 1)))
        return wrong("a field that is none");
      out.emplace_back(text.substr(0, colon), without_blanks(text.substr(colon + 1)));
    }
  }

  Step chunks(std::string& body) {
    for (;;) {
      std::string_view text;
      if (const Step step = line(text); step != Step::whole) return step;
      uint64_t size = 0;
      const auto digits = text.substr(0, text.find(';'));
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size, 16);
      if (error != std::errc() || end != digits.data() + digits.size())
        return wrong("a size of a chunk that is none");
      if (size == 0) break;
      if (bytes.size() < size + 2) return Step::more;
      if (bytes.substr(size, 2) != "\r\n") return wrong("a chunk that does not end with CRLF");
      body += bytes.substr(0, size);
      bytes.remove_prefix(size + 2);
    }
    Fields trailers;
    return fields(trailers);
  }

  Step request(ReadRequest& out) {
    std::string_view text;
    if (const Step step = line(text); step != Step::whole) return step;
    const auto first = text.find(' '), last = text.rfind(' ');
    if (first == text.npos || first == last || text.substr(last + 1) != "HTTP/1.1")
      return wrong("no request line");
    out.method = text.substr(0, first);
    out.target = text.substr(first + 1, last - first - 1);
    if (!is_token(out.method) || out.target.empty() || !plain(out.target) ||
        out.target.find_first_of(" \t") != std::string::npos)
      return wrong("no request line");
    if (const Step step = fields(out.fields); step != Step::whole) return step;
    int hosts = 0;
    std::optional<uint64_t> length;
    for (const auto& [name, value] : out.fields) {
      hosts += lower(name) == "host";
      if (lower(name) == "transfer-encoding") {
        if (out.chunked || lower(value) != "chunked") return wrong("a transfer coding");
        out.chunked = true;
      }
      if (lower(name) != "content-length") continue;
      uint64_t number = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
      if (length || error != std::errc() || end != value.data() + value.size()) return wrong("a length");
      length = number;
    }
    if (hosts != 1) return wrong("not one Host");
    if (length && out.chunked) return wrong("two framings");
    if (out.chunked) return chunks(out.body);
    if (bytes.size() < length.value_or(0)) return Step::more;
    out.body = bytes.substr(0, length.value_or(0));
    bytes.remove_prefix(length.value_or(0));
    return Step::whole;
  }
};

}  // namespace

ReadConnection read_strictly(std::string_view bytes) {
  ReadConnection out;
  Reader reader{bytes, {}};
  while (!reader.bytes.empty()) {
    const auto before = reader.bytes;
    ReadRequest request;
    if (reader.request(request) != Step::whole) {
      out.rest = before;
      out.problem = reader.problem;
      break;
    }
    out.requests.push_back(std::move(request));
  }
  return out;
}

}  // namespace vmproxy::smuggling
