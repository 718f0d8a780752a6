// BodyReader: reads a request body field by field and refuses what the server refuses, in its words: the
// server is written with serde_json and shows the path and the place of what it could not read, so we track
// both.
//
//   bad syntax  -> 400 InvalidArgumentError "Failed to parse the request body as JSON: ids[1]: expected value
//   at ..." wrong types -> 422 ChromaError "Failed to deserialize the JSON body into the target type: name:
//   invalid type: ..."
//
// After the first failure every call returns false: check once, then answer with refusal().
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/value.h"
#include "net/message.h"
#include "protocols/wire/json_scanner.h"

namespace vmproxy::protocols::chroma {

class BodyReader {
 public:
  using Scanner = wire::JsonScanner;
  using Kind = Scanner::Kind;

  explicit BodyReader(std::string_view body);

  // Reads the whole body as the struct `type`: `field` reads the value of a known field and returns true, or
  // returns false at once, and the value is skipped. `required` fields must be there. Fields come at most
  // once.
  using ReadField = std::function<bool(const std::string& name)>;
  bool whole(std::string_view type, std::initializer_list<std::string_view> required, const ReadField& field);
  // The same for a struct inside.
  bool structure(std::string_view type, std::initializer_list<std::string_view> required,
                 const ReadField& field);
  // As `structure`, but a field that is not `known` is an error that names those that are.
  bool closed_structure(std::string_view type, std::initializer_list<std::string_view> known,
                        const ReadField& field);

  bool string(std::string& out);
  bool boolean(bool& out);
  bool u32(uint32_t& out);
  bool u64(uint64_t& out);
  bool number(double& out);  // "expected f64"
  bool value(model::Value& out);
  // null gives nothing.
  template <class T, class Read>
  bool optional(std::optional<T>& out, Read read) {
    if (next() == Kind::null) return in_.read_null();
    return read(out.emplace());
  }
  // Each element is read by `read`, each value of a map likewise. "expected a sequence", "expected a map".
  bool array(const std::function<bool(size_t index)>& read);
  bool map(const std::function<bool(const std::string& name)>& read);

  Kind next() { return in_.next_kind(); }
  // "invalid type: integer `5`, expected a string": consumes a scalar to place the error like the server.
  bool wrong_type(std::string_view expected);
  bool missing_field(std::string_view name);
  // The value just read does not fit any variant of the enum `type`.
  bool no_variant(std::string_view type);
  bool unknown_variant(std::string_view got, std::initializer_list<std::string_view> known);
  bool floats(std::vector<float>& out);  // "expected f32"
  bool skip() { return in_.skip_value(); }
  Scanner& scanner() { return in_; }

  bool ok() const { return in_.ok(); }
  net::Response refusal() const;

 private:
  using Names = std::initializer_list<std::string_view>;
  bool members(std::string_view type, Names required, Names known, const ReadField& field);
  bool integer(std::string_view type, uint64_t max, uint64_t& out);
  bool mismatch(std::string_view text);  // an error of types at the place reached
  void enter(std::string step) { path_.push_back(std::move(step)); }
  bool leave(bool good);

  Scanner in_;
  std::vector<std::string> path_;  // keeps the place of the first error
  bool types_ = false;             // the error is one of types, not of syntax
};

}  // namespace vmproxy::protocols::chroma
