// A row as a PostgreSQL sends it in binary, whatever is in its cells. The first byte of an input chooses the type of the id;
// the cells follow piece by piece (next_piece); one that is not there is NULL.
#include "protocols/pgvector/row.h"

#include "model/codec.h"
#include "protocols/pgvector/cell.h"
#include "protocols/pgvector/json_cell.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols::pgvector;
using fuzz::must;

namespace {

Table table(Codec id) {
  Table out;
  out.schema = "public";
  out.name = "things";
  const auto add = [&](std::string name, std::string type, Codec codec) {
    Column column;
    column.name = std::move(name);
    column.type = std::move(type);
    column.codec = codec;
    out.columns.push_back(std::move(column));
    return out.columns.size() - 1;
  };
  out.id = add("id", "text", id);
  out.partition = add("part", "text", Codec::text);
  out.vectors = {add("embedding", "vector(2)", Codec::vector), add("half", "halfvec", Codec::halfvec),
                 add("sparse", "sparsevec(9)", Codec::sparsevec)};
  out.columns[out.vectors[2]].dimension = 9;
  out.document = add("document", "text", Codec::text);
  out.metadata = add("metadata", "jsonb", Codec::jsonb);
  out.fields = {add("flag", "boolean", Codec::boolean), add("small", "smallint", Codec::int2),
                add("number", "integer", Codec::int4),  add("large", "bigint", Codec::int8),
                add("real", "real", Codec::float4),     add("double", "double precision", Codec::float8),
                add("word", "text", Codec::text),       add("reals", "real[]", Codec::array)};
  out.columns[out.fields.back()].element = model::FieldKind::float32;
  return out;
}

template <class Read, class Write>
void check_vector(std::string_view bytes, Read read, Write write) {
  const auto vector = read(bytes);
  if (!vector) return;
  const auto written = write(*vector);
  must(!written || read(*written).value() == *vector, "a vector comes back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr Codec ids[] = {Codec::text, Codec::int8, Codec::int4, Codec::int2, Codec::uuid, Codec::numeric};
  const Table things = table(ids[data[0] % std::size(ids)]);
  const Selection selection(things, schema_of(things), {});
  auto rest = fuzz::text_of(data, size).substr(1);
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<PGresAttDesc> columns(static_cast<size_t>(selection.size()));
  std::string name = "c";
  for (auto& column : columns) column.name = name.data();
  must(PQsetResultAttrs(result, selection.size(), columns.data()) != 0, "a row with its columns");
  for (int i = 0; i < selection.size(); ++i) {
    const bool null = i > 0 && rest.size() < 2;
    std::string cell(fuzz::next_piece(rest));
    must(PQsetvalue(result, 0, i, null ? nullptr : cell.data(), null ? -1 : static_cast<int>(cell.size())) !=
             0,
         "a cell");
    check_vector(cell, vector_of, vector_bytes);
    check_vector(cell, halfvec_of, halfvec_bytes);
    if (const auto number = u64_of_numeric(cell))
      must(u64_of_numeric(numeric_of(*number)).value() == *number, "a number");
    if (const auto value = value_of_jsonb(cell)) {
      const auto written = jsonb_bytes(*value);
      must(!written || value_of_jsonb(*written).value() == *value, "a value comes back");
    }
  }
  const Answer answer(result);
  const auto record = selection.record(answer, 0);
  if (!record) return 0;
  const std::string bytes = model::encode_record(*record);
  must(model::encode_record(model::decode_record(bytes).value()) == bytes, "a record can be kept");
  const auto written = written_columns(things);
  const auto row = to_row(things, written, *record);
  must(!row || row->ends.size() == written.size(), "a cell for each column");
  return 0;
}
