// Driver: the client half of one system. The mirror, backfill, validation and cut-over know databases only by this.
//
// Calls block until done or until the absolute deadline; call them from a pool or lane thread, never from an io
// thread. Every driver is thread-safe: it keeps a bounded pool of connections of its own.
//
// Errors: Error::surely_not_done() must be right, because correctness.md 2 rests on it: return such a code only when
// the database provably did not and will not execute any part of the call. A lost answer is connection_lost or timeout;
// of a call that is sent in several requests, an error behind the first goes through Error::not_whole().
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "model/capabilities.h"
#include "model/query.h"
#include "model/record.h"
#include "model/schema.h"
#include "protocols/api/catalog.h"

namespace vmproxy::protocols {

using model::Capabilities;

struct ServerInfo {
  std::string version;
  model::Value facts;  // what the system's API shows of the server (Catalog::server)
};

enum class UpsertMode {
  replace,
  insert_only,  // what is there already stays as it is; capabilities().insert_only says whether that holds at any time
  // As those; a record found to be refused while nothing of the call is done ends the call with that record's error,
  // surely_not_done, and nothing is.
  replace_all,
  insert_all,
};
constexpr bool inserts(UpsertMode mode) {
  return mode == UpsertMode::insert_only || mode == UpsertMode::insert_all;
}
constexpr bool all_or_none(UpsertMode mode) {
  return mode == UpsertMode::replace_all || mode == UpsertMode::insert_all;
}

// A record that the database refused for good, by its index in the batch. The others were applied. An error that is not
// surely_not_done: what was there before may be gone all the same.
struct Refusal {
  size_t index;
  Error error;
};
struct ApplyResult {
  std::vector<Refusal> refused;
};
// The records that exist of those that were asked for. A refused key is neither there nor absent: its record cannot be read
// until somebody changes something, which the error names.
struct ReadResult {
  std::vector<model::Record> records;
  std::vector<Refusal> refused;  // by index in the keys
};

// A share of a collection's records for the copy: opaque, persisted by backfill, stable over restarts.
struct ScanRange {
  std::string bytes;
};
// A record that is there and cannot be read until somebody changes it, which the error says.
struct Unread {
  model::Key key;
  Error error;
};
struct ScanPage {
  std::vector<model::Record> records;
  std::string cursor;  // where the next page of this range begins
  bool done = false;
  std::vector<Unread> unread = {};  // of the page as well
};

// Something that holds vectors and cannot be a collection: nothing of it is watched or copied.
struct LeftOut {
  model::CollectionName name;
  std::string why;     // with a stable code first: "table.primary_key: ..."
  std::string remedy;  // what a person can do about it there
  bool operator==(const LeftOut&) const = default;
};
struct Holdings {
  std::vector<model::Schema> collections;
  std::vector<LeftOut> left_out;
};

struct ReadParts {
  bool vectors = true;
  bool content = true;  // document and metadata
  model::Consistency consistency = model::Consistency::strong;
};

class Driver {
 public:
  virtual ~Driver() = default;

  virtual std::string_view system() const = 0;
  virtual const Capabilities& capabilities() const = 0;
  // Connects, authenticates, says what it found.
  virtual Result<ServerInfo> describe_server(Deadline deadline) = 0;

  // --- what exists
  virtual Result<std::vector<Space>> list_spaces(Deadline deadline) = 0;
  virtual Result<std::vector<model::Schema>> list_collections(Deadline deadline) = 0;
  // list_collections(), and what that does not show although it holds vectors, of one look: nothing is in neither. A system
  // where that happens says here what.
  virtual Result<Holdings> list_all(Deadline deadline) {
    auto collections = list_collections(deadline);
    if (!collections) return collections.error();
    return Holdings{std::move(*collections), {}};
  }
  // Nothing: it does not exist. Error unsupported: something else has the name.
  virtual Result<std::optional<model::Schema>> describe(const model::CollectionName& name,
                                                        Deadline deadline) = 0;
  // The name here for a collection called `name` elsewhere: deterministic, legal in this system.
  virtual model::CollectionName name_for(const model::CollectionName& name) const = 0;
  // Creates without secondary indexes where the system lets that be (build_indexes makes them after the copy).
  // already_exists when it does.
  virtual Result<void> create(const model::Schema& schema, Deadline deadline) = 0;
  // What is as wanted already stays: the same call may be made again, also by the new name. Once a part of it is done, no error
  // is surely_not_done() (Error::not_whole).
  virtual Result<void> alter(const model::CollectionName& now, const model::Schema& wanted,
                             Deadline deadline) = 0;
  virtual Result<void> drop(const model::CollectionName& name, Deadline deadline) = 0;
  virtual Result<void> build_indexes(const model::Schema& schema, Deadline deadline) = 0;

  // --- records. Keys and records in the form of `schema`, which is this side's own.
  // The records that exist, in any order; absent keys are left out. Read-after-write where capabilities say so, and as far
  // as `parts.consistency` asks.
  virtual Result<std::vector<model::Record>> read(const model::Schema& schema,
                                                  std::span<const model::Key> keys, ReadParts parts,
                                                  Deadline deadline) = 0;
  // The same, but what cannot be read of some keys fails no others. A system where that happens says here which.
  virtual Result<ReadResult> read_each(const model::Schema& schema, std::span<const model::Key> keys,
                                       ReadParts parts, Deadline deadline) {
    auto records = read(schema, keys, parts, deadline);
    if (!records) return records.error();
    return ReadResult{std::move(*records), {}};
  }
  // A session token: given to Dialect::up_to_date it makes a request of an application show what this driver has written of
  // these keys, none: of the collection, and what anybody had written `others_after` ago. Empty: there is none, or nothing to
  // wait for. Does not block.
  static constexpr Duration others_after = std::chrono::seconds(2);
  virtual std::string session(const model::Schema& schema, std::span<const model::Key> keys) const {
    (void)schema, (void)keys;
    return {};
  }
  // Whole records. On an Error nothing is known of any of them unless surely_not_done().
  virtual Result<ApplyResult> upsert(const model::Schema& schema, std::span<const model::Record> records,
                                     UpsertMode mode, Deadline deadline) = 0;
  // Absent keys are no error.
  virtual Result<ApplyResult> erase(const model::Schema& schema, std::span<const model::Key> keys,
                                    Deadline deadline) = 0;
  // Error unsupported, with a stable code first ("filter.regex: ..."), when it cannot be answered faithfully.
  virtual Result<model::QueryResult> query(const model::Schema& schema, const model::Query& query,
                                           Deadline deadline) = 0;

  // --- the copy
  // Splits the records that exist now into at most `ranges_wanted` ranges of one pass; their order is of no account.
  // A record that exists all the time while all ranges are scanned comes at least once.
  virtual Result<std::vector<ScanRange>> plan_scan(const model::Schema& schema, size_t ranges_wanted,
                                                   Deadline deadline) = 0;
  // `cursor` empty: from the beginning. The same range and cursor may be asked again after a crash.
  virtual Result<ScanPage> scan(const model::Schema& schema, const ScanRange& range,
                                const std::string& cursor, size_t records_max, ReadParts parts,
                                Deadline deadline) = 0;
};

}  // namespace vmproxy::protocols
