#include "protocols/pgvector/sqlstate.h"

namespace vmproxy::protocols::pgvector {
namespace {

// An ErrorResponse of severity ERROR proves that its statement was rolled back, so most rows carry a code
// that is surely not done. Not so where the server may have died in the middle (classes 57P, 58, XX) or lost
// us (08).
struct Row {
  std::string_view prefix;  // the longest that matches counts
  Code code;
};
constexpr Row rows[] = {
    {"08", Code::connection_lost},
    {"0A", Code::precondition},  // feature not supported
    {"21", Code::invalid},       // cardinality violation
    {"22", Code::invalid},       // data exception
    {"22012", Code::quota},      // our guard: it started too late, so nothing was done; may be tried again
    {"23", Code::invalid},       // integrity constraint violation
    {"25", Code::precondition},  // invalid transaction state, read-only transaction
    {"28", Code::unauthenticated},
    {"2B", Code::precondition},    // other objects depend on it
    {"3D", Code::not_found},       // no such database
    {"3F", Code::not_found},       // no such schema
    {"40", Code::quota},           // serialization failure, deadlock: rolled back, may be tried again
    {"40003", Code::unavailable},  // statement completion unknown
    {"42", Code::invalid},         // syntax error or access rule violation
    {"42501", Code::permission_denied},
    {"42P01", Code::not_found},  // no such table
    {"42P06", Code::already_exists},
    {"42P07", Code::already_exists},
    {"42703", Code::precondition},  // no such column: the table is not what we knew
    {"42704", Code::precondition},  // no such type or extension
    {"42710", Code::already_exists},
    {"42804", Code::precondition},  // a column of another type
    {"42883", Code::precondition},  // no such function or operator
    {"44", Code::invalid},          // with check option
    {"53", Code::quota},            // disk full, out of memory, too many connections
    {"54", Code::invalid},          // program limit exceeded: a row too large for an index
    {"55", Code::precondition},     // object not in prerequisite state
    {"55P03", Code::quota},         // lock not available
    {"57014", Code::quota},         // stopped at statement_timeout: rolled back
    {"57P", Code::unavailable},     // shutdown, crash of another process, starting up
    {"58", Code::unavailable},      // system error
    {"P0", Code::invalid},          // raised by a trigger
    {"XX", Code::internal},
};

}  // namespace

Code code_of(std::string_view sqlstate) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if (sqlstate.starts_with(row.prefix) && (best == nullptr || row.prefix.size() > best->prefix.size()))
      best = &row;
  }
  return best == nullptr ? Code::internal : best->code;
}

bool is_fault_of_a_record(std::string_view sqlstate) {
  if (sqlstate == sqlstate::guard_refused) return false;
  return sqlstate.starts_with("22") || sqlstate.starts_with("23") || sqlstate.starts_with("44") ||
         sqlstate.starts_with("54") || sqlstate.starts_with("P0");
}

}  // namespace vmproxy::protocols::pgvector
