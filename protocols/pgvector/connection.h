// Connection: one session with the server, on libpq in non-blocking mode. Every call has an absolute
// deadline; when it is missed the server is asked to cancel, and the connection is closed and never used
// again.
//
// What bounds an attempt whose answer we lose (Capabilities::max_exec and max_zombie):
//   - guard(): a condition inside the statement that lets it start only until start_by (server's clock), so
//   that bytes which
//     lay in a buffer of a stopped server do nothing when it wakes up;
//   - statement_timeout, which stops what has started.
// Used by one thread at a time.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "protocols/pgvector/address.h"

namespace vmproxy::protocols::pgvector {

// An argument of a statement, in PostgreSQL's binary format of its type.
struct Parameter {
  Oid type = 0;
  std::string bytes;
};

// The rows of an answer. Values are in binary format; views live as long as the answer.
class Answer {
 public:
  Answer() : result_(nullptr, PQclear) {}
  explicit Answer(PGresult* result) : result_(result, PQclear) {}
  int rows() const { return PQntuples(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string_view at(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
  }
  std::string text(int row, int column) const { return std::string(at(row, column)); }

 private:
  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// Types of the extension, which have other numbers in every database.
struct ExtensionTypes {
  std::string version;  // of pgvector; empty: not installed
  std::string schema;
  Oid vector = 0, vector_array = 0, halfvec = 0, halfvec_array = 0, sparsevec = 0, sparsevec_array = 0;
  bool iterative_scan = false;  // pgvector 0.8 and later
};

class Connection {
 public:
  // Errors: refused_connection, unauthenticated, not_found (no such database); nothing was done in each case.
  static Result<std::unique_ptr<Connection>> open(const Address& address, Clock& clock, Deadline deadline);
  ~Connection();

  // One statement; answers in binary. `sqlstate()` tells more about an error.
  Result<Answer> run(const std::string& sql, std::span<const Parameter> parameters, Deadline deadline);
  // Several statements in one implicit transaction, without arguments; the last answer, in text.
  Result<Answer> script(const std::string& sql, Deadline deadline);
  // COPY ... FROM STDIN; `pieces` are sent one after the other.
  Result<void> copy_in(const std::string& sql, std::span<const std::string> pieces, Deadline deadline);

  // The server stops statements of this session after so long. `or_more`: a longer limit that is set may
  // stay.
  Result<void> limit_statements(std::chrono::milliseconds limit, bool or_more, Deadline deadline);
  // How many candidates an index search looks at.
  Result<void> widen_search(int candidates, Deadline deadline);
  // SQL that is true until start_by and an error (sqlstate::guard_refused) afterwards.
  std::string guard(TimePoint start_by) const;

  const ExtensionTypes& types() const { return types_; }
  // After CREATE EXTENSION in this session.
  Result<void> learn_types(Deadline deadline);
  const std::string& server_version() const { return server_version_; }
  const std::string& sqlstate() const { return sqlstate_; }
  bool usable() const { return usable_; }
  // False when the server has closed this idle connection meanwhile.
  bool still_open();
  TimePoint last_used() const { return last_used_; }
  TimePoint opened() const { return at_ours_; }

 private:
  Connection(PGconn* connection, Clock& clock, const Address& address);
  Result<void> finish_connecting(Deadline deadline);
  Result<void> prepare_session(Deadline deadline);
  Result<void> begin(Deadline deadline);
  Result<void> wait(short events, Deadline deadline);
  Result<void> flush(Deadline deadline);
  Result<PGresult*> next_result(Deadline deadline);
  Result<Answer> collect(Deadline deadline);
  Error lost(std::string_view doing);
  Error missed(std::string_view doing);
  Error from_server(const PGresult* result);

  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
  Clock& clock_;
  std::string shown_;
  ExtensionTypes types_;
  std::string server_version_;
  std::string sqlstate_;
  bool usable_ = true;
  std::chrono::milliseconds statement_limit_{0};
  int search_width_ = 0;
  double server_epoch_ = 0;  // the server's clock ...
  TimePoint at_ours_;        // ... read at or after this moment of ours
  TimePoint last_used_;
};

}  // namespace vmproxy::protocols::pgvector
