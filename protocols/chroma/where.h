// Chroma's filter languages, `where` (metadata) and `where_document`, to the model's Filter and back.
#pragma once

#include <optional>
#include <vector>

#include "base/error.h"
#include "model/filter.h"

namespace vmproxy::protocols::chroma {

// The refusals are the server's own texts ("Invalid where clause").
Result<model::Filter> parse_where(const model::Value& where);
Result<model::Filter> parse_where_document(const model::Value& where);

// A filter in Chroma's terms: `where` may hold document conditions too ("#document").
struct Clause {
  std::optional<model::Value> where;  // absent: every record
  // Conditions on the id, which Chroma's filter language has not; all of them must hold besides `where`.
  std::vector<model::Filter> on_id;
};
// Error unsupported, with a stable code first, when Chroma would not give the same answer.
Result<Clause> print_filter(const model::Filter& filter);

}  // namespace vmproxy::protocols::chroma
