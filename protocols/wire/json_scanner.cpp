#include "protocols/wire/json_scanner.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <cstdlib>
#include <limits>
#include <utility>

namespace vmproxy::protocols::wire {

using model::Array;
using model::Object;
using model::Value;

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

// The next eight bytes are digits: their value is what `number` is continued by.
bool eight_digits(const char* at, uint64_t& number) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  constexpr uint64_t zeros = 0x3030303030303030;
  // A byte is a digit when its high half is 3, also after 6 is added.
  if (((word & 0xf0f0f0f0f0f0f0f0) | (((word + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4)) != 0x3333333333333333) return false;
  word -= zeros;
  word = word * 10 + (word >> 8);  // pairs of digits in every second byte
  word = (((word & 0x000000ff000000ff) * 0x000f424000000064) + (((word >> 16) & 0x000000ff000000ff) * 0x0000271000000001)) >> 32;
  number = number * 100'000'000 + static_cast<uint32_t>(word);
  return true;
}

// What may stand in an array of numbers: digits, "+,-.", 'e', 'E' and white space. Nothing that opens or ends anything.
bool of_numbers(char c) {
  return (c >= '+' && c <= '9' && c != '/') || c == 'e' || c == 'E' || c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// How many bytes of `text` are such. Whole blocks first, in a form that compilers turn into vector instructions.
size_t end_of_numbers(std::string_view text) {
  constexpr size_t block = 64;
  size_t at = 0;
  for (; text.size() - at >= block; at += block) {
    uint8_t others = 0;
    for (size_t i = 0; i < block; ++i) {
      const auto c = static_cast<uint8_t>(text[at + i]);
      const auto usual = static_cast<uint8_t>((static_cast<uint8_t>(c - '+') < 15) & (c != '/'));
      const auto rest = static_cast<uint8_t>((c == 'e') | (c == 'E') | (c == ' ') | (c == '\n') | (c == '\t') | (c == '\r'));
      others |= static_cast<uint8_t>(~(usual | rest) & 1);
    }
    if (others != 0) break;
  }
  while (at < text.size() && of_numbers(text[at])) ++at;
  return at;
}

// Nearly every number: a mantissa and a power of ten that a double holds exactly, so that one division rounds correctly.
// Moves `at` behind it. False, and nothing moved: read it (or refuse it) the slow way.
bool quick_number(const char*& at, const char* end, double& out) {
  static constexpr double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const char* p = at;
  const bool negative = p != end && *p == '-';
  p += negative;
  const char* const digits = p;
  uint64_t mantissa = 0;
  const auto pass_digits = [&] {
    while (p != end && is_digit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
  };
  pass_digits();
  ptrdiff_t count = p - digits;
  if (count == 0 || (*digits == '0' && count > 1)) return false;
  ptrdiff_t fraction = 0;
  if (p != end && *p == '.') {
    const char* const begin = ++p;
    if (end - p >= 8 && eight_digits(p, mantissa)) p += 8;
    pass_digits();
    fraction = p - begin;
    if (fraction == 0) return false;
    count += fraction;
  }
  if (p == end || *p == 'e' || *p == 'E' || count > 18 || mantissa > uint64_t{1} << 53) return false;
  static constexpr double signs[] = {1, -1};  // no branch: it would be guessed wrong for every second number
  out = static_cast<double>(mantissa) / powers[fraction] * signs[negative];
  at = p;
  return true;
}

// False: too large to be finite. Too small becomes zero.
bool to_double(std::string_view text, double& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc::result_out_of_range) return parsed.ec == std::errc();
  out = std::strtod(std::string(text).c_str(), nullptr);
  return std::isfinite(out);
}

}  // namespace

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
  while (at < text.size() && text[at] != '"' && text[at] != '\\' && static_cast<uint8_t>(text[at]) >= 0x20) ++at;
  return at;
}

std::string JsonScanner::place(size_t offset) const {
  const auto before = text_.substr(0, offset);
  const auto newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? offset : offset - newline - 1;
  const auto lines = std::count(before.begin(), before.end(), '\n');
  return "line " + std::to_string(lines + 1) + " column " + std::to_string(column);
}

bool JsonScanner::fail_at(std::string_view what, size_t offset) {
  if (error_.empty()) error_ = std::string(what) + " at " + place(std::min(offset, text_.size()));
  return false;
}

bool JsonScanner::fail(std::string_view what) {
  return fail_at(what, at_);
}
bool JsonScanner::fail_here(std::string_view what) {
  return fail_at(what, at_ + 1);
}

void JsonScanner::skip_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
    ++at_;
}

