// Type inference: which declared fields would hold what a sample of records shows. For targets that want
// typed fields and for the compatibility report; a field whose values have no common type stays dynamic.
#pragma once

#include <map>
#include <span>
#include <string>

#include "model/record.h"
#include "model/schema.h"

namespace vmproxy::mapping {

struct Inferred {
  model::Field field;    // kind json: no narrower type holds all values seen
  uint64_t present = 0;  // records of the sample that have it, not null
  uint64_t null = 0;
  bool mixed = false;  // values of types that have nothing in common (a string and a number)
};

// By field name. Integers and floating-point numbers together are mixed: as one type, 1 and 1.0 would meet.
std::map<std::string, Inferred> infer_fields(std::span<const model::Record> sample);

}  // namespace vmproxy::mapping
