#include "protocols/milvus/expression_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "protocols/wire/utf8.h"

namespace vmproxy::protocols::milvus {
namespace {

using TokenKind = Token::Kind;

constexpr std::string_view words[] = {"in",
                                      "and",
                                      "or",
                                      "not",
                                      "like",
                                      "exists",
                                      "is",
                                      "null",
                                      "json_contains",
                                      "json_contains_all",
                                      "json_contains_any",
                                      "array_contains",
                                      "array_contains_all",
                                      "array_contains_any",
                                      "array_length",
                                      "text_match",
                                      "phrase_match",
                                      "random_sample"};

bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool digit(char c) {
  return c >= '0' && c <= '9';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

// Keywords are known in lower and in upper case only.
bool one_case(std::string_view text) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return std::ranges::none_of(text, is_upper) || std::ranges::none_of(text, is_lower);
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> run() {
    std::vector<Token> tokens;
    while (true) {
      while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
        ++at_;
      begin_ = at_;
      if (at_ == text_.size()) break;
      if (tokens.size() == tokens_max)
        return Error(Code::unsupported, "filter.size: an expression of more than " +
                                            std::to_string(tokens_max) +
                                            " words, numbers and signs is not read");
      Token token;
      token.column = characters(at_);
      if (!next(token)) return error_;
      token.source = text_.substr(begin_, at_ - begin_);
      tokens.push_back(std::move(token));
    }
    Token end;
    end.column = characters(text_.size());
    end.source = "<EOF>";
    tokens.push_back(std::move(end));
    return tokens;
  }

 private:
  // Columns count characters, not bytes.
  size_t characters(size_t bytes) {
    for (; counted_ < bytes; ++counted_)
      characters_ += (static_cast<uint8_t>(text_[counted_]) & 0xc0) != 0x80;
    return characters_;
  }

  bool refuse() {
    std::string rest(text_.substr(begin_, 60));
    error_ = Error(Code::invalid, "line 1:" + std::to_string(characters(begin_)) +
                                      " token recognition error at: '" + rest + "'");
    return false;
  }

  bool next(Token& token) {
    const char c = text_[at_];
    if (c == '"' || c == '\'') return string(token, c);
    if (digit(c) || (c == '.' && at_ + 1 < text_.size() && digit(text_[at_ + 1]))) return number(token);
    if (letter(c)) return name(token);
    if (text_.substr(at_).starts_with("$meta")) {
      at_ += 5;
      token.kind = TokenKind::meta;
      return true;
    }
    return symbol(token);
  }

  bool symbol(Token& token) {
    static constexpr std::string_view symbols[] = {"**", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "<",
                                                   ">",  "+",  "-",  "*",  "/",  "%",  "(",  ")",  "[",  "]",
                                                   ",",  "{",  "}",  "&",  "|",  "^",  "~",  "!"};
    for (const auto candidate : symbols) {
      if (!text_.substr(at_).starts_with(candidate)) continue;
      at_ += candidate.size();
      token.kind = TokenKind::symbol;
      token.spelling = candidate;
      if (candidate == "&&" || candidate == "||" || candidate == "!") {
        token.kind = TokenKind::word;
        token.spelling = candidate == "&&" ? "and" : candidate == "||" ? "or" : "not";
      }
      return true;
    }
    return refuse();
  }

  bool name(Token& token) {
    while (at_ < text_.size() && (letter(text_[at_]) || digit(text_[at_]))) ++at_;
    const auto spelled = text_.substr(begin_, at_ - begin_);
    const std::string word = lower(spelled);
    token.kind = TokenKind::name;
    token.spelling = spelled;
    if ((word == "true" || word == "false") &&
        (one_case(spelled) || spelled == "True" || spelled == "False")) {
      token.kind = TokenKind::boolean;
      token.value = word == "true";
    } else if (one_case(spelled) && std::ranges::find(words, word) != std::end(words)) {
      token.kind = TokenKind::word;
      token.spelling = word;
    }
    return true;
  }

  bool number(Token& token) {
    const std::string_view rest = text_.substr(at_);
    const std::string prefix = lower(rest.substr(0, 2));
    int base = 10;
    if (prefix == "0x") base = 16;
    if (prefix == "0b") base = 2;
    token.kind = TokenKind::number;
    if (base != 10) {
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(rest.data() + 2, rest.data() + rest.size(), value, base);
      if (error != std::errc() || value > INT64_MAX) return refuse();
      at_ += static_cast<size_t>(end - rest.data());
      token.value = static_cast<int64_t>(value);
      return true;
    }
    size_t length = 0;
    bool floating = false;
    while (length < rest.size() && digit(rest[length])) ++length;
    if (length < rest.size() && rest[length] == '.') {
      floating = true;
      ++length;
      while (length < rest.size() && digit(rest[length])) ++length;
    }
    if (length < rest.size() && (rest[length] == 'e' || rest[length] == 'E')) {
      size_t exponent = length + 1;
      if (exponent < rest.size() && (rest[exponent] == '+' || rest[exponent] == '-')) ++exponent;
      if (exponent < rest.size() && digit(rest[exponent])) {
        floating = true;
        length = exponent;
        while (length < rest.size() && digit(rest[length])) ++length;
      }
    }
    at_ += length;
    const auto digits = rest.substr(0, length);
    if (floating) {
      double value = 0;
      if (std::from_chars(digits.data(), digits.data() + digits.size(), value).ec != std::errc())
        return refuse();
      token.value = value;
      return true;
    }
    // A leading zero means octal, as in C.
    int64_t value = 0;
    const int integer_base = digits.size() > 1 && digits[0] == '0' ? 8 : 10;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, integer_base);
    if (error == std::errc::result_out_of_range && integer_base == 10) {
      // 2^63 is the one that only a minus in front makes good.
      uint64_t large = 0;
      const auto wide = std::from_chars(digits.data(), digits.data() + digits.size(), large);
      if (wide.ec != std::errc() || large != uint64_t{1} << 63) return refuse();
      token.value = large;
      return true;
    }
    if (error != std::errc() || end != digits.data() + digits.size()) return refuse();
    token.value = value;
    return true;
  }

