// model::Filter as a condition in SQL, with every constant a parameter. The condition is never NULL, and is
// true for a row exactly when model::evaluate is true for its record. What cannot be said so is refused:
// "filter.arithmetic: ...".
#pragma once

#include <string>
#include <vector>

#include "model/filter.h"
#include "protocols/pgvector/table.h"

namespace vmproxy::protocols::pgvector {

// Appends to `parameters`; the text refers to them by number, and to the table as t.
Result<std::string> filter_sql(const Table& table, const model::Filter& filter,
                               std::vector<Parameter>& parameters);

}  // namespace vmproxy::protocols::pgvector
