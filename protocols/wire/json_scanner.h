// JsonScanner: reads JSON text forward, one value at a time, without building a tree. For bodies whose shape
// is known (arrays of ids, of vectors), where a tree would cost more than the work itself.
//
// Strict (RFC 8259). Does not check UTF-8: validate the text first where that matters (parse_json does).
// Errors are worded and placed like those of serde_json ("expected value at line 1 column 7"), which several
// of the databases show their users. After the first error ok() is false and everything else returns false:
// check once at the end. Holds a view: the text must outlive it. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/value.h"

namespace vmproxy::protocols::wire {

// How many bytes of `text` may stand in a JSON string as they are: up to a quote, a backslash or a control character.
size_t end_of_plain_text(std::string_view text);

class JsonScanner {
 public:
  enum class Kind : uint8_t { none, null, boolean, number, string, array, object };

  explicit JsonScanner(std::string_view text, int depth_max = 128) : text_(text), depth_max_(depth_max) {}

  // From here on strings must be valid UTF-8. Off by default, as one check of the whole text before is
  // cheaper.
  void check_strings() { check_strings_ = true; }

  // Kind of the value that comes next; none: there is none, or it is no JSON (then error() is set).
  Kind next_kind();
  bool read_null();
  bool read_bool(bool& out);
  bool read_string(std::string& out);
  // Integers that fit stay integers; others and all with a fraction or exponent become double.
  bool read_number(model::Value& out);
  bool read_double(double& out);
  // Appends the numbers of an array of numbers; any other element is an error. Unless null is one that stands for NaN.
  enum class Nulls : uint8_t { refused, are_nan };
  bool read_floats(std::vector<float>& out, Nulls nulls = Nulls::refused);
  bool skip_value();
  // Passes over a value that somebody else will judge: as skip_value(), but what stands in an array of numbers is only
  // looked at so far that its end is found surely. Five times as fast on vectors.
  bool pass_value();
  // Any value as a tree.
  bool read_value(model::Value& out);

  // enter, then next_* until it returns false; then ok() tells whether that was the end.
  bool enter_array();
  bool next_element();
  bool enter_object();
  bool next_member(std::string& name);
  // next_member in two steps, for who has something to say before the value.
  bool next_name(std::string& name);
  bool pass_colon();
  // Passes white space and, where it comes next, the end of the object that is being read.
  void pass_end_of_object();

  // Nothing but white space may follow.
  bool finish();

  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  // "line 1 column 7" of the byte before `offset`, counting from one.
  std::string place(size_t offset) const;
  size_t offset() const { return at_; }
  // For errors that the caller finds: `what`, at the place reached so far. Keeps an earlier one.
  bool fail(std::string_view what);

 private:
  bool fail_at(std::string_view what, size_t offset);
  bool fail_here(std::string_view what);  // the next byte is the culprit
  void skip_space();
  template <class Take>
  void quick_elements(Take take);
  void skip_quick_elements();
  bool literal(std::string_view word);
  bool number_text(std::string_view& text, bool& integer);
  bool plain_text();
  bool end_of_string(bool& ended);
  bool skip_string();
  bool pass_numbers();
  bool over_members(bool (JsonScanner::*over)());
  bool escape(std::string& out);
  bool hex4(uint32_t& out);
  bool enter();
  bool after_item(char close, bool& ended);

  std::string_view text_;
  size_t at_ = 0;
  int depth_max_;
  int depth_ = 0;
  bool check_strings_ = false;
  bool first_ = false;  // the container was entered just now
  std::string error_;
};

}  // namespace vmproxy::protocols::wire
