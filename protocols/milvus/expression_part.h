// What an expression is made of while it is read, and which parts go together: the server's own type check, with its words
// for what it refuses (Error invalid).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/filter.h"
#include "protocols/milvus/expression.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

// An expression and what it is, as the server's own type check sees it.
struct Part {
  enum class Type : uint8_t { condition, boolean, integer, floating, text, json, array, whole_json };
  model::Filter filter;
  Type type = Type::condition;
  DataType data = DataType::none;  // of a declared field
  bool constant = false;
  int height = 1;  // of `filter`
};

Error wrong(std::string message);
std::string type_name(const Part& part);  // in the server's words

// A node over one or two parts. Conditions unless the caller says otherwise.
Part over(model::Filter::Kind kind, Part child);
Part over(model::Filter::Kind kind, Part left, Part right);
Part constant_of(model::Value value);
// A field of type Bool alone is a condition.
Part as_condition(Part part);

// $meta["member"], and a field by its name; with what stands in [ ] behind them.
Result<Part> meta_member(std::vector<model::Value> path, const CollectionSchema& schema);
Result<Part> named_field(const std::string& name, std::vector<model::Value> path,
                         const CollectionSchema& schema);

Result<Part> compared(model::Filter::Kind kind, Part left, Part right);  // == != < <= > >=
Result<Part> member(model::Filter::Kind kind, Part left, Part list);     // in, not in
// + - * / % **, worked out where both sides are constants. `last` is how the right one ends, for refusals.
Result<Part> computed(model::Filter::Kind kind, std::string_view spelling, Part left, Part right,
                      std::string_view last);

// A pattern in the words of Filter::like. In 2.3 only a '%' at the end means something.
Result<std::string> like_pattern(const std::string& pattern, const Grammar& grammar);

}  // namespace vmproxy::protocols::milvus
