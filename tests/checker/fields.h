// The fields of one line of a history file, before anybody asks what they mean together. Views live as long as the
// parser's document.
#pragma once

#include <simdjson.h>

#include <string_view>
#include <vector>

#include "base/error.h"
#include "tests/checker/record.h"

namespace vmproxy::checker {

// Bits, so that a type can say which it allows and which it needs.
enum class Field : uint32_t {
  type = 1U << 0,
  process = 1U << 1,
  key = 1U << 2,
  op = 1U << 3,
  value = 1U << 4,
  call = 1U << 5,
  ret = 1U << 6,
  outcome = 1U << 7,
  latest = 1U << 8,
  stale = 1U << 9,
  side = 1U << 10,
  epoch = 1U << 11,
  id = 1U << 12,
  prefix = 1U << 13,
  keys = 1U << 14,
  partial = 1U << 15,
  request = 1U << 16,
};

struct Fields {
  // All fields have names and shapes that exist, and are those that the type allows and needs.
  static Result<Fields> of(simdjson::dom::element line);

  bool has(Field field) const { return (present & static_cast<uint32_t>(field)) != 0; }

  uint32_t present = 0;
  std::string_view type, process, key, op, outcome, side, prefix, request;
  std::optional<std::string_view> value;
  Time call = 0, ret = never, latest = never, stale = 0;
  uint32_t epoch = 0;
  uint64_t id = 0;
  std::vector<std::string_view> keys;
  bool partial = false;
};

}  // namespace vmproxy::checker
