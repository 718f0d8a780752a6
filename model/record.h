// Record: what one id holds. Patch: a change of some parts of it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/key.h"
#include "model/value.h"

namespace vmproxy::model {

using DenseVector = std::vector<float>;

// Indices ascend strictly; one value for each.
struct SparseVector {
  std::vector<uint32_t> indices;
  std::vector<float> values;
  friend bool operator==(const SparseVector&, const SparseVector&) = default;
};

using Vector = std::variant<DenseVector, SparseVector>;
// By field name; systems with one nameless vector use "".
using Vectors = std::map<std::string, Vector>;

struct Record {
  Key key;
  Vectors vectors;                      // a field that is absent or null has no entry
  std::optional<std::string> document;  // the text that was embedded, where the system keeps one apart
  std::optional<Object> metadata;       // fields; absent is not the same as empty
};

// Parts not named stay as they are.
struct Patch {
  Key key;
  Vectors vectors;
  std::optional<std::string> document;
  bool clear_document = false;
  Object set;                      // metadata fields to set (shallow)
  std::vector<std::string> unset;  // metadata fields to remove
  bool replace_metadata = false;   // `set` is the whole metadata
};

// The record after the patch. When a patch empties the metadata it becomes absent.
Record apply(const Patch& patch, const Record& before);

}  // namespace vmproxy::model
