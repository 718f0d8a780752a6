// Filter: a boolean expression over a record, wide enough for every system's filters without loss.
// One node type: operands (field, literal, arithmetic) and conditions share it, as in most expression languages.
#pragma once

#include <string>
#include <vector>

#include "model/record.h"
#include "model/value.h"

namespace vmproxy::model {

struct Filter {
  enum class Kind {
    // conditions
    always,  // true
    all_of,  // children
    any_of,  // children
    negate,  // child 0
    equal,   // child 0 op child 1, and so on
    not_equal,
    less,
    less_equal,
    greater,
    greater_equal,
    in,  // child 0 in the array literal child 1
    not_in,
    like,                // child 0 like the pattern string child 1 (% any run, _ any one, backslash escapes)
    matches,             // child 0 matches the regular expression child 1, anywhere (RE2 syntax)
    contains_text,       // child 0 (a string) contains the substring child 1, case-sensitive
    array_contains,      // child 0 (an array) has the element child 1
    array_contains_all,  // ... every element of the array child 1
    array_contains_any,
    exists,   // child 0 (a field) is present
    is_null,  // child 0 is absent or null
    // operands
    literal,  // value
    field,    // metadata: name, then path into objects (strings) and arrays (integers)
    document,
    id,
    array_length,  // child 0
    add,
    subtract,
    multiply,
    divide,
    modulo,
    power,  // child 0 op child 1
    minus,  // child 0
    // The integer that the id says as decimal text: all of it, or what follows its last ':'. Absent in other ids. Where
    // integers live in a system that has ids of text only.
    id_number,
  };

  Kind kind = Kind::always;
  std::vector<Filter> children;
  Value value;              // literal
  std::string name;         // field
  std::vector<Value> path;  // field
  // What a condition gives when the field is absent: some systems' "not equal" matches such records.
  bool absent_matches = false;
  // Integers and floating-point numbers compare by value (1 == 1.0) when true, else types must agree.
  bool numbers_by_value = true;

  static Filter all(std::vector<Filter> children);
  static Filter any(std::vector<Filter> children);
  static Filter not_(Filter child);
  static Filter make(Kind kind, Filter left, Filter right);
  static Filter literal_of(Value v);
  static Filter field_of(std::string name, std::vector<Value> path = {});
  static Filter document_text();
  static Filter record_id();
};

// The reference meaning: what each driver's translation must agree with. A comparison between values of
// different types (a string and a number) is false, not an error. `matches` uses ECMAScript syntax here.
bool evaluate(const Filter& filter, const Record& record);

}  // namespace vmproxy::model
