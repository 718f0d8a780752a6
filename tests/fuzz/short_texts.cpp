// Short texts that are taken apart by hand: addresses, a call's deadline, a session's token, who asks. The first byte of an input
// says which.
#include "hurried_clock.h"
#include "net/http2_exchange.h"
#include "protocols/chroma/dialect.h"
#include "protocols/milvus/dialect.h"
#include "protocols/milvus/session.h"
#include "protocols/pgvector/address.h"
#include "proxy/credentials.h"
#include "table_journal.h"
#include "tests/fuzz/target.h"

using namespace vmproxy;
using namespace vmproxy::protocols;
using fuzz::must;

namespace {

constexpr size_t error_bytes_max = 250;  // no error shows an address: it may hold a password

void upstream(const std::string& text) {
  const auto found = net::parse_upstream_url(text);
  if (!found) {
    must(found.error().code == Code::invalid && found.error().message.size() <= error_bytes_max,
         "an address that is none is called so, and not shown");
    return;
  }
  must(!found->host.empty() && found->port > 0, "an address has a host and a port");
  must(text.find('@') == text.npos, "and nobody's password");
  const std::string host = found->host.find(':') == found->host.npos ? found->host : "[" + found->host + "]";
  const auto again = net::parse_upstream_url((found->tls.enabled ? "https://" : "http://") + host + ":" +
                                             std::to_string(found->port));
  must(again && again->host == found->host && again->port == found->port &&
           again->tls.enabled == found->tls.enabled,
       "an address comes back");
}

void database(const std::string& text) {
  Endpoint endpoint;
  endpoint.name = "db";
  endpoint.url = text;
  const auto found = pgvector::parse_address(endpoint);
  if (!found) {
    must(found.error().code == Code::invalid && found.error().message.size() <= error_bytes_max,
         "an address that is none is called so, and not shown");
    return;
  }
  must(!found->schema.empty() && found->schema.find('\0') == found->schema.npos, "a schema that can be one");
  endpoint.url = found->url;
  const auto again = pgvector::parse_address(endpoint);
  must(again && again->url == found->url && again->schema == "public" && again->shown == found->shown,
       "our own part is taken out, and nothing else");
}

void deadline(std::string_view text) {
  const auto found = net::parse_grpc_timeout(text);
  if (!found) return;
  must(*found >= Duration::zero() && *found <= std::chrono::years(200), "a time from now on");
  must(text.size() <= 9, "of eight digits and a unit");
}

void token(std::string_view text) {
  const uint64_t found = milvus::Session::timestamp(text);
  if (found == 0) return;
  must(text.find_first_not_of("0123456789") == text.npos, "a token of ours is a number");
  must(milvus::Session::timestamp(std::to_string(found)) == found, "and comes back");
}

// The lines are fields of a request.
void caller(std::string_view text) {
  static const milvus::MilvusDialect milvus("x-token");
  static const chroma::ChromaDialect chroma("x-token");
  net::RequestHead head;
  while (!text.empty()) {
    const auto [line, rest] = fuzz::first_line(text);
    const auto colon = line.find(':');
    if (colon != line.npos) head.headers.add(line.substr(0, colon), line.substr(colon + 1));
    text = rest;
  }
  net::RequestHead other = head;
  other.headers.set("authorization", std::string(head.headers.find("authorization").value_or("")) + "x");
  for (const Dialect* dialect :
       {static_cast<const Dialect*>(&milvus), static_cast<const Dialect*>(&chroma)}) {
    fuzz::TableJournal journal;
    proxy::Credentials first(journal, dialect);
    must(first.restore(journal::Side::source).has_value(), "a fresh start");
    must(!first.known(head), "nobody is known who was not let in");
    first.accepted(head);
    must(first.known(head) && !first.known(other), "who was let in is, and nobody else");
    proxy::Credentials second(journal, dialect);
    must(second.restore(journal::Side::target).has_value() && !second.form_is_kept(),
         "a start in the same form");
    must(second.known(head) && !second.known(other), "also after a start");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto text = fuzz::text_of(data, size).substr(1);
  switch (data[0]) {
    case 'u': upstream(std::string(text)); break;
    case 'p': database(std::string(text)); break;
    case 't': deadline(text); break;
    case 's': token(text); break;
    default: caller(text);
  }
  return 0;
}
