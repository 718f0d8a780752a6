// Dialect: the server half of one system's wire API. Pure functions over messages: no I/O of its own, so every one of
// them can be tested and fuzzed without a socket. Thread-safe: a dialect holds no mutable state.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "model/query.h"
#include "model/write.h"
#include "net/message.h"
#include "protocols/api/catalog.h"

namespace vmproxy::protocols {

enum class OperationClass : uint8_t {
  read,     // a query: may be served by either side
  write,    // changes records of one collection
  ddl,      // changes what exists
  session,  // answered from facts: version, identity, list of collections
  admin,    // changes neither records nor collections that we mirror; passes
  health,
  unknown,  // not in the table and not a safe method: an opaque write (correctness.md 1)
};

// One row of a dialect's closed operation table.
struct OperationRow {
  std::string_view method;   // "POST"; for gRPC "POST" as well
  std::string_view pattern;  // "/api/v2/tenants/{}/databases": {} is one path segment
  std::string_view name;     // stable, for metrics, journal, docs: "collection.upsert"
  OperationClass cls;
};

// What a write's request says of the records it leaves behind (correctness.md 1).
enum class WriteClass : uint8_t {
  image,      // the request carries each record whole, or deletes by id; proven by a test on the real server
  read_back,  // merge, partial, conditional, insert-ignored, generated: only the result is an image
  predicate,  // by filter
  ddl,
  opaque,  // cannot be decoded: may have changed anything
};

// A request decoded as far as the path before promotion needs it.
struct Operation {
  const OperationRow* row = nullptr;  // static storage of the dialect
  model::CollectionName collection;   // empty name: none
  WriteClass write_class = WriteClass::opaque;
  std::vector<model::Key> keys;  // of a write or of a read by key; in request order
  bool makes_keys =
      false;  // the source makes up more keys: only its answer names them (OutcomeReport::generated)
  std::string partition;                   // ... of those keys
  std::optional<model::Filter> predicate;  // predicate writes: which records (with keys: both must hold)
  bool creates_collection = false;  // ddl hints: what to look at again after the outcome; also get or create
  bool drops_collection = false;
  bool drops_records = false;  // of a collection that stays; which, nothing tells
  bool moves_name =
      false;  // another collection answers to a name: a write by it beside this call may go to either
  // Reads: bytes that identify the query without its paging fields; the percent router hashes them.
  std::string fingerprint;
  bool pages = false;  // the request continues or may continue a paged walk
};

// How the primary's answer ended a write.
struct OutcomeReport {
  model::Outcome whole = model::Outcome::uncertain;
  std::vector<model::Outcome> items;  // per key of Operation::keys where the API tells; else empty
  std::vector<model::Key> generated;  // keys that the primary made up and told us, beside Operation::keys
};

// How an answer ended its call, by the API's own rules: an HTTP status says it in some APIs only.
struct Ending {
  // rejected only with proof that nothing was done; applied: the call was carried out.
  model::Outcome outcome = model::Outcome::uncertain;
  bool failed = false;               // the server could not do it; not: it was asked wrongly
  bool credential_accepted = false;  // proof that whoever asked was let in
};

// What a dialect may use to answer a request from another database. Blocking; the implementation lives in proxy/.
// Names, keys, filters and records are all in the dialect's own (the source's) form.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const Catalog& catalog() const = 0;  // one snapshot for the whole request
  virtual Deadline deadline() const = 0;
  virtual Result<model::QueryResult> query(const model::Query& query) = 0;
  // Journaled; atomic per key. The same key twice in patches is applied in order.
  virtual Result<model::WriteResult> write(const model::Write& write) = 0;
  // The schema as it is afterwards (native_id assigned by the dialect beforehand).
  virtual Result<model::Schema> change(const model::SchemaChange& change) = 0;
  virtual Result<void> change_space(model::SchemaChange::Kind kind, const Space& space) = 0;
  // For ids and times the source would have made up. Fresh on each call.
  virtual model::Uuid new_uuid() = 0;
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  virtual std::string_view system() const = 0;
  virtual std::span<const OperationRow> table() const = 0;
  // The row of the table, or nullptr. By method and path only: called before the body is read.
  virtual const OperationRow* classify(const net::RequestHead& head) const = 0;

  // For rows of class read, write and ddl. An error: the request cannot be understood; the source will judge it.
  virtual Result<Operation> decode(const OperationRow& row, const net::Request& request,
                                   const Catalog& catalog) const = 0;
  // Whole records of an image write, by request order; nothing for a key: the write deletes it.
  struct Image {
    model::Key key;
    std::optional<model::Record> record;
  };
  virtual Result<std::vector<Image>> images(const OperationRow& row, const net::Request& request,
                                            const Catalog& catalog) const = 0;
  // Rows of class read: the body to ask the source with so that its answer has every write acknowledged before; empty: the
  // request does so as it is. Nothing: this call cannot ask for that. `session`: of the source's driver (Driver::session);
  // where it is not empty every write that counts went through that driver, and the answer need show no more.
  virtual std::optional<std::string> up_to_date(const OperationRow& row, const net::Request& request,
                                                std::string_view session) const = 0;
  virtual OutcomeReport outcome(const Operation& operation, const net::Response& response) const = 0;
  // Of any call; row: nullptr for one that is not in the table. The body may be missing because it was streamed; then
  // as far as status, headers and trailers tell, and what they do not prove is uncertain.
  virtual Ending ending(const OperationRow* row, const net::Response& response) const = 0;

  // Answers the request from another database, in this system's shape. An application's mistake is a Response like
  // the source's own. Error unsupported ("code: why"): cannot be answered faithfully. Any other Error: the backend
  // failed; before promotion the source answers instead, after it the proxy sends error().
  virtual Result<net::Response> serve(const OperationRow& row, const net::Request& request,
                                      Backend& backend) const = 0;
  // An error in the shape of this system.
  virtual net::Response error(const Error& error, const net::RequestHead& head) const = 0;
  // How callers are told apart, as text: which headers say who asks. A migration's state keeps it beside what it knows of
  // callers. Never empty.
  virtual std::string credential_form() const = 0;
  // Bytes that identify who asks, empty: nobody in particular. Never logged. `form`: what credential_form() is, or was with
  // another configuration or in another version; empty: as in the versions that had no such text.
  virtual std::string credential(const net::RequestHead& head, std::string_view form) const = 0;
  // Largest request body that the real server takes.
  virtual uint64_t body_bytes_max() const = 0;
};

}  // namespace vmproxy::protocols
