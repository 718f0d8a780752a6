// What PostgreSQL's SQLSTATE codes mean for us, in one table.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace vmproxy::protocols::pgvector {

Code code_of(std::string_view sqlstate);

// The statement failed because of the data of a record in it: without that record it would work.
bool is_fault_of_a_record(std::string_view sqlstate);

namespace sqlstate {
inline constexpr std::string_view unique_violation = "23505";
inline constexpr std::string_view guard_refused =
    "22012";  // division by zero: only our start guard can cause it
inline constexpr std::string_view query_canceled = "57014";
inline constexpr std::string_view deadlock = "40P01";
inline constexpr std::string_view undefined_table = "42P01";
inline constexpr std::string_view undefined_column = "42703";
}  // namespace sqlstate

}  // namespace vmproxy::protocols::pgvector
