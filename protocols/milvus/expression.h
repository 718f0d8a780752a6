// The boolean expressions of Milvus, 2.3 to 2.5, as model::Filter and back.
// Grammar: internal/parser/planparserv2/Plan.g4. From tight to loose:
//   ( ) literals fields json_contains(...)   like   **   unary + - not   * / %   + -   in, not in   a < f < b
//   < <= > >=   == !=   and   or   exists, is null
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/filter.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

// What differs between versions.
struct Grammar {
  bool like_anywhere = true;  // 2.3: only "prefix%", and '_' is an ordinary character
  bool exists = true;         // Milvus Lite has no such word
  bool null_tests = true;     // is null, is not null (2.5)
  static Grammar of_version(std::string_view version);  // "v2.3.5-lite"
};

using Templates = std::map<std::string, model::Value>;  // values of {name}

// Error invalid holds what the server says behind "cannot parse expression: ..., error: "; unsupported: an
// expression that a server may know and we do not ("filter.text_match: ..."), or larger than we read ("filter.size:
// ..."). The filter is at most 100 nodes high, so it can be walked, copied and destroyed by recursion; one with more
// operators in a row than that is invalid. and, or and lists may be as long as they like.
Result<model::Filter> parse_expression(std::string_view text, const CollectionSchema& schema,
                                       const Grammar& grammar, const Templates& templates = {});

// An expression that matches exactly the records that the filter matches, or unsupported with its code.
// A filter that matches everything gives an expression that is true of every key.
Result<std::string> print_expression(const model::Filter& filter, const CollectionSchema& schema,
                                     const Grammar& grammar);

std::string quoted(std::string_view text);  // a string literal
std::string integer_text(int64_t number);   // an integer literal, or what Milvus works out to be one

// The comparison that says the same with its sides exchanged: 5 < x is x > 5. Others stay as they are.
inline model::Filter::Kind mirrored(model::Filter::Kind kind) {
  using Kind = model::Filter::Kind;
  switch (kind) {
    case Kind::less: return Kind::greater;
    case Kind::less_equal: return Kind::greater_equal;
    case Kind::greater: return Kind::less;
    case Kind::greater_equal: return Kind::less_equal;
    default: return kind;
  }
}

}  // namespace vmproxy::protocols::milvus
