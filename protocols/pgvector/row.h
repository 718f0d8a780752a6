// Records as rows: one cell for each column, and back.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/record.h"
#include "protocols/api/driver.h"
#include "protocols/pgvector/table.h"

namespace vmproxy::protocols::pgvector {

// The cells of one record, in the order of written_columns().
struct Row {
  std::string cells;
  std::vector<uint32_t> ends;  // of each cell in `cells`
  std::string_view cell(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    return std::string_view(cells).substr(begin, ends[i] - begin);
  }
};

// Columns that we write: all but those that the database writes itself. The key's come first.
std::vector<size_t> written_columns(const Table& table);

// Error invalid, with the field named first: this record cannot be stored.
Result<Row> to_row(const Table& table, std::span<const size_t> columns, const model::Record& record);

// The cell of a key's id; error invalid when the column cannot hold it.
Result<std::string> id_cell(const Column& column, const model::Id& id);
// Ids as an array parameter, and one id.
Parameter id_array(const Table& table, size_t count, std::string_view cells);
Parameter id_parameter(const Table& table, const model::Id& id);

// What a SELECT asks for, and how its answer becomes records.
class Selection {
 public:
  struct Parts {
    bool vectors = true;
    bool document = true;
    bool metadata = true;
  };
  Selection(const Table& table, const model::Schema& schema, Parts parts);
  const std::string& list() const { return list_; }  // "id", "embedding", ...
  int size() const { return static_cast<int>(columns_.size()); }
  // `first`: where the list begins in the answer.
  Result<model::Record> record(const Answer& answer, int row, int first = 0) const;

 private:
  Result<void> take_field(model::Object& metadata, const Column& column, std::string_view bytes) const;

  const Table& table_;
  Parts parts_;
  std::vector<size_t> columns_;
  std::vector<std::string> vector_names_;  // by column; as `schema` calls the vector
  std::string list_;
};

}  // namespace vmproxy::protocols::pgvector
