#include "protocols/wire/json_scanner.h"

#include <catch2/catch.hpp>

using vmproxy::protocols::wire::JsonScanner;

TEST_CASE("the scanner reads a known shape without a tree") {
  JsonScanner in(R"({"ids":["a","b"],"other":{"x":[1,{}]},"vectors":[[1,2.5],[-3e1]]})");
  std::string name;
  std::vector<std::string> ids;
  std::vector<float> floats;
  REQUIRE(in.enter_object());
  while (in.next_member(name)) {
    if (name == "ids") {
      REQUIRE(in.enter_array());
      while (in.next_element()) REQUIRE(in.read_string(ids.emplace_back()));
    } else if (name == "vectors") {
      REQUIRE(in.enter_array());
      while (in.next_element()) REQUIRE(in.read_floats(floats));
    } else {
      REQUIRE(in.skip_value());
    }
  }
  CHECK(in.finish());
  CHECK(ids == std::vector<std::string>{"a", "b"});
  CHECK(floats == std::vector<float>{1, 2.5f, -30});
}

TEST_CASE("after the first error the scanner reads nothing more and keeps that error") {
  JsonScanner in("[1,x,2]");
  double number = 0;
  REQUIRE(in.enter_array());
  REQUIRE(in.next_element());
  REQUIRE(in.read_double(number));
  REQUIRE(in.next_element());
  CHECK_FALSE(in.read_double(number));
  const std::string first = in.error();
  CHECK(first == "expected value at line 1 column 4");
  CHECK_FALSE(in.next_element());
  CHECK_FALSE(in.skip_value());
  CHECK_FALSE(in.finish());
  CHECK(in.error() == first);
}

TEST_CASE("a value of another kind than asked for is an error, not a crash") {
  for (const char* text : {"1", "\"a\"", "[]", "{}", "null", "true", ""}) {
    INFO(text);
    std::vector<float> floats;
    double number = 0;
    std::string string;
    bool flag = false;
    const int right = JsonScanner(text).read_floats(floats) + JsonScanner(text).read_double(number) +
                      JsonScanner(text).read_string(string) + JsonScanner(text).read_bool(flag) +
                      JsonScanner(text).read_null() + JsonScanner(text).enter_object();
    CHECK(right == (*text == '\0' ? 0 : 1));
  }
}

TEST_CASE("an empty array given where the end was passed is refused") {
  JsonScanner in("[[],[1]]");
  REQUIRE(in.enter_array());
  REQUIRE(in.next_element());
  REQUIRE(in.enter_array());
  CHECK_FALSE(in.next_element());
  REQUIRE(in.ok());
  REQUIRE(in.next_element());
  REQUIRE(in.skip_value());
  CHECK_FALSE(in.next_element());
  CHECK(in.ok());
  CHECK(in.finish());
}
