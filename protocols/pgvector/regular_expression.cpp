#include "protocols/pgvector/regular_expression.h"

#include <optional>

#include "protocols/pgvector/cell.h"

// The pattern is read by the grammar of Rust's regex crate, in Unicode mode as Chroma uses it, and written anew. Written
// differently: "." (which matches a line break there), \d and \s (which follow the locale there), every character that
// could be special. Refused: \w and \b (Unicode's words have some 800 ranges of characters; PostgreSQL's are ASCII under
// the collation "C"), sets in brackets ([a-z&&[^e]], [a[bc]], --, ~~), flags, \p, \Q, \A, \z, \<, \>, named classes other
// than [:alpha:] and its like (those are ASCII in both), counts above 255, a quantifier on nothing or on an anchor.

namespace vmproxy::protocols::pgvector {
namespace {

Error refused(const std::string& why) {
  return {Code::unsupported,
          "filter.matches: " + why + " is not the same in PostgreSQL's regular expressions"};
}

// The zeros of Unicode's decimal digits beyond ASCII (general category Nd, Unicode 16), as Chroma 1.5.9 matches \d when
// it is asked for every code point. The other nine follow each.
constexpr uint32_t zeros[] = {
    0x0660,  0x06f0,  0x07c0,  0x0966,  0x09e6,  0x0a66,  0x0ae6,  0x0b66,  0x0be6,  0x0c66,  0x0ce6,
    0x0d66,  0x0de6,  0x0e50,  0x0ed0,  0x0f20,  0x1040,  0x1090,  0x17e0,  0x1810,  0x1946,  0x19d0,
    0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,  0xa8d0,  0xa900,  0xa9d0,  0xa9f0,
    0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0,
    0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50,
    0x11d50, 0x11da0, 0x11f50, 0x16130, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
    0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0};

const std::string& digits() {
  static const std::string members = [] {
    std::string out = "0-9";
    for (const uint32_t zero : zeros) {
      char range[32];
      std::snprintf(range, sizeof range, zero > 0xffff ? "\\U%08X-\\U%08X" : "\\u%04X-\\u%04X", zero,
                    zero + 9);
      out += range;
    }
    return out;
  }();
  return members;
}

// Unicode's White_Space.
constexpr std::string_view spaces =
    "\\u0009-\\u000D \\u0085\\u00A0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000";

class Regex {
 public:
  explicit Regex(std::string_view pattern) : rest_(pattern) {}

  Result<std::string> translate() {
    if (auto fault = alternatives(0)) return *fault;
    if (!rest_.empty()) return refused("an unmatched ')'");
    return std::move(out_);
  }

 private:
  using Fault = std::optional<Error>;

  bool take(std::string_view what) {
    if (!rest_.starts_with(what)) return false;
    rest_.remove_prefix(what.size());
    return true;
  }

  // A whole UTF-8 character.
  std::string_view take_character() {
    size_t length = 1;
    while (length < rest_.size() && (static_cast<uint8_t>(rest_[length]) & 0xc0) == 0x80) ++length;
    const auto character = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return character;
  }

  void put_literal(std::string_view character) {
    const bool special = character.size() == 1 &&
                         std::string_view("\\^$.[]()|*+?{}-&~#").find(character[0]) != std::string_view::npos;
    if (special) out_ += '\\';
    out_ += character;
  }

  Fault alternatives(int depth) {
    if (depth > 100) return refused("nesting of more than 100 groups");
    while (true) {
      if (auto fault = sequence(depth)) return fault;
      if (!take("|")) return std::nullopt;
      out_ += '|';
    }
  }

  Fault sequence(int depth) {
    while (!rest_.empty() && rest_[0] != '|' && rest_[0] != ')') {
      bool quantifiable = true;
      if (auto fault = atom(depth, quantifiable)) return fault;
      if (auto fault = quantifier(quantifiable)) return fault;
    }
    return std::nullopt;
  }

  Fault atom(int depth, bool& quantifiable) {
    if (take("(")) return group(depth);
    if (take("[")) return bracket();
    if (take("\\")) return escape();
    if (take(".")) {
      out_ += "[^\\u000A]";
    } else if (take("^")) {
      out_ += '^';
      quantifiable = false;
    } else if (take("$")) {
      out_ += '$';
      quantifiable = false;
    } else if (std::string_view("*+?{").find(rest_[0]) != std::string_view::npos) {
      return refused("a quantifier with nothing before it");
    } else {
      put_literal(take_character());
    }
    return std::nullopt;
  }

  Fault group(int depth) {
    if (take("?:")) {
    } else if (take("?P<") || take("?<")) {
      const auto end = rest_.find('>');
      if (end == std::string_view::npos || rest_.starts_with("=") || rest_.starts_with("!"))
        return refused("this kind of group");
      rest_.remove_prefix(end + 1);
    } else if (rest_.starts_with("?")) {
      return refused("a group with flags");
    }
    out_ += "(?:";
    if (auto fault = alternatives(depth + 1)) return fault;
    if (!take(")")) return refused("an unmatched '('");
    out_ += ')';
    return std::nullopt;
  }

  // What \n and its like stand for, as PostgreSQL writes it inside and outside of brackets.
  std::optional<std::string> control(char c) {
    switch (c) {
      case 'n': return "\\u000A";
      case 't': return "\\u0009";
      case 'r': return "\\u000D";
      case 'f': return "\\u000C";
      case 'v': return "\\u000B";
      case 'a': return "\\u0007";
      default: return std::nullopt;
    }
  }

