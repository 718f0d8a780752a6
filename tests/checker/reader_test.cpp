#include <catch2/catch.hpp>

#include "lines_file.h"

using namespace vmproxy::checker;

namespace {

std::string error_of(const std::string& content) {
  const LinesFile file(content);
  History history;
  const auto done = Reader(history).read(file.path());
  if (done) return "";
  const std::string& message = done.error().message;
  REQUIRE(message.starts_with(file.path()));
  return message.substr(file.path().size());
}

constexpr std::string_view good =
    R"({"type":"op","process":"p","key":"k","op":"write","value":"a","call":1,"ret":2,"outcome":"ok"})";

}  // namespace

TEST_CASE("all types of records are read") {
  const LinesFile file(joined({
      std::string(good),
      "",
      R"({"type":"op","process":"p","key":"k","op":"read","value":null,"call":1,"ret":2,"outcome":"ok","stale":"any"})",
      R"({"type":"op","process":"p","key":"k","op":"delete","call":1,"outcome":"unknown","latest":9,"epoch":2})",
      R"({"type":"op","process":"p","key":"k","op":"delete_where","call":1,"outcome":"fail"})",
      R"({"type":"op","process":"p","key":"k","op":"read","call":1,"outcome":"unknown"})",
      R"({"type":"scan","process":"s","keys":["k","l"],"call":1,"ret":2,"partial":true})",
      R"({"type":"execution","side":"source","epoch":1,"key":"k","call":1,"ret":2})",
      R"({"type":"sent","side":"source","request":"r"})",
      R"({"type":"sent","side":"source","request":"r","outcome":"unknown"})",
      R"({"type":"seen","side":"source","request":"r"})",
      R"({"type":"final","side":"source","key":"k","value":"a"})",
      R"({"type":"final_complete","side":"source"})",
  }));
  History history;
  REQUIRE(Reader(history).read(file.path()).has_value());
  CHECK(history.counts().writes == 1);
  CHECK(history.counts().reads == 2);
  CHECK(history.counts().deletes == 2);
  CHECK(history.counts().unknown == 2);
  CHECK(history.counts().failed == 1);
  CHECK(history.counts().scans == 1);
  CHECK(history.counts().executions == 1);
  CHECK(history.counts().requests == 3);
  CHECK(history.counts().finals == 1);
  CHECK(history.operations(0).at(1).stale == never);
  CHECK(history.operations(0).at(2).latest == 9);
  CHECK(history.place_text(history.operations(0).at(1).place) == file.path() + ":3");
}

TEST_CASE("absent and the empty text are two values") {
  CHECK(
      check_lines(
          {R"({"type":"op","process":"p","key":"k","op":"write","value":"","call":1,"ret":2,"outcome":"ok"})",
           R"({"type":"op","process":"q","key":"k","op":"read","value":null,"call":3,"ret":4,"outcome":"ok"})"})
          .verdict() == Verdict::anomaly);
}

