#include "protocols/wire/json_scanner.h"

#include <catch2/catch.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>

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

TEST_CASE("arrays of numbers read the same in the usual form and in every other") {
  const std::vector<std::string> numbers{"0",
                                         "-0",
                                         "1",
                                         "-1.5",
                                         "0.1",
                                         "123456789.125",
                                         "9007199254740993",
                                         "0.30000001192092896",
                                         "1e3",
                                         "-2.5E-4",
                                         "123456789012345678901234567890",
                                         "0.000000000000000000000000001",
                                         "3.4028235e38"};
  for (const auto& a : numbers) {
    for (const auto& b : numbers) {
      for (const std::string& text :
           {"[" + a + "," + b + "," + a + "]", "[ " + a + " , " + b + ",\n" + a + "]"}) {
        std::vector<float> got;
        JsonScanner in(text);
        REQUIRE((in.read_floats(got) && in.finish()));
        const auto expected = [](const std::string& number) {
          return static_cast<float>(std::strtod(number.c_str(), nullptr));
        };
        REQUIRE(got == std::vector<float>{expected(a), expected(b), expected(a)});
        REQUIRE(std::signbit(got[0]) == (a[0] == '-'));
        JsonScanner skipped(text);
        REQUIRE((skipped.skip_value() && skipped.finish()));
      }
    }
  }
}

TEST_CASE("arrays of numbers are refused where they always were") {
  for (const std::string text : {"[1,]", "[,1]", "[01]", "[1.]", "[1.5e]", "[-]", "[1 2]", "[1,2", "[1,2,",
                                 "[1.5x]", "[1,-]", "[+1]"}) {
    std::vector<float> ignored;
    JsonScanner reads(text), skips(text);
    CHECK_FALSE((reads.read_floats(ignored) && reads.finish()));
    CHECK_FALSE((skips.skip_value() && skips.finish()));
    CHECK(reads.error() == skips.error());
  }
}

TEST_CASE("what somebody else judges is passed over to the same end as it is skipped") {
  for (const std::string text : {"1", "\"]\"", "null", "[]", "[1]", "[ 1.5 , -2e3,\n3 ]", "[[1,2],[3],[]]",
                                 "[\"]\",1]", "[1,\"]\",2]", "[1,null]", "[1,[2,\"[\"],{\"a\":[3]}]", "{}",
                                 R"({"a":[1,2],"b":{"c":[[1],["x]"]]},"d":"[1"})", "[true,false]"}) {
    INFO(text);
    const std::string followed = text + " ,7";
    JsonScanner skips(followed), passes(followed);
    REQUIRE(skips.skip_value());
    REQUIRE(passes.pass_value());
    CHECK(passes.offset() == skips.offset());
  }
  std::string longer = "[";
  for (int i = 0; i < 200; ++i) {
    const std::string text = longer + "1]]";
    JsonScanner in(text);
    REQUIRE(in.pass_value());
    CHECK(in.offset() == longer.size() + 2);
    longer += i % 3 == 0 ? "-0.12345678," : "7,";
  }
}

TEST_CASE("what has no sure end is not passed over, and only what is between numbers is not judged") {
  for (const std::string text :
       {"", "[", "[1", "[1,2", "[1}", "[1:2]", "[1,x]", "[tru]", "{\"a\":[1}", "{\"a\" [1]}", "[\"a]"}) {
    INFO(text);
    JsonScanner in(text);
    CHECK_FALSE(in.pass_value());
  }
  for (const std::string text : {"[1,,2]", "[1.2.3]", "[+]", "[1 2]"}) {
    INFO(text);
    JsonScanner in(text);
    CHECK((in.pass_value() && in.finish()));
  }
}

TEST_CASE("nulls among numbers are NaN where the reader says so") {
  for (const std::string text : {"[null]", "[1,null,2]", "[null,null]", "[1.5,-2, null ,3,4]"}) {
    std::vector<float> refused, numbers;
    CHECK_FALSE(JsonScanner(text).read_floats(refused));
    JsonScanner in(text);
    REQUIRE((in.read_floats(numbers, JsonScanner::Nulls::are_nan) && in.finish()));
    CHECK(numbers.size() == static_cast<size_t>(std::count(text.begin(), text.end(), ',')) + 1);
    CHECK(std::count_if(numbers.begin(), numbers.end(), [](float x) { return std::isnan(x); }) ==
          (text == "[null,null]" ? 2 : 1));
  }
}

TEST_CASE("numbers of every length read as the library reads them") {
  uint64_t state = 88172645463325252;
  const auto random = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  for (int i = 0; i < 20000; ++i) {
    std::string number = random() % 2 == 0 ? "-" : "";
    const size_t whole = random() % 12, fraction = random() % 18;
    if (whole == 0) number += '0';
    for (size_t d = 0; d < whole; ++d)
      number += static_cast<char>(d == 0 ? '1' + random() % 9 : '0' + random() % 10);
    if (fraction > 0) number += '.';
    for (size_t d = 0; d < fraction; ++d) number += static_cast<char>('0' + random() % 10);
    INFO(number);
    std::vector<float> got;
    const std::string text = "[" + number + "]";
    REQUIRE(JsonScanner(text).read_floats(got));
    REQUIRE(got == std::vector<float>{static_cast<float>(std::strtod(number.c_str(), nullptr))});
  }
}

TEST_CASE("the end of plain text is found at every place and for every byte") {
  for (int byte = 0; byte < 256; ++byte) {
    for (size_t place = 0; place < 20; ++place) {
      std::string text(24, '\x80');
      text[place] = static_cast<char>(byte);
      const bool ends = byte < 0x20 || byte == '"' || byte == '\\';
      REQUIRE(vmproxy::protocols::wire::end_of_plain_text(text) == (ends ? place : text.size()));
    }
  }
}
