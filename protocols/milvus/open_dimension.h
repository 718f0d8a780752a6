// A collection whose dimension is not known yet. Other systems learn it with the first record (Chroma); Milvus wants it when the
// collection is made. So such a collection is made with a vector field of `open_dimension` whose description says that it is
// open; it is there, empty, and can be read. The first record settles it: the empty collection is dropped and made again
// with that record's dimension (MilvusDriver::settle_dimension).
#pragma once

#include <span>
#include <string_view>

#include "model/record.h"
#include "model/schema.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

inline constexpr uint32_t open_dimension = 2;  // the least that every version takes
inline constexpr std::string_view open_mark = "vmproxy: the dimension is open until the first record";

inline bool is_open(const FieldSchema& field) {
  return is_vector(field.type) && field.description == open_mark;
}
bool is_open(const CollectionSchema& schema);
// 0: open, or a field without one.
uint32_t dimension_of(const FieldSchema& field);
bool is_open(const model::Schema& schema);
// Sets the open dimensions of `schema` as in the first record that has all of its vectors (a nameless one counts as any); false
// when none has.
bool take_dimensions(model::Schema& schema, std::span<const model::Record> records);

}  // namespace vmproxy::protocols::milvus
