// Answers to the calls from another database, by subject. Each is what the server answers, its refusals
// included. An Error means that the backend failed or that it cannot be answered faithfully.
#pragma once

#include <string>
#include <vector>

#include "protocols/api/dialect.h"
#include "protocols/chroma/routes.h"

namespace vmproxy::protocols::chroma {

struct Asked {
  Call call;
  const net::Request& request;
  std::vector<std::string> path;  // segments for {}
  Backend& backend;
};

using Answer = Result<net::Response>;

Answer serve_records(Asked& asked);
Answer serve_reads(Asked& asked);
Answer serve_collections(Asked& asked);
Answer serve_spaces(Asked& asked);
Answer serve_refused(Asked& asked);  // what the local server does not do

// The collection of a path like .../databases/{}/collections/{UUID}/..., or the server's refusal.
struct Found {
  const model::Schema* schema = nullptr;
  std::optional<net::Response> refusal;
};
Found find_collection(const Asked& asked);
// "database name must be at least 3 characters"
std::optional<net::Response> refuse_database(const std::string& database);
// limit and offset of the query string.
struct Window {
  size_t limit = SIZE_MAX;
  size_t offset = 0;
  std::optional<net::Response> refusal;
};
Window window_of(const net::Request& request);

}  // namespace vmproxy::protocols::chroma
