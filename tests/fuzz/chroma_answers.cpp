// What a Chroma answers, as the driver and the dialect read it.
#include "model/codec.h"
#include "protocols/chroma/base64.h"
#include "protocols/chroma/collection.h"
#include "protocols/chroma/dialect.h"
#include "protocols/chroma/records.h"
#include "protocols/wire/json.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

void must_keep(const model::Record& record) {
  const std::string bytes = model::encode_record(record);
  must(model::encode_record(model::decode_record(bytes).value()) == bytes, "a record can be kept");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  if (const auto records = chroma::parse_records(text, "v")) {
    must(records->size() <= size, "no more records than bytes");
    for (const auto& record : *records) must_keep(record);
  }
  if (const auto ids = chroma::parse_ids(text)) must(ids->size() <= size, "no more ids than bytes");
  if (const auto lists = chroma::parse_hits(text, "")) {
    for (const auto& hits : *lists) {
      for (const auto& hit : hits) must_keep(hit.record);
    }
  }
  if (const auto value = wire::parse_json(text)) {
    if (const auto schema = chroma::schema_of(*value)) {
      const std::string bytes = model::encode_schema(*schema);
      must(model::encode_schema(model::decode_schema(bytes).value()) == bytes, "a collection can be kept");
      std::string shown;
      chroma::append_collection(shown, *value);
      must(wire::parse_json(shown).has_value(), "and shown");
    }
  }
  if (const auto vector = chroma::decode_base64_floats(text)) {
    std::string again;
    chroma::append_base64_floats(again, *vector);
    must(again == text, "base64 has one form");
  }
  static const chroma::ChromaDialect dialect;
  for (const auto& row : dialect.table()) {
    Operation operation;
    operation.row = &row;
    for (const int status : {200, 201, 400, 409, 500, 501}) {
      const net::Response response{status, {}, std::string(text), {}};
      const auto outcome = dialect.outcome(operation, response).whole;
      must(status < 300 || outcome != model::Outcome::applied, "what failed is not applied");
    }
    if (row.cls != OperationClass::write) break;
  }
  return 0;
}