TEST_CASE("bad input is refused with file and line") {
  const auto op = [](const std::string& rest) {
    return R"({"type":"op","process":"p","key":"k",)" + rest + "}\n";
  };
  CHECK(error_of(std::string(good) + "\nnonsense\n").starts_with(":2: "));
  CHECK(error_of("[1]\n") == ":1: a line must be one JSON object");
  CHECK(error_of("{\"type\":\"oops\"}\n") == ":1: unknown type oops");
  CHECK(error_of("{\"tpye\":\"op\"}\n") == ":1: unknown field tpye");
  CHECK(error_of("{\"type\":\"seen\",\"side\":\"s\"}\n") == ":1: request is missing");
  CHECK(error_of("{\"type\":\"seen\",\"side\":\"s\",\"request\":\"r\",\"key\":\"k\"}\n") ==
        ":1: key has no meaning here");
  CHECK(error_of("{\"type\":\"seen\",\"side\":\"s\",\"side\":\"s\",\"request\":\"r\"}\n") ==
        ":1: side stands twice");
  CHECK(error_of("{\"type\":\"seen\",\"side\":7,\"request\":\"r\"}\n") == ":1: side has an impossible value");
  CHECK(error_of(op(R"("op":"write","call":1,"ret":2,"outcome":"ok")")) == ":1: a write needs a value");
  CHECK(error_of(op(R"("op":"read","call":1,"ret":2,"outcome":"ok")")) ==
        ":1: an answered read needs a value");
  CHECK(error_of(op(R"("op":"delete","value":"a","call":1,"ret":2,"outcome":"ok")")) ==
        ":1: value has no meaning here");
  CHECK(error_of(op(R"("op":"delete","call":3,"ret":2,"outcome":"ok")")) == ":1: ret is before call");
  CHECK(error_of(op(R"("op":"delete","call":3,"outcome":"ok")")) == ":1: ret is missing");
  CHECK(error_of(op(R"("op":"delete","call":3,"ret":4,"latest":9,"outcome":"ok")")) ==
        ":1: latest belongs to unknown writes");
  CHECK(error_of(op(R"("op":"delete","call":3,"latest":1,"outcome":"unknown")")) ==
        ":1: latest is before call");
  CHECK(error_of(op(R"("op":"delete","call":3,"ret":4,"stale":1,"outcome":"ok")")) ==
        ":1: stale belongs to reads");
  CHECK(error_of(op(R"("op":"delete","call":-3,"ret":4,"outcome":"ok")")) ==
        ":1: call has an impossible value");
  CHECK(error_of(op(R"("op":"swap","call":3,"ret":4,"outcome":"ok")")) == ":1: unknown op swap");
  CHECK(error_of(op(R"("op":"delete","call":3,"outcome":"perhaps")")) == ":1: unknown outcome perhaps");
  CHECK(error_of(op(R"("op":"delete","call":3,"outcome":"begun")")) == ":1: begun needs an id");
  CHECK(
      error_of("{\"type\":\"execution\",\"side\":\"s\",\"epoch\":0,\"key\":\"k\",\"call\":1,\"ret\":2}\n") ==
      ":1: epochs begin at 1");
}

TEST_CASE("an operation that was begun and never ended may have happened") {
  const std::string begun =
      R"({"type":"op","process":"p","key":"k","op":"write","value":"a","call":1,"outcome":"begun","id":7})";
  const std::string ended =
      R"({"type":"op","process":"p","key":"k","op":"write","value":"a","call":1,"ret":2,"outcome":"ok","id":7})";
  const auto read = [](const char* value) {
    return std::string(R"({"type":"op","process":"q","key":"k","op":"read","value":)") + value +
           R"(,"call":3,"ret":4,"outcome":"ok"})";
  };
  CHECK(check_lines({begun, read("null")}).verdict() == Verdict::clean);
  CHECK(check_lines({begun, read("\"a\"")}).verdict() == Verdict::clean);
  CHECK(check_lines({begun, ended, read("\"a\"")}).verdict() == Verdict::clean);
  CHECK(check_lines({begun, ended, read("null")}).verdict() == Verdict::anomaly);
  CHECK(error_of(begun + "\n" + begun + "\n") == ":2: the id is in use");
  CHECK(error_of(begun + "\n" +
                 R"({"type":"op","process":"p","key":"l","op":"delete","call":1,"outcome":"fail","id":7})" +
                 "\n") == ":2: the id began another operation");
}

TEST_CASE("only a last line without its end may be torn") {
  const LinesFile torn(std::string(good) + "\n" + std::string(good.substr(0, 40)));
  History history;
  Reader reader(history);
  REQUIRE(reader.read(torn.path()).has_value());
  CHECK(reader.torn_lines() == 1);
  CHECK(history.counts().writes == 1);
  CHECK(error_of(std::string(good.substr(0, 40)) + "\n" + std::string(good)).starts_with(":1: "));
  CHECK(error_of(std::string(good)).empty());
}

TEST_CASE("lines longer than a block are read whole") {
  std::string scan = R"({"type":"scan","process":"s","call":1,"ret":2,"keys":["k0")";
  for (int i = 1; i < 300'000; ++i) scan += ",\"k" + std::to_string(i) + "\"";
  scan += "]}";
  REQUIRE(scan.size() > (2U << 20));
  const LinesFile file(joined({std::string(good), scan, std::string(good)}));
  History history;
  REQUIRE(Reader(history).read(file.path()).has_value());
  CHECK(history.scans().at(0).keys.size() == 300'000);
  CHECK(history.counts().writes == 2);
}

TEST_CASE("a file that is not there is an error") {
  History history;
  const auto done = Reader(history).read("/nowhere/history.jsonl");
  REQUIRE_FALSE(done.has_value());
}
