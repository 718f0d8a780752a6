// JsonScanner's strings: plain text passed in whole words, escapes.
#include <simdjson.h>

#include <charconv>
#include <cstring>

#include "protocols/wire/json_scanner.h"
#include "protocols/wire/utf8.h"

namespace vmproxy::protocols::wire {

size_t end_of_plain_text(std::string_view text) {
  constexpr uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
  size_t at = 0;
  for (; text.size() - at >= 8; at += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, 8);
    const uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    // The high bit of a byte: it is zero, zero, below 0x20. (A borrow may mark a byte behind the first such one, too.)
    const uint64_t found =
        ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word);
    if ((found & highs) != 0) break;
  }
  while (at < text.size() && text[at] != '"' && text[at] != '\\' && static_cast<uint8_t>(text[at]) >= 0x20)
    ++at;
  return at;
}

bool JsonScanner::hex4(uint32_t& out) {
  if (text_.size() - at_ < 4) {
    at_ = text_.size();
    return fail("EOF while parsing a string");
  }
  const char* end = text_.data() + at_ + 4;
  if (std::from_chars(text_.data() + at_, end, out, 16).ptr != end) return fail_at("invalid escape", at_ + 4);
  at_ += 4;
  return true;
}

bool JsonScanner::escape(std::string& out) {
  if (at_ == text_.size()) return fail("EOF while parsing a string");
  switch (text_[at_++]) {
    case '"': out += '"'; return true;
    case '\\': out += '\\'; return true;
    case '/': out += '/'; return true;
    case 'b': out += '\b'; return true;
    case 'f': out += '\f'; return true;
    case 'n': out += '\n'; return true;
    case 'r': out += '\r'; return true;
    case 't': out += '\t'; return true;
    case 'u': break;
    default: return fail("invalid escape");
  }
  uint32_t c = 0;
  if (!hex4(c)) return false;
  if (c >= 0xdc00 && c < 0xe000) return fail("lone leading surrogate in hex escape");
  if (c >= 0xd800 && c < 0xdc00) {
    if (text_.substr(at_, 2) != "\\u") return fail_at("unexpected end of hex escape", at_ + 1);
    at_ += 2;
    uint32_t low = 0;
    if (!hex4(low)) return false;
    if (low < 0xdc00 || low >= 0xe000) return fail("lone leading surrogate in hex escape");
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(out, c);
  return true;
}

// Up to the end of the string, an escape or a byte that may not be in it.
bool JsonScanner::plain_text() {
  at_ += end_of_plain_text(text_.substr(at_));
  return at_ < text_.size() || fail("EOF while parsing a string");
}

// The byte that ended plain text: the closing quote, or a backslash (then its escape follows).
bool JsonScanner::end_of_string(bool& ended) {
  const char c = text_[at_++];
  ended = c == '"';
  return ended || c == '\\' || fail("control character (\\u0000-\\u001F) found while parsing a string");
}

bool JsonScanner::read_string(std::string& out) {
  if (next_kind() != Kind::string) return fail_here("expected a string");
  ++at_;
  out.clear();
  bool ended = false;
  for (;;) {
    const size_t start = at_;
    if (!plain_text()) return false;
    out.append(text_.substr(start, at_ - start));
    if (!end_of_string(ended)) return false;
    if (ended) break;
    if (!escape(out)) return false;
  }
  return !check_strings_ || simdjson::validate_utf8(out.data(), out.size()) ||
         fail("invalid unicode code point");
}

bool JsonScanner::skip_string() {
  const size_t start = ++at_;
  bool ended = false;
  std::string escaped;
  for (;;) {
    if (!plain_text() || !end_of_string(ended)) return false;
    if (ended) break;
    if (!escape(escaped)) return false;
    escaped.clear();
  }
  return !check_strings_ || simdjson::validate_utf8(text_.data() + start, at_ - 1 - start) ||
         fail("invalid unicode code point");
}

}  // namespace vmproxy::protocols::wire
