#include "protocols/pgvector/regular_expression.h"

#include <catch2/catch.hpp>

using namespace vmproxy;
using protocols::pgvector::to_postgresql_regex;

TEST_CASE("regular expressions are written so that PostgreSQL means the same") {
  const std::pair<const char*, const char*> rows[] = {
      {"abc", "abc"},       {"a.c", "a[^\\u000A]c"},    {"^a$", "^a$"},
      {"\\d+", "[0-9]+"},   {"\\W", "[^0-9A-Za-z_]"},   {"a|b", "a|b"},
      {"(ab)*", "(?:ab)*"}, {"(?P<n>a)", "(?:a)"},      {"a{2,3}?", "a{2,3}"},
      {"[a-z]", "[a-z]"},   {"[^]x]", "[^\\u005Dx]"},   {"\\bword\\b", "\\yword\\y"},
      {"a\\.b", "a\\.b"},   {"[\\d-]", "[0-9\\u002D]"}, {"", ""},
  };
  for (const auto& [pattern, expected] : rows) {
    INFO(pattern);
    CHECK(to_postgresql_regex(pattern).value() == expected);
  }
}

TEST_CASE("regular expressions that would mean something else are refused with a code") {
  for (const char* pattern : {"(?i)a", "\\p{L}", "a**", "*a", "a{1000}", "(", ")", "[", "\\", "(?=a)",
                              "(?<=a)", "\\1", "\\A", "[[:space:]]", "a{3,2}", "^*", "\\Qx"}) {
    const auto result = to_postgresql_regex(pattern);
    INFO(pattern);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::unsupported);
    CHECK(result.error().message.starts_with("filter.matches: "));
  }
}
