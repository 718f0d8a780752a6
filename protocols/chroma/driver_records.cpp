// read, upsert, erase.
#include <algorithm>
#include <map>
#include <set>

#include "protocols/chroma/driver.h"
#include "protocols/chroma/filters.h"
#include "protocols/chroma/metadata.h"

namespace vmproxy::protocols::chroma {
namespace {

using model::Key;
using model::Record;
using model::Schema;

constexpr size_t read_records_max = 1000;        // an answer of 1000 x 1536 is about 20 MB
constexpr size_t request_bytes_aim = 24u << 20;  // of the 40 MB that the server takes

std::string vector_name_of(const Schema& schema) {
  return schema.vectors.empty() ? std::string() : schema.vectors[0].name;
}
uint32_t dimension_of(const Schema& schema) {
  return schema.vectors.empty() ? 0 : schema.vectors[0].dimension;
}

bool refused_for_its_content(const Error& error) {
  return error.code == Code::invalid || error.code == Code::unsupported;
}

}  // namespace

// An answer that is larger than we hold in memory (long documents) is asked for in halves.
Result<void> ChromaDriver::read_some(const Schema& schema, Ids ids, Included parts,
                                     std::vector<Record>& records, Deadline deadline) {
  GetBody body;
  body.parts = parts;
  body.by_ids = true;
  body.ids.assign(ids.begin(), ids.end());
  const auto answered = api_.post(schema.name, "get", get_body(body), deadline);
  if (!answered) {
    if (answered.error().code != Code::too_large || ids.size() < 2) return answered.error();
    const size_t half = ids.size() / 2;
    if (auto done = read_some(schema, ids.first(half), parts, records, deadline); !done) return done;
    return read_some(schema, ids.subspan(half), parts, records, deadline);
  }
  auto parsed = parse_records(*answered, vector_name_of(schema));
  if (!parsed) return parsed.error();
  if (records.empty()) {
    records = std::move(*parsed);
  } else {
    std::move(parsed->begin(), parsed->end(), std::back_inserter(records));
  }
  return {};
}

Result<std::vector<Record>> ChromaDriver::read_ids(const Schema& schema, Ids ids, Included parts,
                                                   Deadline deadline) {
  std::vector<Record> records;
  for (size_t from = 0; from < ids.size(); from += read_records_max) {
    const auto some = ids.subspan(from, std::min(read_records_max, ids.size() - from));
    if (auto done = read_some(schema, some, parts, records, deadline); !done) return done.error();
  }
  return records;
}

Result<std::vector<Record>> ChromaDriver::read(const Schema& schema, std::span<const Key> keys,
                                               ReadParts parts, Deadline deadline) {
  std::vector<std::string_view> ids;
  ids.reserve(keys.size());
  for (const Key& key : keys) {
    if (!id_of(key).empty())
      ids.push_back(id_of(key));  // no record has an empty id, or one that is no string
  }
  return read_ids(schema, ids, parts, deadline);
}

// The server's upsert merges: fields that are not sent stay, a document that is not sent stays. To leave
// exactly the record given we read what is there and send null for each field that must go, in the one
// upsert, which the server applies as a whole. Deleting first and adding again would also do, but a reader
// between the two would miss the record, so that is done only where there is no other way: a document cannot
// be set to null (1.5.9 breaks on it for good).
//
// Repeated after a lost answer, this starts again with the read, so it cannot build on what was there before
// the lost attempt. A lost attempt that lands between our read and our upsert can leave fields that we did
// not see; whoever lost its answer owes the key another READ after max_zombie (correctness.md 3), which
// repairs it.
Result<std::vector<Sent>> ChromaDriver::complete(const Schema& schema, Items items, Upsert& upsert) {
  std::vector<std::string_view> ids;
  for (const Item& item : items) ids.push_back(id_of(item.record->key));
  Included what = ReadParts{false, true};
  // Documents are most of an answer, and a new one takes the old one's place in any case.
  what.documents =
      std::any_of(items.begin(), items.end(), [](const Item& item) { return !item.record->document; });
  const auto existing = read_ids(schema, ids, what, upsert.deadline);
  if (!existing) return existing.error();
  std::map<std::string_view, const Record*> there;
  for (const Record& record : *existing) there[id_of(record.key)] = &record;

  std::vector<Sent> sent;
  std::vector<std::string_view> undocumented;
  for (const Item& item : items) {
    Sent& one = sent.emplace_back(Sent{item.record, {}});
    const auto found = there.find(id_of(item.record->key));
    if (found == there.end()) continue;
    const Record& old = *found->second;
    if (old.document && !item.record->document) {
      undocumented.push_back(id_of(item.record->key));
      continue;
    }
    if (!old.metadata) continue;
    for (const auto& [name, value] : *old.metadata) {
      if (!item.record->metadata || !item.record->metadata->contains(name)) one.unset.push_back(name);
    }
  }
  if (!undocumented.empty()) {
    GetBody body;
    body.by_ids = true;
    body.ids = undocumented;
    const auto deleted = api_.post(schema.name, "delete", get_body(body), upsert.deadline);
    if (!deleted) return deleted.error();
    upsert.some_done = true;
    upsert.emptied.insert(undocumented.begin(), undocumented.end());
  }
  return sent;
}

// A batch that the server refuses for its content is halved until the culprits are alone.
Result<void> ChromaDriver::send(const Schema& schema, Items items, Upsert& upsert) {
  if (items.empty()) return {};
  const bool replaces = !inserts(upsert.mode);
  const auto limits = api_.limits(upsert.deadline);
  if (!limits) return limits.error();
  std::vector<Sent> sent;
  if (replaces) {
    auto completed = complete(schema, items, upsert);
    if (!completed) return completed.error();
    sent = std::move(*completed);
  } else {
    for (const Item& item : items) sent.push_back({item.record, {}});
  }
  std::string body = records_body(sent, vector_name_of(schema), limits->base64);
  Error refusal(Code::invalid, "the record takes more than the 40 MiB that Chroma takes in a request");
  if (body.size() <= ApiClient::request_bytes_max) {
    const auto answered =
        api_.post(schema.name, replaces ? "upsert" : "add", std::move(body), upsert.deadline);
    if (answered) {
      upsert.some_done = true;
      return {};
    }
    refusal = answered.error();
    if (!refused_for_its_content(refusal)) return refusal;
    if (all_or_none(upsert.mode) && !upsert.some_done) return refusal;
  }
  if (items.size() == 1) {
    const bool emptied = upsert.emptied.contains(id_of(items[0].record->key));
    upsert.result.refused.push_back({items[0].index, refusal.not_whole(emptied)});
    return {};
  }
  const size_t half = items.size() / 2;
  if (auto done = send(schema, items.first(half), upsert); !done) return done;
  return send(schema, items.subspan(half), upsert);
}

Result<ApplyResult> ChromaDriver::upsert(const Schema& schema, std::span<const Record> records,
                                         UpsertMode mode, Deadline deadline) {
  Upsert upsert{mode, deadline};
  const auto limits = api_.limits(deadline);
  if (!limits) return limits.error();
  // Of a key given twice the last counts when replacing, the first when inserting; the server would merge.
  std::map<std::string_view, size_t> chosen;
  for (size_t i = 0; i < records.size(); ++i) {
    if (auto objection = record_objection(records[i], vector_name_of(schema), dimension_of(schema))) {
      upsert.result.refused.push_back({i, Error(Code::invalid, std::move(*objection))});
    } else if (!inserts(mode)) {
      chosen[id_of(records[i].key)] = i;
    } else {
      chosen.emplace(id_of(records[i].key), i);
    }
  }
  if (all_or_none(mode) && !upsert.result.refused.empty()) return upsert.result.refused.front().error;
  std::vector<Item> batch;
  size_t bytes = 0;
  for (size_t i = 0; i <= records.size(); ++i) {
    const bool end = i == records.size();
    if (!end) {
      const auto choice = chosen.find(id_of(records[i].key));
      if (choice == chosen.end() || choice->second != i) continue;
    }
    const size_t more = end ? 0 : body_bytes(records[i], limits->base64);
    if (!batch.empty() &&
        (end || batch.size() == limits->batch_records || bytes + more > request_bytes_aim)) {
      if (auto done = send(schema, batch, upsert); !done) return done.error().not_whole(upsert.some_done);
      batch.clear();
      bytes = 0;
    }
    if (!end) batch.push_back({i, &records[i]});
    bytes += more;
  }
  return std::move(upsert.result);
}

Result<ApplyResult> ChromaDriver::erase(const Schema& schema, std::span<const Key> keys, Deadline deadline) {
  const auto limits = api_.limits(deadline);
  if (!limits) return limits.error();
  GetBody body;
  body.by_ids = true;
  bool some_done = false;
  for (size_t i = 0; i <= keys.size(); ++i) {
    if (i < keys.size() && !id_of(keys[i]).empty()) body.ids.push_back(id_of(keys[i]));
    const bool full = body.ids.size() == limits->batch_records || i == keys.size();
    if (body.ids.empty() || !full) continue;
    const auto deleted = api_.post(schema.name, "delete", get_body(body), deadline);
    if (!deleted) return deleted.error().not_whole(some_done);
    some_done = true;
    body.ids.clear();
  }
  return ApplyResult{};
}

}  // namespace vmproxy::protocols::chroma
