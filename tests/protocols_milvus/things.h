// A collection "things" as Milvus describes it: a key and a vector of two numbers. And answers with a status in front.
#pragma once

#include <string>

#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus::test {

inline void add_things_fields(Described& things, DataType key = DataType::int64) {
  things.schema.fields.resize(2);
  things.schema.fields[0].name = "id";
  things.schema.fields[0].type = key;
  things.schema.fields[0].primary = true;
  things.schema.fields[1].name = "vector";
  things.schema.fields[1].type = DataType::float_vector;
  things.schema.fields[1].type_params = {{"dim", "2"}};
}

inline std::string refusal(int32_t code, std::string reason) {
  Status status;
  status.code = code;
  status.reason = std::move(reason);
  return encode(status);
}

inline std::string with_status(std::string_view status, std::string_view rest = {}) {
  ProtoWriter out;
  out.always_bytes(1, status);
  out.raw(rest);
  return std::string(out.view());
}

}  // namespace vmproxy::protocols::milvus::test
