// Filters as SQL: whatever they hold, the text is made of our own words, and what came from outside is a parameter. The
// input is an expression of Milvus, or else a filter of Chroma.
#include "protocols/pgvector/filter_sql.h"

#include "milvus_books.h"
#include "protocols/chroma/where.h"
#include "protocols/milvus/expression.h"
#include "protocols/pgvector/regular_expression.h"
#include "protocols/wire/json.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

pgvector::Table table(bool hostile) {
  pgvector::Table out;
  out.schema = "public";
  out.name = "books";
  const auto add = [&](std::string name, std::string type, pgvector::Codec codec) {
    pgvector::Column column;
    column.name = std::move(name);
    column.type = std::move(type);
    column.codec = codec;
    out.columns.push_back(std::move(column));
    return out.columns.size() - 1;
  };
  out.id = add("id", "bigint", pgvector::Codec::int8);
  out.document = add("document", "text", pgvector::Codec::text);
  out.metadata = add(hostile ? "meta\"; DROP TABLE t; --" : "metadata", "jsonb", pgvector::Codec::jsonb);
  out.fields = {add("title", "text", pgvector::Codec::text), add("year", "integer", pgvector::Codec::int4),
                add("price", "double precision", pgvector::Codec::float8),
                add("new", "boolean", pgvector::Codec::boolean),
                add("tags", "text[]", pgvector::Codec::array)};
  out.columns[out.fields.back()].element = model::FieldKind::string;
  return out;
}

// Each text among the constants another one: the SQL may not know.
void replace_texts(model::Value& value) {
  if (value.is_string()) value = "s";
  if (value.is_array()) {
    for (auto& element : value.array()) replace_texts(element);
  }
}
void replace_texts(model::Filter& filter) {
  if (filter.kind == model::Filter::Kind::literal) replace_texts(filter.value);
  for (auto& child : filter.children) replace_texts(child);
}

// Quotes are closed, comments and second statements are not there, and each parameter that is named is given.
void check_text(std::string_view sql, size_t parameters) {
  int depth = 0;
  for (size_t i = 0; i < sql.size(); ++i) {
    const char c = sql[i];
    if (c == '"' || c == '\'') {
      for (++i; i < sql.size() && (sql[i] != c || sql.substr(i + 1, 1) == sql.substr(i, 1)); ++i) {
        if (sql[i] == c) ++i;
      }
      must(i < sql.size(), "a quote is closed");
      continue;
    }
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    must(depth >= 0, "a parenthesis is opened before it is closed");
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    must(plain || std::string_view(" ()[],.:<>=+-*/@#$~_").find(c) != std::string_view::npos,
         "a sign that we use");
    must(sql.substr(i, 2) != "--" && sql.substr(i, 2) != "/*", "no comment");
    if (c != '$') continue;
    size_t number = 0;
    while (i + 1 < sql.size() && sql[i + 1] >= '0' && sql[i + 1] <= '9')
      number = number * 10 + static_cast<size_t>(sql[++i] - '0');
    must(number >= 1 && number <= parameters, "a parameter that is given");
  }
  must(depth == 0, "parentheses are closed");
}

void check(const model::Filter& filter, bool hostile) {
  const auto books = table(hostile);
  std::vector<pgvector::Parameter> parameters, others;
  const auto sql = filter_sql(books, filter, parameters);
  if (!sql) {
    must(sql.error().code == Code::unsupported && sql.error().message.starts_with("filter."),
         "a refusal has its code");
    return;
  }
  check_text(*sql, parameters.size());
  model::Filter other = filter;
  replace_texts(other);
  const auto second = filter_sql(books, other, others);
  must(!second || (*second == *sql && others.size() == parameters.size()),
       "constants leave no trace in the text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto text = fuzz::text_of(data, size);
  if (const auto pattern = pgvector::to_postgresql_regex(text))
    must(pattern->size() <= 2048 * (size + 1), "a bounded pattern");
  std::optional<model::Filter> filter;
  if (auto parsed = milvus::parse_expression(text, fuzz::books(), {})) {
    filter = std::move(*parsed);
  } else if (const auto value = wire::parse_json(text)) {
    if (auto where = chroma::parse_where(*value)) filter = std::move(*where);
  }
  if (!filter) return 0;
  for (const bool hostile : {false, true}) check(*filter, hostile);
  return 0;
}
