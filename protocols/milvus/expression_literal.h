// Constants in expressions: their text, and which of them a declared field can be compared with.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "model/value.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

// What print_expression() ends with where Milvus has no words for it: unsupported, "filter.CODE: WHY".
Error cannot(std::string_view code, std::string_view why);

// Strings, numbers, booleans, lists of them; what Milvus compares with nothing is unsupported.
Result<std::string> literal_text(const model::Value& value);

// A declared field compared with a value of another type: false for every record, and != true.
enum class Fit { fits, never, integer_and_fraction };
Fit fit(const FieldSchema& field, const model::Value& value);

// A pattern of Filter::like for 2.3, which knows "text%" alone and no escapes.
Result<std::string> prefix_pattern(const std::string& pattern);

}  // namespace vmproxy::protocols::milvus
