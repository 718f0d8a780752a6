// FakeDialect: the smallest wire API that has one call of each kind. A body is a list of images (proxy/images.h), so
// that tests can build and read it without a format of their own.
//   POST /put           whole records, or deletes by id            image
//   POST /merge         records that only a read shows             read_back
//   POST /delete_where  body: a number; records of at most that version   predicate
//   POST /generate      records whose keys only the answer tells (a list of images), beside those that the body may name   read_back
//   POST /create        after the promotion: a collection like the others, by the name in the header "to"   ddl
//   POST /drop                                                     ddl
//   POST /drop_some                records go, and nothing says which       ddl
//   GET  /health                                                   health
//   POST /import        what it changes nobody can follow          unknown
//   POST /read          records by key ("/read?page": part of a paged walk)   read
// The header "to" names the collection of a call, by its name or by the other one that it has (FakeDriver::name_also);
// without it: "things".
#pragma once

#include "protocols/api/dialect.h"
#include "journal/journal.h"

namespace vmproxy::support {

net::Request put_request(const std::vector<journal::Image>& images);
model::Filter version_at_most(int64_t version);

class FakeDialect final : public protocols::Dialect {
 public:
  std::string_view system() const override { return "fake"; }
  std::span<const protocols::OperationRow> table() const override;
  const protocols::OperationRow* classify(const net::RequestHead& head) const override;
  Result<protocols::Operation> decode(const protocols::OperationRow& row, const net::Request& request,
                                      const protocols::Catalog& catalog) const override;
  Result<std::vector<Image>> images(const protocols::OperationRow& row, const net::Request& request,
                                    const protocols::Catalog& catalog) const override;
  bool moves_name = false;        // what /create does, instead of making a collection
  model::CollectionName creates;  // what /create names
  std::string refuses_reads;      // /read is decoded for nobody but the source, for this reason
  std::function<void()> before_outcome;
  bool can_ask_for_all = true;     // up_to_date
  std::string ask_for_all;         // the body then
  mutable std::string asked_with;  // the session
  std::optional<std::string> up_to_date(const protocols::OperationRow&, const net::Request&,
                                        std::string_view session) const override {
    asked_with = session;
    return can_ask_for_all ? std::optional(ask_for_all) : std::nullopt;
  }
  protocols::OutcomeReport outcome(const protocols::Operation& operation,
                                   const net::Response& response) const override;
  protocols::Ending ending(const protocols::OperationRow* row, const net::Response& response) const override;
  Result<net::Response> serve(const protocols::OperationRow& row, const net::Request& request,
                              protocols::Backend& backend) const override;
  net::Response error(const Error& error, const net::RequestHead& head) const override;
  std::string auth_header = "who";  // says who asks, beside the usual ones
  std::string credential_form() const override;
  // With an empty form the header "who" alone.
  std::string credential(const net::RequestHead& head, std::string_view form) const override;
  uint64_t body_bytes_max() const override { return 1 << 20; }
};

}  // namespace vmproxy::support
