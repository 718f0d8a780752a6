// Metadata that a system cannot hold as it is, written as flat fields that it can, and back without loss.
//
// A member of an object is "outer.member", an element of an array "outer.0". What a plain field cannot say is
// said by a tag after '~':
//   a~null: true          a was null               a~object: true   a was an object; its members are a.*
//   a~array: 3            a was an array of 3; its elements are a.0 a.1 a.2
//   a~u64: "0922..."      a was an integer above int64, as 20 digits (so that text order is number order)
//   ~empty: true          the metadata was there, but empty
// A '.' or '~' that belongs to a name is written "~." or "~~".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/capabilities.h"
#include "model/value.h"

namespace vmproxy::mapping {

// The part of Capabilities that decides what a metadata field may be.
struct Holds {
  bool objects = false, arrays = false, arrays_any = false, nulls = false, empty = false, u64 = false;

  static Holds of(const model::Capabilities& side);
  // True when everything that `other` holds fits here as it is.
  bool covers(const Holds& other) const;
  // True when this value fits as it is. A large integer inside an object that fits is the caller's to refuse
  // (contains_u64): taking the object apart for it would put its members where no filter looks.
  bool fits(const model::Value& value) const;
};

inline constexpr std::string_view tag_null = "~null", tag_object = "~object", tag_array = "~array",
                                  tag_u64 = "~u64", tag_empty = "~empty";

bool contains_u64(const model::Value& value);
std::string escape_name(std::string_view name);
// 20 digits.
std::string u64_text(uint64_t number);

model::Object flatten(const model::Object& metadata, const Holds& target);
// Error invalid when `flat` is not what flatten() gives.
Result<model::Object> unflatten(const model::Object& flat);

}  // namespace vmproxy::mapping
