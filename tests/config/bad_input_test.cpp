// Text from anywhere: refused or read, never a crash, and a refusal always names the file.
#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "config/config.h"
#include "config/reference.h"

using namespace vmproxy;

namespace {

const std::string whole = R"(data_dir: ./d
admin: {listen: 127.0.0.1:7070, token: ${VMPROXY_TOKEN:-}}
databases:
  old: {system: a, url: http://127.0.0.1:8000, auth: {header: h, token: "t"}, tls: {insecure: false}}
  new: {system: b, url: 'postgresql://user@127.0.0.1:5432/app'}
listeners:
  - {listen: 0.0.0.0:8001, dialect: a, migration: m}
migrations:
  m: {source: old, target: new, collections: ['*']}
reads: {wait: 20ms}
)";

void must_survive(const std::string& text) {
  const auto parsed = config::parse(text, "v.yaml");
  if (parsed.has_error()) RC_ASSERT(parsed.error().message.rfind("v.yaml", 0) == 0);
}

}  // namespace

TEST_CASE("arbitrary bytes are refused or read") {
  rc::prop("bytes", [](const std::string& text) { must_survive(text); });
}

TEST_CASE("a good configuration with bytes changed, removed or repeated is refused or read") {
  rc::prop("mutations", []() {
    std::string text = whole;
    const int steps = *rc::gen::inRange(1, 6);
    for (int i = 0; i < steps; ++i) {
      const size_t at = *rc::gen::inRange<size_t>(0, text.size());
      const size_t length = std::min(*rc::gen::inRange<size_t>(0, 20), text.size() - at);
      switch (*rc::gen::inRange(0, 4)) {
        case 0: text.erase(at, length); break;
        case 1: text.insert(at, text.substr(at, length)); break;
        case 2: text[at] = *rc::gen::elementOf(std::string("{}[]:,&*!|>%@`'\"\\#-? \n\t$~")); break;
        default: text[at] = static_cast<char>(*rc::gen::inRange(0, 256)); break;
      }
      if (text.empty()) text = "a";
    }
    must_survive(text);
  });
}

TEST_CASE("every beginning of a good configuration is refused or read") {
  for (size_t length = 0; length <= whole.size(); ++length) {
    const auto parsed = config::parse(whole.substr(0, length), "v.yaml");
    if (parsed.has_error()) CHECK(parsed.error().message.rfind("v.yaml", 0) == 0);
  }
}

TEST_CASE("deep nesting, alias bombs and huge files are refused") {
  for (const char* bracket : {"[", "{a: ", "- ", "? "}) {
    std::string deep;
    for (int i = 0; i < 5000; ++i) deep += bracket;
    CHECK(config::parse(deep, "v.yaml").has_error());
  }
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 40; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + ", *a" +
            std::to_string(i - 1) + "]\n";
  }
  CHECK(config::parse(bomb, "v.yaml").has_error());
  CHECK(config::parse(std::string((1 << 20) + 1, ' '), "v.yaml").has_error());
}

TEST_CASE("hiding references keeps every column and can be undone") {
  rc::prop("round trip", []() {
    const auto text = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("${}:,[]# ab\n'\"-")));
    const std::string hidden = config::hide_references(text);
    RC_ASSERT(hidden.size() == text.size());
    RC_ASSERT(config::show_references(hidden) == text);
  });
}
