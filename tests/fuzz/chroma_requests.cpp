// Requests of Chroma's API: the first line of an input is "METHOD TARGET", the rest is the body.
#include "backend.h"
#include "protocols/chroma/dialect.h"
#include "protocols/wire/json.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

constexpr const char* native =
    R"({"id":"ab1f8088-8942-4be7-be3f-d259863899d6","name":"books","configuration_json":
{"hnsw":{"space":"l2","ef_construction":100,"ef_search":100,"max_neighbors":16,"resize_factor":1.2,"sync_threshold":1000},
"spann":null,"embedding_function":null},"metadata":{"a":1},"dimension":2,"tenant":"default_tenant","database":
"default_database","log_position":0,"version":0})";

Catalog catalog() {
  Catalog out;
  out.spaces = {{"default_tenant", model::Object{{"name", "default_tenant"}}},
                {"default_tenant/default_database", model::Object{{"name", "default_database"}}}};
  model::Schema schema;
  schema.name = {"default_tenant/default_database", "books"};
  schema.native_id = "ab1f8088-8942-4be7-be3f-d259863899d6";
  schema.vectors.push_back({"", model::VectorKind::dense_f32, 2, model::Metric::l2, {}});
  schema.has_document = true;
  schema.native = wire::parse_json(native).value();
  out.collections.push_back(std::move(schema));
  return out;
}

model::Record record() {
  model::Record out;
  out.key.id.value = "one";
  out.vectors[""] = model::DenseVector{1, 0.5};
  out.document = "text";
  out.metadata = model::Object{{"a", 1}, {"b", "x"}, {"c", 2.5}, {"d", true}, {"chroma:uri", "u"}};
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const chroma::ChromaDialect dialect("x-token");
  const auto [line, body] = fuzz::first_line(fuzz::text_of(data, size));
  const auto blank = line.find(' ');
  if (blank == line.npos) return 0;
  fuzz::YesBackend backend(catalog(), {record()});
  const net::Request request{std::string(line.substr(0, blank)),
                             std::string(line.substr(blank + 1)),
                             {{"content-type", "application/json"}, {"x-token", "t"}},
                             std::string(body)};
  const auto answer = fuzz::ask(dialect, request, backend);
  if (!answer || answer->body.empty()) return 0;
  if (answer->headers.find("content-type") != "application/json") return 0;
  const auto value = wire::parse_json(answer->body);
  // A path that is no UTF-8 is repeated in its refusal.
  must(value.has_value() || !wire::valid_utf8(net::percent_decode(request.target)), "an answer is JSON");
  must(!value || answer->status < 400 || value->find("error") != nullptr, "a refusal names its error");
  return 0;
}
