#include "protocols/pgvector/connection.h"

#include <poll.h>

#include <atomic>
#include <cmath>
#include <exception>
#include <thread>

#include "protocols/pgvector/shown_number.h"
#include "protocols/pgvector/sqlstate.h"

namespace vmproxy::protocols::pgvector {
namespace {

constexpr size_t arguments_max = 65'535;  // libpq takes no more in one statement

// PQcancel makes a connection of its own and waits for it without a deadline, so it gets a thread; at most
// this many at once, for a stopped server would hold each of them.
std::atomic<int> cancels_under_way{0};
constexpr int cancels_max = 4;

void cancel_in_background(PGconn* connection) {
  if (cancels_under_way.fetch_add(1) >= cancels_max) {
    cancels_under_way.fetch_sub(1);
    return;
  }
  PGcancel* cancel = PQgetCancel(connection);
  if (cancel == nullptr) {
    cancels_under_way.fetch_sub(1);
    return;
  }
  try {
    std::thread([cancel] {
      char why[256];
      PQcancel(cancel, why, sizeof why);
      PQfreeCancel(cancel);
      cancels_under_way.fetch_sub(1);
    }).detach();
  } catch (const std::exception&) {
    // No thread is to be had. The statement's own limit ends it then.
    PQfreeCancel(cancel);
    cancels_under_way.fetch_sub(1);
  }
}

std::string first_line(const char* text) {
  const std::string_view all = text == nullptr ? "" : text;
  return std::string(all.substr(0, all.find('\n')));
}

}  // namespace

Connection::Connection(PGconn* connection, Clock& clock, const Address& address)
    : connection_(connection, PQfinish), clock_(clock), shown_(address.shown), last_used_(clock.now()) {}

Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::open(const Address& address, Clock& clock,
                                                     Deadline deadline) {
  // Later keywords override what the URL says, and `fallback` ones do not.
  std::vector<const char*> keywords{"dbname",           "client_encoding", "fallback_application_name",
                                    "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
                                    "keepalives_count"};
  std::vector<const char*> values{address.url.c_str(), "UTF8", "vmproxy", "5000", "10", "5", "3"};
  for (const auto& [keyword, value] : address.options) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<Connection> made(
      new Connection(PQconnectStartParams(keywords.data(), values.data(), 1), clock, address));
  if (auto done = made->finish_connecting(deadline); !done) return done.error();
  if (auto done = made->prepare_session(deadline); !done) {
    // Nothing of the caller's was sent yet, whatever went wrong.
    return done.error().surely_not_done() ? done.error()
                                          : Error{Code::refused_connection, done.error().message};
  }
  return made;
}

Result<void> Connection::finish_connecting(Deadline deadline) {
  const auto refused = [&](const std::string& why) -> Error {
    return {Code::refused_connection,
            "cannot connect to " + shown_ + ": " + why +
                "; nothing was sent. Check that the server runs and the url is right"};
  };
  if (!connection_ || PQstatus(connection_.get()) == CONNECTION_BAD)
    return refused(first_line(PQerrorMessage(connection_.get())));
  PQsetnonblocking(connection_.get(), 1);
  PQsetNoticeProcessor(connection_.get(), [](void*, const char*) {}, nullptr);
  PostgresPollingStatusType step = PGRES_POLLING_WRITING;
  while (step != PGRES_POLLING_OK) {
    if (step == PGRES_POLLING_FAILED) {
      const std::string why = first_line(PQerrorMessage(connection_.get()));
      // libpq gives no SQLSTATE for a refused start, only text.
      if (why.find("authentication failed") != std::string::npos ||
          why.find("no password supplied") != std::string::npos ||
          why.find("no pg_hba.conf entry") != std::string::npos ||
          (why.find("role \"") != std::string::npos && why.find("does not exist") != std::string::npos)) {
        return Error{Code::unauthenticated, "cannot connect to " + shown_ + ": " + why};
      }
      if (why.find("database \"") != std::string::npos && why.find("does not exist") != std::string::npos) {
        return Error{Code::not_found,
                     "cannot connect to " + shown_ + ": " + why + ". Create it, or name another in the url"};
      }
      return refused(why);
    }
    if (auto ready = wait(step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline); !ready) {
      return refused(ready.error().code == Code::timeout ? "no answer in time" : ready.error().message);
    }
    step = PQconnectPoll(connection_.get());
  }
  return {};
}

Result<void> Connection::prepare_session(Deadline deadline) {
  const char* version = PQparameterStatus(connection_.get(), "server_version");
  server_version_ = version == nullptr ? "of no version" : version;  // some poolers do not say
  const TimePoint before = clock_.now();
  auto session = script(
      "SET standard_conforming_strings = on; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET "
      "extra_float_digits = 1;"
      "SET default_transaction_isolation = 'read committed'; SET idle_in_transaction_session_timeout = '10s';"
      "SELECT extract(epoch FROM clock_timestamp())::text",
      deadline);
  if (!session) return session.error();
  const auto epoch = shown_number<double>(session->at(0, 0), "its clock");
  if (!epoch) return epoch.error();
  if (!std::isfinite(*epoch))
    return Error{Code::corrupt, "the server's clock shows '" + session->text(0, 0) + "'"};
  server_epoch_ = *epoch;
  // It was read between `before` and now. Taken as early as that, a guard is late by the difference, so no
  // more than half a second of it is allowed: over a slower line a guard may refuse what was in time, which
  // harms nobody.
  at_ours_ = std::max<TimePoint>(before, clock_.now() - std::chrono::milliseconds(500));
  return learn_types(deadline);
}

Result<void> Connection::learn_types(Deadline deadline) {
  auto found =
      run("SELECT e.extversion::text, n.nspname::text, t.typname::text, t.oid::text, t.typarray::text FROM "
          "pg_catalog.pg_extension e "
          "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace "
          "JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname IN ('vector', 'halfvec', "
          "'sparsevec') WHERE e.extname = 'vector'",
          {}, deadline);
  if (!found) return found.error();
  types_ = {};
  for (int row = 0; row < found->rows(); ++row) {
    types_.version = found->text(row, 0);
    types_.schema = found->text(row, 1);
    const std::string name = found->text(row, 2);
    const auto type = shown_number<Oid>(found->at(row, 3), "the type " + name);
    const auto array = shown_number<Oid>(found->at(row, 4), "the array type of " + name);
    if (!type || !array) {
      types_ = {};  // not learnt in part
      return type ? array.error() : type.error();
    }
    if (name == "vector") types_.vector = *type, types_.vector_array = *array;
    if (name == "halfvec") types_.halfvec = *type, types_.halfvec_array = *array;
    if (name == "sparsevec") types_.sparsevec = *type, types_.sparsevec_array = *array;
  }
  if (types_.version.empty()) return {};
  types_.iterative_scan = types_.halfvec != 0 && !types_.version.starts_with("0.7.");
  std::string settings = "SET search_path = pg_catalog, " + quoted(types_.schema);
  // Without it an index search with a filter may end before it has found enough.
  if (types_.iterative_scan)
    settings += "; SET hnsw.iterative_scan = 'strict_order'; SET hnsw.ef_search = 100";
  search_width_ = 100;
  auto done = script(settings, deadline);
  return done ? Result<void>() : done.error();
}

Result<Answer> Connection::run(const std::string& sql, std::span<const Parameter> parameters,
                               Deadline deadline) {
  if (auto ready = begin(deadline); !ready) return ready.error();
  if (parameters.size() > arguments_max) {
    return Error{Code::invalid, "a statement for " + shown_ + " has " + std::to_string(parameters.size()) +
                                    " arguments, more than PostgreSQL takes; nothing was sent"};
  }
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const auto& parameter : parameters) {
    types.push_back(parameter.type);
    values.push_back(parameter.bytes.data());
    lengths.push_back(static_cast<int>(parameter.bytes.size()));
  }
  const std::vector<int> formats(parameters.size(), 1);
  if (PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(parameters.size()), types.data(),
                        values.data(), lengths.data(), formats.data(), 1) == 0) {
    return lost("sending a statement");
  }
  if (auto sent = flush(deadline); !sent) return sent.error();
  return collect(deadline);
}

