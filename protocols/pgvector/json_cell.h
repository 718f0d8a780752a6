// model::Value in a jsonb column. jsonb keeps numbers as decimals, so a floating-point number is written such
// that it comes back as one: 1.0 as "1.0", 1e18 as "1000000000000000000.0".
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "model/value.h"

namespace vmproxy::protocols::pgvector {

// The decimal by which a finite number is known to the database, in jsonb as in comparisons with literals.
std::string decimal(double number);

// Error invalid when jsonb cannot hold it: "a.b: holds a NUL character ...".
Result<std::string> json_text(const model::Value& value);
// As sent for a parameter or a cell: a version byte, then the text.
Result<std::string> jsonb_bytes(const model::Value& value);
Result<model::Value> value_of_jsonb(std::string_view bytes);

}  // namespace vmproxy::protocols::pgvector