  static std::optional<std::string_view> class_members(char c) {
    switch (c) {
      case 'd':
      case 'D': return digits();
      case 's':
      case 'S': return spaces;
      default: return std::nullopt;
    }
  }

  // Behind a backslash. "\<" and "\>" are the ends of words.
  static bool means_itself(char c) {
    return static_cast<uint8_t>(c) < 0x80 && !std::isalnum(static_cast<unsigned char>(c)) && c != '<' &&
           c != '>';
  }

  Fault escape() {
    if (rest_.empty()) return refused("a backslash at the end");
    const char c = rest_[0];
    if (const auto members = class_members(c)) {
      rest_.remove_prefix(1);
      out_ += std::string(c < 'a' ? "[^" : "[") + std::string(*members) + "]";
    } else if (const auto character = control(c)) {
      rest_.remove_prefix(1);
      out_ += *character;
    } else if (!means_itself(c)) {
      return refused(std::string("\\") + c);
    } else {
      put_literal(take_character());
    }
    return std::nullopt;
  }

  Fault bracket() {
    out_ += take("^") ? "[^" : "[";
    for (bool first = true; first || !rest_.starts_with("]"); first = false) {
      if (rest_.empty()) return refused("an unmatched '['");
      if (rest_.starts_with("[:") || rest_.starts_with("[=") || rest_.starts_with("[.")) {
        if (auto fault = named_class()) return fault;
        continue;
      }
      for (const std::string_view sets : {"&&", "--", "~~"}) {
        if (rest_.starts_with(sets)) return refused("'" + std::string(sets) + "' in brackets");
      }
      std::string low, high;
      bool is_class = false;
      if (auto fault = member(low, is_class)) return fault;
      if (!is_class && rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
        rest_.remove_prefix(1);
        if (rest_[0] == '-') return refused("'--' in brackets");
        if (auto fault = member(high, is_class)) return fault;
        if (is_class) return refused("a range that ends in a class");
        low += "-" + high;
      }
      out_ += low;
    }
    rest_.remove_prefix(1);
    out_ += ']';
    return std::nullopt;
  }

  // One character of a bracket, escaped so that it can mean nothing else.
  Fault member(std::string& out, bool& is_class) {
    if (take("\\")) {
      if (rest_.empty()) return refused("a backslash at the end");
      const char c = rest_[0];
      if (const auto members = class_members(c); members && c >= 'a') {
        rest_.remove_prefix(1);
        out = *members;
        is_class = true;
        return std::nullopt;
      }
      if (const auto character = control(c)) {
        rest_.remove_prefix(1);
        out = *character;
        return std::nullopt;
      }
      if (!means_itself(c)) return refused(std::string("\\") + c + " in brackets");
    } else if (rest_[0] == '[') {
      return refused("a set within a set");
    }
    const auto character = take_character();
    if (character.size() == 1 && !std::isalnum(static_cast<unsigned char>(character[0]))) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04X", static_cast<unsigned>(static_cast<uint8_t>(character[0])));
      out = code;
    } else {
      out = character;
    }
    return std::nullopt;
  }

  Fault named_class() {
    struct Named {
      std::string_view name, members;
    };
    static constexpr Named names[] = {
        {"[:digit:]", "0-9"}, {"[:alpha:]", "A-Za-z"},     {"[:alnum:]", "0-9A-Za-z"}, {"[:upper:]", "A-Z"},
        {"[:lower:]", "a-z"}, {"[:xdigit:]", "0-9A-Fa-f"}, {"[:word:]", "0-9A-Za-z_"}};
    for (const auto& [name, members] : names) {
      if (!take(name)) continue;
      out_ += members;
      return std::nullopt;
    }
    return refused("this class of characters");
  }

  Fault quantifier(bool quantifiable) {
    std::string text;
    if (take("*")) {
      text = "*";
    } else if (take("+")) {
      text = "+";
    } else if (take("?")) {
      text = "?";
    } else if (rest_.starts_with("{")) {
      const auto end = rest_.find('}');
      const std::string_view inside =
          end == std::string_view::npos ? std::string_view() : rest_.substr(1, end - 1);
      const auto comma = inside.find(',');
      const std::string_view low = inside.substr(0, comma);
      const std::string_view high =
          comma == std::string_view::npos ? std::string_view() : inside.substr(comma + 1);
      const auto number = [](std::string_view digits) {
        return !digits.empty() && digits.size() <= 3 &&
               digits.find_first_not_of("0123456789") == std::string_view::npos &&
               std::stoi(std::string(digits)) <= 255;
      };
      if (!number(low) || (!high.empty() && !number(high)))
        return refused("a '{' that is no count up to 255");
      if (!high.empty() && std::stoi(std::string(high)) < std::stoi(std::string(low)))
        return refused("a count that goes down");
      text = "{" + std::string(inside) + "}";
      rest_.remove_prefix(end + 1);
    } else {
      return std::nullopt;
    }
    if (!quantifiable) return refused("a quantifier on an anchor");
    (void)take("?");  // lazy or greedy: whether there is a match is the same
    if (!rest_.empty() && std::string_view("*+?{").find(rest_[0]) != std::string_view::npos)
      return refused("a quantifier on a quantifier");
    out_ += text;
    return std::nullopt;
  }

  std::string_view rest_;
  std::string out_;
};

}  // namespace

Result<std::string> to_postgresql_regex(std::string_view pattern) {
  if (auto fault = text_fault(pattern))
    return Error{Code::unsupported, "filter.matches: the pattern " + *fault};
  return Regex(pattern).translate();
}

}  // namespace vmproxy::protocols::pgvector