Result<Answer> Connection::script(const std::string& sql, Deadline deadline) {
  if (auto ready = begin(deadline); !ready) return ready.error();
  if (PQsendQuery(connection_.get(), sql.c_str()) == 0) return lost("sending a statement");
  if (auto sent = flush(deadline); !sent) return sent.error();
  return collect(deadline);
}

Result<void> Connection::copy_in(const std::string& sql, std::span<const std::string> pieces,
                                 Deadline deadline) {
  if (auto ready = begin(deadline); !ready) return ready.error();
  if (PQsendQuery(connection_.get(), sql.c_str()) == 0) return lost("starting a copy");
  if (auto sent = flush(deadline); !sent) return sent.error();
  auto first = next_result(deadline);
  if (!first) return first.error();
  const bool copying = *first != nullptr && PQresultStatus(*first) == PGRES_COPY_IN;
  if (!copying) {
    const Error why = *first == nullptr ? lost("starting a copy") : from_server(*first);
    PQclear(*first);
    if (usable_) (void)collect(deadline);
    return why;
  }
  PQclear(*first);
  for (const std::string& piece : pieces) {
    int taken = 0;
    while ((taken = PQputCopyData(connection_.get(), piece.data(), static_cast<int>(piece.size()))) == 0) {
      if (auto sent = flush(deadline); !sent) return sent.error();
    }
    if (taken < 0) return lost("copying");
    // A refusal in the middle shows in the final answer; libpq throws the rest away meanwhile.
    if (auto sent = flush(deadline); !sent) return sent.error();
  }
  if (PQputCopyEnd(connection_.get(), nullptr) != 1) return lost("copying");
  if (auto sent = flush(deadline); !sent) return sent.error();
  auto answer = collect(deadline);
  return answer ? Result<void>() : answer.error();
}

