// Fields that a collection does not declare, as the first of its records show them.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <optional>
#include <string>

#include "mapping/inference.h"
#include "protocols/api/driver.h"

namespace vmproxy::cli {

struct SampledFields {
  uint64_t records = 0;  // looked at, 200 at most
  std::map<std::string, mapping::Inferred> fields;
};

// Nothing for a collection that declares all its fields. Reads no vectors; an error is one of the database.
Result<std::optional<SampledFields>> sample_fields(protocols::Driver& driver, const model::Schema& schema,
                                                   Deadline deadline);

// "year int64, tags array of string, size of several types"; "none" when no record has any.
std::string describe_fields(const SampledFields& sample);
// {records, fields: [{name, type, element, present, null, mixed}]}; `element` of arrays only.
boost::json::object json_of(const SampledFields& sample);

std::string_view name_of(model::FieldKind kind);

}  // namespace vmproxy::cli