JsonScanner::Kind JsonScanner::next_kind() {
  if (!ok()) return Kind::none;
  skip_space();
  if (at_ == text_.size()) {
    fail_here("EOF while parsing a value");
    return Kind::none;
  }
  switch (text_[at_]) {
    case 'n':
      return Kind::null;
    case 't':
    case 'f':
      return Kind::boolean;
    case '"':
      return Kind::string;
    case '[':
      return Kind::array;
    case '{':
      return Kind::object;
    default:
      break;
  }
  if (text_[at_] == '-' || is_digit(text_[at_])) return Kind::number;
  fail_here("expected value");
  return Kind::none;
}

bool JsonScanner::literal(std::string_view word) {
  for (const char c : word) {
    if (at_ == text_.size()) return fail_here("EOF while parsing a value");
    if (text_[at_++] != c) return fail("expected ident");
  }
  return true;
}

bool JsonScanner::read_null() {
  return next_kind() == Kind::null ? literal("null") : fail_here("expected null");
}

bool JsonScanner::read_bool(bool& out) {
  if (next_kind() != Kind::boolean) return fail_here("expected a boolean");
  out = text_[at_] == 't';
  return literal(out ? "true" : "false");
}

bool JsonScanner::number_text(std::string_view& text, bool& integer) {
  const size_t start = at_;
  const auto peek = [this] { return at_ < text_.size() ? text_[at_] : '\0'; };
  const auto digits = [&] {
    if (at_ == text_.size()) return fail_here("EOF while parsing a value");
    if (!is_digit(peek())) return fail_here("invalid number");
    while (is_digit(peek())) ++at_;
    return true;
  };
  integer = true;
  if (peek() == '-') ++at_;
  if (peek() == '0') {
    ++at_;
    if (is_digit(peek())) return fail_here("invalid number");
  } else if (!digits()) {
    return false;
  }
  if (peek() == '.') {
    integer = false;
    ++at_;
    if (!digits()) return false;
  }
  if (peek() == 'e' || peek() == 'E') {
    integer = false;
    ++at_;
    if (peek() == '+' || peek() == '-') ++at_;
    if (!digits()) return false;
  }
  text = text_.substr(start, at_ - start);
  return true;
}

bool JsonScanner::read_number(model::Value& out) {
  if (next_kind() != Kind::number) return fail_here("expected a number");
  std::string_view text;
  bool integer = false;
  if (!number_text(text, integer)) return false;
  if (integer && text != "-0") {
    int64_t i = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), i).ec == std::errc()) {
      out = model::Value(i);
      return true;
    }
    uint64_t u = 0;
    if (text[0] != '-' && std::from_chars(text.data(), text.data() + text.size(), u).ec == std::errc()) {
      out = model::Value(u);
      return true;
    }
  }
  double d = 0;
  if (!to_double(text, d)) return fail("number out of range");
  out = model::Value(d);
  return true;
}

bool JsonScanner::read_double(double& out) {
  if (next_kind() != Kind::number) return fail_here("expected a number");
  std::string_view text;
  bool integer = false;
  if (!number_text(text, integer)) return false;
  return to_double(text, out) || fail("number out of range");
}

// Elements of an array of numbers, as far as they come in the usual form and without white space: [1.5,-2,...
// What follows is left to the caller, who is where next_element() begins.
template <class Take>
void JsonScanner::quick_elements(Take take) {
  const char* const begin = text_.data();
  const char* const end = begin + text_.size();
  const char* at = begin + at_;
  for (;;) {
    const char* next = at;
    if (!first_) {
      if (next == end || *next != ',') break;
      ++next;
    }
    double number = 0;
    if (!quick_number(next, end, number)) break;
    take(number);
    first_ = false;
    at = next;
  }
  at_ = static_cast<size_t>(at - begin);
}

