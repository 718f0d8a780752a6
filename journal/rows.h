// Names of the journal's tables of rows. One letter-sized name each, because they stand in every key.
#pragma once

#include <string_view>

namespace vmproxy::journal::rows {

inline constexpr std::string_view debts = "d";        // collection NUL key seq -> debt
inline constexpr std::string_view touched = "t";      // generation, collection NUL key -> empty
inline constexpr std::string_view written = "w";      // round, collection NUL key -> empty
inline constexpr std::string_view suspects = "s";     // collection NUL key -> empty
inline constexpr std::string_view quarantine = "q";   // number -> refused change with payload and reason
inline constexpr std::string_view checkpoints = "c";  // backfill ranges
inline constexpr std::string_view validation = "v";   // validation progress and findings
inline constexpr std::string_view state = "x";        // name -> migration state, catalog, routing
inline constexpr std::string_view gaps = "g";         // number -> capture gap
inline constexpr std::string_view audit = "a";        // number -> who did what
inline constexpr std::string_view at_risk = "r";      // frozen images of a forced promotion
inline constexpr std::string_view idmap = "k";  // target id -> source id, where not injective by construction
inline constexpr std::string_view credentials = "p";  // salted hashes of credentials the source accepted

}  // namespace vmproxy::journal::rows
