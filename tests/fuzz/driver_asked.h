// A driver that is asked something, named by a letter, while its database answers with anything.
#pragma once

#include "model/codec.h"
#include "protocols/api/driver.h"
#include "tests/fuzz/target.h"

namespace vmproxy::fuzz {

inline void must_keep(const model::Record& record) {
  const std::string bytes = model::encode_record(record);
  must(model::encode_record(model::decode_record(bytes).value()) == bytes, "a record can be kept");
}

inline void must_keep(const model::Schema& schema) {
  const std::string bytes = model::encode_schema(schema);
  must(model::encode_schema(model::decode_schema(bytes).value()) == bytes, "a collection can be kept");
}

// Of a collection whose vectors have two numbers.
inline model::Record record_of(const std::string& id) {
  model::Record record;
  record.key.id.value = id;
  record.vectors[""] = model::DenseVector{1, 2};
  record.metadata = model::Object{{"n", 1}};
  return record;
}

template <class T>
std::optional<Error> error_of(const Result<T>& result) {
  if (result) return std::nullopt;
  must(!result.error().message.empty(), "an error says why");
  return result.error();
}

// Keys and records are those of a collection that `schema` describes. Returns how the call failed, if it did.
inline std::optional<Error> ask(protocols::Driver& driver, const model::Schema& schema,
                                std::span<const model::Key> keys, std::span<const model::Record> records,
                                char what, Deadline deadline) {
  model::Query query;
  query.collection = schema.name;
  query.with_vectors = true;
  query.limit = 10;
  switch (what) {
    case 'g': query.kind = model::Query::Kind::get; break;
    case 'c': query.kind = model::Query::Kind::count; break;
    case 's':
      query.kind = model::Query::Kind::search;
      query.vector_name = schema.vectors.at(0).name;
      query.vectors = {model::DenseVector{1, 2}, model::DenseVector{3, 4}};
      break;
    case 'r': {
      const auto found = driver.read_each(schema, keys, {}, deadline);
      if (found) {
        for (const auto& record : found->records) must_keep(record);
      }
      return error_of(found);
    }
    case 'p': return error_of(driver.plan_scan(schema, 4, deadline));
    case 'n': {
      const auto ranges = driver.plan_scan(schema, 1, deadline);
      if (!ranges || ranges->empty()) return error_of(ranges);
      const auto page = driver.scan(schema, ranges->front(), "", 10, {}, deadline);
      if (!page) return error_of(page);
      for (const auto& record : page->records) must_keep(record);
      return error_of(driver.scan(schema, ranges->front(), page->cursor, 10, {}, deadline));
    }
    case 'd': {
      const auto found = driver.describe(schema.name, deadline);
      if (found && *found) must_keep(**found);
      return error_of(found);
    }
    case 'l': {
      const auto found = driver.list_all(deadline);
      if (found) {
        for (const auto& one : found->collections) must_keep(one);
        for (const auto& one : found->left_out) must(!one.why.empty(), "what is left out has a reason");
      }
      return error_of(found);
    }
    case 'v': return error_of(driver.describe_server(deadline));
    case 'i': return error_of(driver.build_indexes(schema, deadline));
    case 'm': return error_of(driver.create(schema, deadline));
    case 'e': return error_of(driver.erase(schema, keys, deadline));
    case 'o': return error_of(driver.upsert(schema, records, protocols::UpsertMode::insert_only, deadline));
    default: return error_of(driver.upsert(schema, records, protocols::UpsertMode::replace, deadline));
  }
  const auto found = driver.query(schema, query, deadline);
  if (!found) return error_of(found);
  for (const auto& record : found->records) must_keep(record);
  for (const auto& hits : found->hits) {
    for (const auto& hit : hits) must_keep(hit.record);
  }
  return std::nullopt;
}

}  // namespace vmproxy::fuzz
