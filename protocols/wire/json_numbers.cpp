// JsonScanner's numbers, and arrays of them: most of a body is a vector.
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "protocols/wire/json_scanner.h"

namespace vmproxy::protocols::wire {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The next eight bytes are digits: their value is what `number` is continued by.
bool eight_digits(const char* at, uint64_t& number) {
  uint64_t word;
  std::memcpy(&word, at, 8);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  constexpr uint64_t zeros = 0x3030303030303030;
  // A byte is a digit when its high half is 3, also after 6 is added.
  if (((word & 0xf0f0f0f0f0f0f0f0) | (((word + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4)) !=
      0x3333333333333333)
    return false;
  word -= zeros;
  word = word * 10 + (word >> 8);  // pairs of digits in every second byte
  word = (((word & 0x000000ff000000ff) * 0x000f424000000064) +
          (((word >> 16) & 0x000000ff000000ff) * 0x0000271000000001)) >>
         32;
  number = number * 100'000'000 + static_cast<uint32_t>(word);
  return true;
}

// What may stand in an array of numbers: digits, "+,-.", 'e', 'E' and white space. Nothing that opens or ends anything.
bool of_numbers(char c) {
  return (c >= '+' && c <= '9' && c != '/') || c == 'e' || c == 'E' || c == ' ' || c == '\n' || c == '\t' ||
         c == '\r';
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
      const auto rest = static_cast<uint8_t>((c == 'e') | (c == 'E') | (c == ' ') | (c == '\n') |
                                             (c == '\t') | (c == '\r'));
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

void JsonScanner::skip_quick_elements() {
  quick_elements([](double) {});
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

// Only where nothing but numbers stands up to the end of the array: then no string can hide it.
bool JsonScanner::pass_numbers() {
  const size_t begin = at_ + 1;
  const size_t end = begin + end_of_numbers(text_.substr(begin));
  if (end == text_.size() || text_[end] != ']') return false;
  at_ = end + 1;
  return true;
}

}  // namespace vmproxy::protocols::wire