Result<void> Connection::limit_statements(std::chrono::milliseconds limit, bool or_more, Deadline deadline) {
  if (limit == statement_limit_ || (or_more && statement_limit_ > limit)) return {};
  auto done = script("SET statement_timeout = " + std::to_string(limit.count()), deadline);
  if (!done) return done.error();
  statement_limit_ = limit;
  return {};
}

Result<void> Connection::widen_search(int candidates, Deadline deadline) {
  if (candidates == search_width_) return {};
  auto done = script("SET hnsw.ef_search = " + std::to_string(candidates), deadline);
  if (!done) return done.error();
  search_width_ = candidates;
  return {};
}

std::string Connection::guard(TimePoint start_by) const {
  const double epoch = server_epoch_ + std::chrono::duration<double>(start_by - at_ours_).count();
  // statement_timestamp() is when the server took the message out of its buffer. A division, because an error
  // cannot be mistaken for "there was nothing to do"; the CASE is not constant, so it is not worked out in
  // advance.
  return "1 / (CASE WHEN statement_timestamp() < to_timestamp(" + std::to_string(epoch) +
         ") THEN 1 ELSE 0 END) = 1";
}

bool Connection::still_open() {
  if (!usable_ || PQstatus(connection_.get()) != CONNECTION_OK) return false;
  pollfd socket{PQsocket(connection_.get()), POLLIN, 0};
  // Whatever came without our asking is the end, or the news of it.
  return poll(&socket, 1, 0) == 0;
}

Result<void> Connection::begin(Deadline deadline) {
  sqlstate_.clear();
  last_used_ = clock_.now();
  if (deadline <= last_used_)
    return Error{Code::cancelled, "the deadline passed before " + shown_ + " was asked; nothing was sent"};
  return {};
}

Result<void> Connection::wait(short events, Deadline deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.now()).count();
    if (left <= 0) return missed("waiting");
    pollfd socket{PQsocket(connection_.get()), events, 0};
    const int ready = poll(&socket, 1, static_cast<int>(std::min<long>(left, 1000)));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return lost("waiting");
  }
}

Result<void> Connection::flush(Deadline deadline) {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left == 0) return {};
    if (left < 0) return lost("sending");
    // The server may be waiting for us to read before it reads on.
    if (auto ready = wait(POLLIN | POLLOUT, deadline); !ready) return ready;
    if (PQconsumeInput(connection_.get()) == 0) return lost("sending");
  }
}

Result<PGresult*> Connection::next_result(Deadline deadline) {
  while (PQisBusy(connection_.get()) != 0) {
    if (auto ready = wait(POLLIN, deadline); !ready) return ready.error();
    if (PQconsumeInput(connection_.get()) == 0) return lost("reading the answer");
  }
  return PQgetResult(connection_.get());
}

// Reads to the end of the answer: the connection is ready for the next statement then.
Result<Answer> Connection::collect(Deadline deadline) {
  Answer answer;
  std::optional<Error> failed;
  while (true) {
    auto result = next_result(deadline);
    // An error that was read already is the truth, whatever happens to the connection after it.
    if (!result) return failed ? *failed : result.error();
    if (*result == nullptr) break;
    const ExecStatusType status = PQresultStatus(*result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      answer = Answer(*result);
      continue;
    }
    if (!failed) failed = from_server(*result);
    PQclear(*result);
    if (!usable_) break;
  }
  last_used_ = clock_.now();
  if (failed) return *failed;
  return answer;
}

Error Connection::lost(std::string_view doing) {
  const std::string why = first_line(PQerrorMessage(connection_.get()));
  usable_ = false;
  return {Code::connection_lost, "the connection to " + shown_ + " broke while " + std::string(doing) +
                                     (why.empty() ? "" : " (" + why + ")") +
                                     "; what was sent may or may not have been done"};
}

Error Connection::missed(std::string_view doing) {
  const bool connected = PQstatus(connection_.get()) == CONNECTION_OK;
  if (usable_ && connected) cancel_in_background(connection_.get());
  usable_ = false;
  return {Code::timeout, shown_ + " did not answer before the deadline (" + std::string(doing) +
                             "); what was sent may or may not have been done"};
}

Error Connection::from_server(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (state == nullptr) return lost("reading the answer");  // made by libpq itself: no answer of the server
  sqlstate_ = state;
  const auto field = [&](int code) { return first_line(PQresultErrorField(result, code)); };
  std::string message = field(PG_DIAG_MESSAGE_PRIMARY);
  const std::string detail = field(PG_DIAG_MESSAGE_DETAIL);
  if (!detail.empty()) message += " (" + detail.substr(0, 200) + ")";
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity != nullptr && std::string_view(severity) != "ERROR") usable_ = false;
  if (sqlstate_ == sqlstate::guard_refused) {
    usable_ = false;  // its idea of the server's clock may be wrong: a new connection asks again
    return {Code::quota, shown_ + " took the statement out of its queue too late; nothing was done"};
  }
  if (sqlstate_ == sqlstate::query_canceled)
    message += "; nothing of the statement was done (the limit was " +
               std::to_string(statement_limit_.count()) + " ms)";
  return {code_of(sqlstate_), message + " [SQLSTATE " + sqlstate_ + "]"};
}

}  // namespace vmproxy::protocols::pgvector
