// Rows: columns of a request or an answer as records, and records as columns.
#pragma once

#include <span>
#include <vector>

#include "model/record.h"
#include "model/schema.h"
#include "protocols/api/driver.h"
#include "protocols/milvus/messages.h"

namespace vmproxy::protocols::milvus {

inline constexpr std::string_view meta_field = "$meta";
inline constexpr std::string_view default_partition = "_default";

// A metadata field whose name is that of the key, of a vector or of $meta cannot stand in $meta under it: it
// gets one '#' more, as do names that end so already. Both ways exact.
std::string name_in_meta(const std::string& name, const CollectionSchema& schema);
std::string name_from_meta(const std::string& name, const CollectionSchema& schema);

// The key of partition P; the default partition is "".
model::Key key_of(int64_t id, std::string_view partition = {});
model::Key key_of(std::string_view id, std::string_view partition = {});

// Milvus takes JSON that cannot be carried as it is: half of a surrogate pair, numbers beyond doubles, nesting without
// end. A row with such a value is `unread`.
struct ShownRows {
  std::vector<model::Record> records;
  std::vector<Unread> unread;
};
// Columns by name in one pass. Each column must have `rows` rows. A record has no metadata when it has no
// field. Columns that the schema does not know are an error (of the peer).
Result<ShownRows> read_shown_rows(const CollectionSchema& schema, const std::vector<Column>& columns,
                                  size_t rows, std::string_view partition);
// The same, where one unread row is the error of all.
Result<std::vector<model::Record>> read_rows(const CollectionSchema& schema,
                                             const std::vector<Column>& columns, size_t rows,
                                             std::string_view partition);
// The text of a JSON value, or of the dynamic fields.
Result<model::Value> read_json(std::string_view text);
// The keys alone; of the primary field's column.
Result<std::vector<model::Key>> read_keys(const Column& column, std::string_view partition);

// Columns of an Upsert. A record that cannot be stored is named by its index and reason, and left out.
struct Refused {
  size_t index;
  std::string reason;
};
std::vector<Column> write_rows(const CollectionSchema& schema, std::span<const model::Record> records,
                               std::vector<Refused>& refused);

// The columns of an answer with these output fields, for records that are complete: what a query of the real
// server returns. Names that the schema does not know are members of $meta.
struct Output {
  std::vector<std::string> fields;   // static ones, by name
  std::vector<std::string> members;  // members of $meta, when not all
  bool meta = false;                 // $meta is asked for
  bool meta_whole = false;
};
Result<std::vector<Column>> write_output(const CollectionSchema& schema, const Output& output,
                                         const std::vector<const model::Record*>& records);

// Rows of a Column or one value of it.
Result<model::Value> value_at(const Column& column, const FieldSchema& field, size_t row);

}  // namespace vmproxy::protocols::milvus
