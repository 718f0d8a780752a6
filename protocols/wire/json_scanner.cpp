// Values, containers and the way through the text; numbers and strings have files of their own.
#include "protocols/wire/json_scanner.h"

#include <algorithm>
#include <utility>

namespace vmproxy::protocols::wire {

using model::Array;
using model::Object;
using model::Value;

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
    case 'n': return Kind::null;
    case 't':
    case 'f': return Kind::boolean;
    case '"': return Kind::string;
    case '[': return Kind::array;
    case '{': return Kind::object;
    default: break;
  }
  if (text_[at_] == '-' || (text_[at_] >= '0' && text_[at_] <= '9')) return Kind::number;
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
    case Kind::null: return read_null();
    case Kind::boolean: {
      bool b = false;
      return read_bool(b);
    }
    case Kind::number: {
      std::string_view text;
      bool integer = false;
      return number_text(text, integer);
    }
    case Kind::string: return skip_string();
    case Kind::array:
      if (!enter_array()) return false;
      skip_quick_elements();
      while (next_element()) {
        if (!skip_value()) return false;
      }
      return ok();
    case Kind::object: return over_members(&JsonScanner::skip_value);
    case Kind::none: return false;
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

bool JsonScanner::pass_value() {
  switch (next_kind()) {
    case Kind::array:
      if (pass_numbers()) return true;
      if (!enter_array()) return false;
      while (next_element()) {
        if (!pass_value()) return false;
      }
      return ok();
    case Kind::object: return over_members(&JsonScanner::pass_value);
    default: return skip_value();
  }
}

bool JsonScanner::read_value(Value& out) {
  switch (next_kind()) {
    case Kind::null: out = Value(); return read_null();
    case Kind::boolean: {
      bool b = false;
      if (!read_bool(b)) return false;
      out = Value(b);
      return true;
    }
    case Kind::number: return read_number(out);
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
    case Kind::none: return false;
  }
  return false;
}

bool JsonScanner::finish() {
  if (!ok()) return false;
  skip_space();
  return at_ == text_.size() || fail_here("trailing characters");
}

}  // namespace vmproxy::protocols::wire