bool JsonScanner::read_floats(std::vector<float>& out, Nulls nulls) {
  if (!enter_array()) return false;
  const auto take = [&](double number) { out.push_back(static_cast<float>(number)); };
  quick_elements(take);
  while (next_element()) {
    double number = std::numeric_limits<double>::quiet_NaN();
    const bool null = nulls == Nulls::are_nan && next_kind() == Kind::null;
    if (null ? !read_null() : !read_double(number)) return false;
    take(number);
    quick_elements(take);  // the one above may have been the only unusual one
  }
  return ok();
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
    case '"':
      out += '"';
      return true;
    case '\\':
      out += '\\';
      return true;
    case '/':
      out += '/';
      return true;
    case 'b':
      out += '\b';
      return true;
    case 'f':
      out += '\f';
      return true;
    case 'n':
      out += '\n';
      return true;
    case 'r':
      out += '\r';
      return true;
    case 't':
      out += '\t';
      return true;
    case 'u':
      break;
    default:
      return fail("invalid escape");
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

bool JsonScanner::enter() {
  if (++depth_ >= depth_max_) return fail_here("recursion limit exceeded");
  ++at_;
  first_ = true;
  return true;
}

bool JsonScanner::enter_array() {
  return next_kind() == Kind::array ? enter() : fail_here("expected an array");
}
bool JsonScanner::enter_object() {
  return next_kind() == Kind::object ? enter() : fail_here("expected an object");
}

// Between items: the end of the container, or a comma and something that is not the end.
bool JsonScanner::after_item(char close, bool& ended) {
  if (!ok()) return false;
  const bool first = std::exchange(first_, false);
  const bool list = close == ']';
  const std::string_view eof = list ? "EOF while parsing a list" : "EOF while parsing an object";
  skip_space();
  if (at_ == text_.size()) return fail_here(eof);
  if (text_[at_] == close) {
    ++at_;
    --depth_;
    ended = true;
    return true;
  }
  if (first) return true;
  if (text_[at_] != ',') return fail_here(list ? "expected `,` or `]`" : "expected `,` or `}`");
  ++at_;
  skip_space();
  if (at_ == text_.size()) return fail_here("EOF while parsing a value");
  if (text_[at_] == close) return fail_here("trailing comma");
  return true;
}

bool JsonScanner::next_element() {
  bool ended = false;
  return after_item(']', ended) && !ended;
}

bool JsonScanner::next_name(std::string& name) {
  bool ended = false;
  if (!after_item('}', ended) || ended) return false;
  if (text_[at_] != '"') return fail_here("key must be a string");
  return read_string(name);
}

bool JsonScanner::next_member(std::string& name) {
  return next_name(name) && pass_colon();
}

void JsonScanner::pass_end_of_object() {
  skip_space();
  if (at_ < text_.size() && text_[at_] == '}') ++at_;
}

bool JsonScanner::pass_colon() {
  skip_space();
  if (at_ == text_.size()) return fail_here("EOF while parsing an object");
  if (text_[at_] != ':') return fail_here("expected `:`");
  ++at_;
  return true;
}

bool JsonScanner::skip_value() {
  switch (next_kind()) {
    case Kind::null:
      return read_null();
    case Kind::boolean: {
      bool b = false;
      return read_bool(b);
    }
    case Kind::number: {
      std::string_view text;
      bool integer = false;
      return number_text(text, integer);
    }
    case Kind::string:
      return skip_string();
    case Kind::array:
      if (!enter_array()) return false;
      quick_elements([](double) {});
      while (next_element()) {
        if (!skip_value()) return false;
      }
      return ok();
    case Kind::object:
      return over_members(&JsonScanner::skip_value);
    case Kind::none:
      return false;
  }
  return false;
}

bool JsonScanner::over_members(bool (JsonScanner::*over)()) {
  std::string name;
  if (!enter_object()) return false;
  while (next_member(name)) {
    if (!(this->*over)()) return false;
  }
  return ok();
}

// Only where nothing but numbers stands up to the end of the array: then no string can hide it.
bool JsonScanner::pass_numbers() {
  const size_t begin = at_ + 1;
  const size_t end = begin + end_of_numbers(text_.substr(begin));
  if (end == text_.size() || text_[end] != ']') return false;
  at_ = end + 1;
  return true;
}

bool JsonScanner::pass_value() {
  switch (next_kind()) {
    case Kind::array:
      if (pass_numbers()) return true;
      if (!enter_array()) return false;
      while (next_element()) {
        if (!pass_value()) return false;
      }
      return ok();
    case Kind::object:
      return over_members(&JsonScanner::pass_value);
    default:
      return skip_value();
  }
}

bool JsonScanner::read_value(Value& out) {
  switch (next_kind()) {
    case Kind::null:
      out = Value();
      return read_null();
    case Kind::boolean: {
      bool b = false;
      if (!read_bool(b)) return false;
      out = Value(b);
      return true;
    }
    case Kind::number:
      return read_number(out);
    case Kind::string: {
      std::string text;
      if (!read_string(text)) return false;
      out = Value(std::move(text));
      return true;
    }
    case Kind::array: {
      Array array;
      if (!enter_array()) return false;
      while (next_element()) {
        if (!read_value(array.emplace_back())) return false;
      }
      if (!ok()) return false;
      out = Value(std::move(array));
      return true;
    }
    case Kind::object: {
      Object object;
      std::string name;
      if (!enter_object()) return false;
      while (next_member(name)) {
        Value value;
        if (!read_value(value)) return false;
        object.insert_or_assign(std::move(name), std::move(value));
      }
      if (!ok()) return false;
      out = Value(std::move(object));
      return true;
    }
    case Kind::none:
      return false;
  }
  return false;
}

bool JsonScanner::finish() {
  if (!ok()) return false;
  skip_space();
  return at_ == text_.size() || fail_here("trailing characters");
}

}  // namespace vmproxy::protocols::wire
