// The server half of Milvus' gRPC API. See rpcs.h for the table, serve.h for how each call is answered.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "protocols/api/dialect.h"

namespace vmproxy::protocols::milvus {

class MilvusDialect final : public Dialect {
 public:
  // `auth_header`: one more that carries applications' credentials; empty: none.
  explicit MilvusDialect(std::string auth_header = {}) : auth_header_(std::move(auth_header)) {}

  std::string_view system() const override { return "milvus"; }
  std::span<const OperationRow> table() const override;
  const OperationRow* classify(const net::RequestHead& head) const override;
  Result<Operation> decode(const OperationRow& row, const net::Request& request,
                           const Catalog& catalog) const override;
  Result<std::vector<Image>> images(const OperationRow& row, const net::Request& request,
                                    const Catalog& catalog) const override;
  std::optional<std::string> up_to_date(const OperationRow& row, const net::Request& request,
                                        std::string_view session) const override;
  OutcomeReport outcome(const Operation& operation, const net::Response& response) const override;
  Ending ending(const OperationRow* row, const net::Response& response) const override;
  Result<net::Response> serve(const OperationRow& row, const net::Request& request,
                              Backend& backend) const override;
  net::Response error(const Error& error, const net::RequestHead& head) const override;
  std::string credential_form() const override;
  std::string credential(const net::RequestHead& head, std::string_view form) const override;
  // One message of 64 MiB and its prefix.
  uint64_t body_bytes_max() const override { return (64u << 20) + 5; }

 private:
  const std::string auth_header_;
};

}  // namespace vmproxy::protocols::milvus
