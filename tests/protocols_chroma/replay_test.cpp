// What a real Chroma 1.5.9 answered (record.py), asked again of the dialect over a database of another kind.
#include <catch2/catch.hpp>
#include <fstream>

#include "memory_backend.h"
#include "protocols/chroma/chroma.h"
#include "protocols/wire/json.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using model::Value;
using wire::parse_json;

namespace {

std::vector<Value> exchanges(const std::string& subject) {
  std::ifstream file(std::string(VMPROXY_TEST_DATA) + "/" + subject + ".jsonl");
  std::vector<Value> lines;
  for (std::string line; std::getline(file, line);) {
    const auto value = parse_json(line);
    REQUIRE(value.has_value());
    lines.push_back(*value);
  }
  REQUIRE(!lines.empty());
  return lines;
}

std::string text_at(const Value& line, std::string_view name) {
  const Value* value = line.find(name);
  return value != nullptr && value->is_string() ? value->string() : std::string();
}

// Equal, but for the last digits of distances.
bool same(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() != b.is_integer()) return false;
    return a == b || std::abs(a.number() - b.number()) <= 1e-6 * std::abs(b.number());
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.array().begin(), a.array().end(), b.array().begin(), b.array().end(), same);
  }
  if (a.is_object() && b.is_object()) {
    return std::equal(
        a.object().begin(), a.object().end(), b.object().begin(), b.object().end(),
        [](const auto& x, const auto& y) { return x.first == y.first && same(x.second, y.second); });
  }
  return a == b;
}

bool same_text(const std::string& got, const std::string& wanted) {
  if (got == wanted) return true;
  const auto a = parse_json(got);
  const auto b = parse_json(wanted);
  return a && b && same(*a, *b);
}

// What the two may say differently, each with its reason.
bool excepted(const Value& line, const net::Response& response) {
  const std::string wanted = text_at(line, "answer");
  // Which part of a regular expression is wrong is drawn by the server with carets; we only name the fault.
  if (wanted.find("Regex syntax errror") != std::string::npos) return response.status == 400;
  // The server adds each field of the metadata that it meets to the schema that it shows; we show the one of
  // the beginning.
  if (text_at(line, "method") == "GET" && text_at(line, "path").ends_with("/collections/written"))
    return response.status == 200;
  // An array in place of an object is read as one by the server (serde); we refuse it as it refuses other
  // types.
  if (text_at(line, "body") == "[]") return response.status == 422;
  return false;
}

net::Response ask(const Dialect& dialect, Backend& backend, const Value& line) {
  net::RequestHead head;
  net::Request request;
  head.method = request.method = text_at(line, "method");
  head.target = request.target = text_at(line, "path");
  if (line.find("body")->is_string()) {
    const std::string type = text_at(line, "content_type");
    request.headers.add("content-type", type.empty() ? "application/json" : type);
    request.body = text_at(line, "body");
  } else if (request.method == "PUT") {
    request.headers.add("content-type", "application/json");
  }
  const OperationRow* row = dialect.classify(head);
  if (row == nullptr) return dialect.error(Error(Code::not_found, "no such call"), head);
  auto answered = dialect.serve(*row, request, backend);
  return answered ? std::move(*answered) : dialect.error(answered.error(), head);
}

// The id that a later answer shows for the database that is created here.
std::string id_shown(const std::vector<Value>& lines, const std::string& body) {
  const auto created = parse_json(body);
  if (!created || created->find("name") == nullptr) return {};
  for (const Value& line : lines) {
    const auto answered = parse_json(text_at(line, "answer"));
    if (answered && answered->find("tenant") != nullptr && answered->find("configuration_json") == nullptr &&
        *answered->find("name") == *created->find("name")) {
      return answered->find("id")->string();
    }
  }
  return {};
}

void replay(const std::string& subject) {
  const auto dialect = chroma::system().make_dialect({});
  chroma::test::MemoryBackend backend;
  const auto lines = exchanges(subject);
  for (const Value& line : lines) {
    const auto recorded = parse_json(text_at(line, "answer"));
    backend.uuids.clear();
    if (recorded && recorded->find("id") != nullptr) backend.uuids.push_back(recorded->find("id")->string());
    if (text_at(line, "path").ends_with("/databases"))
      backend.uuids.push_back(id_shown(lines, text_at(line, "body")));
    const auto response = ask(*dialect, backend, line);
    const int status = static_cast<int>(std::get<int64_t>(line.find("status")->data));
    if (excepted(line, response)) continue;
    CAPTURE(text_at(line, "method"), text_at(line, "path"), text_at(line, "body"), text_at(line, "answer"),
            response.body);
    CHECK(response.status == status);
    CHECK(same_text(response.body, text_at(line, "answer")));
    CHECK((response.headers.find("chroma-trace-id").has_value()) == (status >= 400));
    CHECK(response.headers.find("content-type").value_or("") ==
          (text_at(line, "answer").empty() ? "" : "application/json"));
    CHECK(std::string(response.headers.find("allow").value_or("")) == text_at(line, "allow"));
  }
}

}  // namespace

TEST_CASE("session calls are answered like the real server answered them") {
  replay("session");
}
TEST_CASE("tenants and databases are answered like the real server answered them") {
  replay("spaces");
}
TEST_CASE("collections are answered like the real server answered them") {
  replay("collections");
}
TEST_CASE("writes are answered like the real server answered them, and leave the same records") {
  replay("writes");
}
TEST_CASE("reads are answered like the real server answered them") {
  replay("reads");
}
