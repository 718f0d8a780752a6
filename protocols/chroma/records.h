// Bodies of the record calls, from and to the model.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/query.h"
#include "model/record.h"
#include "protocols/api/driver.h"

namespace vmproxy::protocols::chroma {

// A record as it shall be sent: with the metadata fields that must go away.
struct Sent {
  const model::Record* record;
  std::vector<std::string> unset;
};
// Body of add and upsert.
std::string records_body(std::span<const Sent> records, const std::string& vector_name, bool base64);
// Bytes that the record will take in such a body, roughly and not less than half.
size_t body_bytes(const model::Record& record, bool base64);
// Why this record cannot be stored as it is; nothing when it can.
std::optional<std::string> record_objection(const model::Record& record, const std::string& vector_name,
                                            uint32_t dimension);

// ReadParts, and whether content is wanted with its documents, which are most of an answer.
struct Included {
  Included(ReadParts parts) : vectors(parts.vectors), content(parts.content) {}
  bool vectors, content;
  bool documents = true;
};

// Body of get: ids (none: all that match), where (may be null), and what to include.
struct GetBody {
  std::vector<std::string_view> ids;
  bool by_ids = false;
  const model::Value* where = nullptr;
  std::optional<uint64_t> limit, offset;
  Included parts = ReadParts{false, false};
};
std::string get_body(const GetBody& body);
std::string query_body(const model::Query& query, const GetBody& filter, uint64_t results);

// What has to be asked for to answer the query, and the record without what the query did not ask for.
ReadParts parts_of(const model::Query& query);
void keep_wanted(const model::Query& query, model::Record& record);

Result<std::vector<model::Record>> parse_records(std::string_view answer, const std::string& vector_name);
Result<std::vector<std::string>> parse_ids(std::string_view answer);
Result<std::vector<std::vector<model::Hit>>> parse_hits(std::string_view answer,
                                                        const std::string& vector_name);

}  // namespace vmproxy::protocols::chroma
