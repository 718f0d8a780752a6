// The operands of a filter in SQL: what one refers to, and how it is compared with a constant.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/filter.h"
#include "protocols/pgvector/table.h"

namespace vmproxy::protocols::pgvector {

// Error unsupported; `code` is the stable one ("filter.value").
Error filter_refused(std::string_view code, const std::string& why);

// Collects parameters and gives each its "$n".
class Arguments {
 public:
  explicit Arguments(std::vector<Parameter>& parameters) : parameters_(parameters) {}
  std::string text(std::string_view value);  // "$3::text"
  std::string add(unsigned type, std::string bytes);
  // Error unsupported when jsonb cannot hold it (then no record has it either, but NaN has no order at all).
  Result<std::string> json(const model::Value& value);

 private:
  std::vector<Parameter>& parameters_;
};

struct Operand {
  // How the column holds it. json: an expression of type jsonb; the others: of their own type. NULL means
  // absent.
  enum class Type { json, text, integer, number, boolean };
  Type type = Type::json;
  std::string sql;
  bool loses_type =
      false;  // of type json, made from an array of floating-point numbers: 1.0 became 1 on the way
  // The same as jsonb.
  std::string as_json() const;
};

// A field, the document, the id or the length of an array. Error unsupported for anything else.
Result<Operand> operand_sql(const Table& table, const model::Filter& filter, Arguments& arguments);

// "the operand is there and OP constant", for equal, less, less_equal, greater, greater_equal.
Result<std::string> compare_sql(const Operand& left, model::Filter::Kind kind, const model::Value& constant,
                                bool numbers_by_value, Arguments& arguments);

}  // namespace vmproxy::protocols::pgvector
