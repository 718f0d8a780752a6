#include "protocols/wire/json.h"

#include <rapidcheck.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace vmproxy;
using model::Array;
using model::Object;
using model::Value;
using protocols::wire::parse_json;
using protocols::wire::to_json;

namespace {

Value parsed(std::string_view text) {
  auto value = parse_json(text);
  INFO(text);
  REQUIRE(value.has_value());
  return *value;
}

std::string refusal(std::string_view text, int depth_max = 128) {
  const auto value = parse_json(text, depth_max);
  return value ? "accepted" : value.error().message;
}

Value any_value(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 8 : 6)) {
    case 0: return nullptr;
    case 1: return *rc::gen::arbitrary<bool>();
    case 2: return *rc::gen::arbitrary<int64_t>();
    case 3: return *rc::gen::arbitrary<uint64_t>();
    case 4: {
      const double d = std::bit_cast<double>(*rc::gen::arbitrary<uint64_t>());
      return std::isfinite(d) ? d : 0.5;
    }
    case 5: return *rc::gen::container<std::string>(rc::gen::inRange<char>(0, 127));
    case 6: {
      Array array;
      for (int n = *rc::gen::inRange(0, 4); n > 0; --n) array.push_back(any_value(depth - 1));
      return array;
    }
    default: {
      Object object;
      for (int n = *rc::gen::inRange(0, 4); n > 0; --n)
        object["k" + std::to_string(n)] = any_value(depth - 1);
      return object;
    }
  }
}

}  // namespace

TEST_CASE("values keep their types and content") {
  CHECK(parsed("null") == Value());
  CHECK(parsed(" [true , false] ") == Value(Array{true, false}));
  CHECK(parsed("-5") == Value(-5));
  CHECK(parsed("18446744073709551615") == Value(UINT64_MAX));
  CHECK(parsed("9223372036854775807") == Value(INT64_MAX));
  CHECK(parsed("1.0") == Value(1.0));
  CHECK(parsed("1e2") == Value(100.0));
  CHECK(parsed("{\"a\":{\"b\":[1,\"x\"]},\"\":0}") ==
        Value(Object{{"a", Object{{"b", Array{1, "x"}}}}, {"", 0}}));
}

TEST_CASE("integers beyond 64 bits become floating-point numbers") {
  CHECK(parsed("18446744073709551616") == Value(18446744073709551616.0));
  CHECK(parsed("-9223372036854775809") == Value(-9223372036854775809.0));
  CHECK(std::signbit(std::get<double>(parsed("-0").data)));
}

TEST_CASE("numbers too large for a double are refused and too small ones are zero") {
  CHECK(refusal("1e400") == "number out of range at line 1 column 5");
  CHECK(parsed("1e-400") == Value(0.0));
}

TEST_CASE("the last of several members with one name wins") {
  CHECK(parsed(R"({"a":1,"a":2})") == Value(Object{{"a", 2}}));
}

TEST_CASE("escapes become the characters they stand for") {
  CHECK(parsed(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00\u0000")") ==
        Value(std::string("\"\\/\b\f\n\r\tAé€😀\0", 19)));
}

TEST_CASE("text that is not JSON is refused with the place") {
  CHECK(refusal("") == "EOF while parsing a value at line 1 column 0");
  CHECK(refusal("{") == "EOF while parsing an object at line 1 column 1");
  CHECK(refusal("[1,") == "EOF while parsing a value at line 1 column 3");
  CHECK(refusal("[1,]") == "trailing comma at line 1 column 4");
  CHECK(refusal("[1 2]") == "expected `,` or `]` at line 1 column 4");
  CHECK(refusal("{\"a\" 1}") == "expected `:` at line 1 column 6");
  CHECK(refusal("{a:1}") == "key must be a string at line 1 column 2");
  CHECK(refusal("{\"a\":1,}") == "trailing comma at line 1 column 8");
  CHECK(refusal("1 2") == "trailing characters at line 1 column 3");
  CHECK(refusal("nul") == "EOF while parsing a value at line 1 column 3");
  CHECK(refusal("nulx") == "expected ident at line 1 column 4");
  CHECK(refusal("\n\n  ?") == "expected value at line 3 column 3");
  for (const char* text : {"01",       "-",         "1.",          ".5",          "1e",
                           "+1",       "NaN",       "Infinity",    "'a'",         "\"a",
                           "\"\\x\"",  "\"\\u12\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
                           "\"\x01\"", "[",         "]",           "{\"a\"}",     "tru",
                           "\"\\"}) {
    INFO(text);
    CHECK(refusal(text) != "accepted");
  }
}

TEST_CASE("bytes that are not UTF-8 are refused") {
  for (const char* text :
       {"\"\xff\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\""}) {
    CHECK(refusal(text) == "the text is not valid UTF-8");
  }
}

TEST_CASE("nesting beyond the bound is refused without deep recursion") {
  CHECK(refusal(std::string(127, '[') + std::string(127, ']')) == "accepted");
  CHECK(refusal(std::string(128, '[') + std::string(128, ']')) ==
        "recursion limit exceeded at line 1 column 128");
  CHECK(refusal(std::string(5'000'000, '[')).starts_with("recursion limit exceeded"));
  CHECK(refusal("[[1]]", 2).starts_with("recursion limit exceeded"));
}

TEST_CASE("numbers are written in the shortest form that reads back the same") {
  const auto text = [](double number) { return to_json(number); };
  CHECK(text(1) == "1.0");
  CHECK(text(-0.0) == "-0.0");
  CHECK(text(0.1) == "0.1");
  CHECK(text(1234.5) == "1234.5");
  CHECK(text(1e15) == "1000000000000000.0");
  CHECK(text(1e16) == "1e+16");
  CHECK(text(1.5e-5) == "0.000015");
  CHECK(text(1.5e-7) == "1.5e-7");
  CHECK(text(std::numeric_limits<double>::quiet_NaN()) == "null");
  CHECK(text(std::numeric_limits<double>::infinity()) == "null");
  std::string out;
  protocols::wire::append_json_number(out, 0.1f);
  CHECK(out == "0.1");
  CHECK(to_json(Value(UINT64_MAX)) == "18446744073709551615");
  CHECK(to_json(Value(INT64_MIN)) == "-9223372036854775808");
}

TEST_CASE("control characters are escaped on output") {
  CHECK(to_json(Value("a\"\\\n\x01é")) == "\"a\\\"\\\\\\n\\u0001é\"");
}

TEST_CASE("every value reads back as it was written") {
  CHECK(rc::check([] {
    const Value value = any_value(4);
    const auto again = parse_json(to_json(value));
    RC_ASSERT(again.has_value());
    RC_ASSERT(*again == value);
  }));
}

TEST_CASE("every float reads back as it was written") {
  CHECK(rc::check([] {
    const float number = std::bit_cast<float>(*rc::gen::arbitrary<uint32_t>());
    RC_PRE(std::isfinite(number));
    std::string text;
    protocols::wire::append_json_number(text, number);
    const auto again = parse_json(text);
    RC_ASSERT(again.has_value());
    RC_ASSERT(static_cast<float>(again->number()) == number);
  }));
}

TEST_CASE("cutting or changing a valid text anywhere never crashes the parser") {
  const std::string text = R"({"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",null,true],"b":{"c":""}})";
  for (size_t i = 0; i < text.size(); ++i) {
    CHECK(refusal(text.substr(0, i)) != "accepted");
    for (const char c : std::string_view("\0\"\\{}[],:0x\xff", 12)) {
      std::string changed = text;
      changed[i] = c;
      (void)parse_json(changed);
    }
  }
}
