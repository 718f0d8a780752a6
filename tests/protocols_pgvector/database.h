// The database under test: a driver on it, and SQL beside the driver.
#pragma once

#include <libpq-fe.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <stdexcept>

#include "protocols/pgvector/pgvector.h"

namespace vmproxy::testing {

inline SystemClock& the_clock() {
  static SystemClock clock;
  return clock;
}
inline Deadline soon(std::chrono::milliseconds ms = std::chrono::seconds(20)) {
  return the_clock().in(ms);
}

inline std::string url() {
  const char* url = std::getenv("VMPROXY_PGVECTOR_URL");
  if (url == nullptr) throw std::runtime_error("VMPROXY_PGVECTOR_URL is not set: run through with_pgvector");
  return url;
}

inline std::unique_ptr<protocols::Driver> driver(const std::string& schema = "public") {
  protocols::Endpoint endpoint;
  endpoint.name = "test";
  endpoint.url = url() + "?schema=" + schema;
  return protocols::pgvector::system().make_driver(endpoint, the_clock()).value();
}

// Plain SQL; the first column of the first row, or "".
inline std::string sql(const std::string& text) {
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(url().c_str()), PQfinish);
  PQsetNoticeProcessor(connection.get(), [](void*, const char*) {}, nullptr);
  std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), text.c_str()), PQclear);
  const auto status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(PQerrorMessage(connection.get()));
  return PQntuples(result.get()) > 0 && PQnfields(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

template <class T>
T good(Result<T> result) {
  if (!result)
    throw std::runtime_error(std::string(name_of(result.error().code)) + ": " + result.error().message);
  return std::move(*result);
}
inline void good(Result<void> result) {
  if (!result)
    throw std::runtime_error(std::string(name_of(result.error().code)) + ": " + result.error().message);
}

inline model::Schema things(const std::string& name, model::IdKind kind = model::IdKind::string,
                            uint32_t dimension = 3) {
  model::Schema schema;
  schema.name.name = name;
  schema.id_kind = kind;
  schema.vectors.push_back({});
  schema.vectors[0].dimension = dimension;
  schema.has_document = true;
  return schema;
}

// A table that was not there before.
inline model::Schema fresh(protocols::Driver& driver, model::Schema schema) {
  sql("DROP TABLE IF EXISTS \"" + schema.name.name + "\"");
  good(driver.create(schema, soon()));
  return schema;
}

inline model::Record record(const std::string& id, model::DenseVector vector = {1, 2, 3}) {
  model::Record record;
  record.key.id.value = id;
  record.vectors[""] = std::move(vector);
  return record;
}

}  // namespace vmproxy::testing
