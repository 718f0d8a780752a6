#include "protocols/pgvector/regular_expression.h"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace vmproxy;
using protocols::pgvector::to_postgresql_regex;

TEST_CASE("regular expressions are written so that PostgreSQL means the same") {
  const std::pair<const char*, const char*> rows[] = {
      {"abc", "abc"},
      {"a.c", "a[^\\u000A]c"},
      {"^a$", "^a$"},
      {"[[:word:]]", "[0-9A-Za-z_]"},
      {"[a&~-]", "[a\\u0026\\u007E\\u002D]"},
      {"a|b", "a|b"},
      {"(ab)*", "(?:ab)*"},
      {"(?P<n>a)", "(?:a)"},
      {"a{2,3}?", "a{2,3}"},
      {"[a-z]", "[a-z]"},
      {"[^]x]", "[^\\u005Dx]"},
      {"a\\-b", "a\\-b"},
      {"a\\.b", "a\\.b"},
      {"[a-c-]", "[a-c\\u002D]"},
      {"", ""},
  };
  for (const auto& [pattern, expected] : rows) {
    INFO(pattern);
    CHECK(to_postgresql_regex(pattern).value() == expected);
  }
}

// What Chroma 1.5.9 matches: all of Unicode's decimal digits and white space.
TEST_CASE("digits and white space are Unicode's, also in brackets and negated") {
  const std::string digits = to_postgresql_regex("[\\d]").value();
  CHECK(digits.starts_with("[0-9\\u0660-\\u0669\\u06F0-\\u06F9"));
  CHECK(digits.ends_with("\\U0001FBF0-\\U0001FBF9]"));
  CHECK(std::ranges::count(digits, '-') == 76);  // 760 of them
  CHECK(to_postgresql_regex("\\d").value() == digits);
  CHECK(to_postgresql_regex("\\D+").value() == "[^" + digits.substr(1) + "+");
  const std::string spaces = to_postgresql_regex("\\s").value();
  CHECK(spaces.starts_with("[\\u0009-\\u000D "));
  CHECK(spaces.find("\\u00A0") != std::string::npos);
  CHECK(to_postgresql_regex("[\\d\\s-]").value() ==
        digits.substr(0, digits.size() - 1) + spaces.substr(1, spaces.size() - 2) + "\\u002D]");
}

TEST_CASE("regular expressions that would mean something else are refused with a code") {
  for (const char* pattern :
       {"(?i)a", "\\p{L}", "a**", "*a", "a{1000}", "(", ")", "[", "\\", "(?=a)", "(?<=a)", "\\1", "\\A",
        "[[:space:]]", "a{3,2}", "^*", "\\Qx",
        // Unicode's words
        "\\w", "\\W", "[\\w.]", "\\bword\\b", "\\B", "\\<word", "word\\>", "[\\<]", "^caf\\w$",
        // sets
        "[a-z&&[^aeiou]]", "[a[bc]]", "[a-z--e]", "[a-g~~e-z]", "[[a]]", "[^[a]]", "[a--]", "[!--]"}) {
    const auto result = to_postgresql_regex(pattern);
    INFO(pattern);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::unsupported);
    CHECK(result.error().message.starts_with("filter.matches: "));
  }
}