  bool hex(size_t digits_count, uint32_t& value) {
    value = 0;
    if (at_ + digits_count > text_.size()) return false;
    const auto digits = text_.substr(at_, digits_count);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    at_ += digits_count;
    return error == std::errc() && end == digits.data() + digits.size();
  }

  bool escape(std::string& out) {
    static constexpr std::pair<char, char> simple[] = {{'\'', '\''}, {'"', '"'},  {'?', '?'},  {'\\', '\\'},
                                                       {'a', '\a'},  {'b', '\b'}, {'f', '\f'}, {'n', '\n'},
                                                       {'r', '\r'},  {'t', '\t'}, {'v', '\v'}};
    if (at_ == text_.size()) return false;
    const char c = text_[at_++];
    for (const auto& [spelled, meant] : simple) {
      if (c == spelled) {
        out += meant;
        return true;
      }
    }
    uint32_t value = 0;
    if (c == 'x') {
      if (!hex(2, value)) return false;
      out += static_cast<char>(value);
      return true;
    }
    if (c == 'u' || c == 'U') {
      if (!hex(c == 'u' ? 4 : 8, value) || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return false;
      wire::append_utf8(out, value);
      return true;
    }
    return false;
  }

  bool string(Token& token, char quote) {
    std::string out;
    ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      const char c = text_[at_++];
      if (c == '\n' || c == '\r') return refuse();
      if (c == '\\') {
        if (!escape(out)) return refuse();
      } else {
        out += c;
      }
    }
    if (at_ == text_.size()) return refuse();
    ++at_;
    token.kind = TokenKind::text;
    token.value = std::move(out);
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t begin_ = 0;
  size_t counted_ = 0;
  size_t characters_ = 0;
  Error error_;
};

}  // namespace

Result<std::vector<Token>> tokens_of(std::string_view text) {
  return Lexer(text).run();
}

}  // namespace vmproxy::protocols::milvus
