// The server half of API v2. See routes.h for the table, serve.h for how each call is answered.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "protocols/api/dialect.h"

namespace vmproxy::protocols::chroma {

class ChromaDialect final : public Dialect {
 public:
  // `auth_header`: one more that carries applications' credentials; empty: none.
  explicit ChromaDialect(std::string auth_header = {}) : auth_header_(std::move(auth_header)) {}

  std::string_view system() const override { return "chroma"; }
  std::span<const OperationRow> table() const override;
  const OperationRow* classify(const net::RequestHead& head) const override;
  Result<Operation> decode(const OperationRow& row, const net::Request& request,
                           const Catalog& catalog) const override;
  Result<std::vector<Image>> images(const OperationRow& row, const net::Request& request,
                                    const Catalog& catalog) const override;
  // What Chroma has acknowledged, every later read shows.
  std::optional<std::string> up_to_date(const OperationRow&, const net::Request&,
                                        std::string_view) const override {
    return "";
  }
  OutcomeReport outcome(const Operation& operation, const net::Response& response) const override;
  Ending ending(const OperationRow* row, const net::Response& response) const override;
  Result<net::Response> serve(const OperationRow& row, const net::Request& request,
                              Backend& backend) const override;
  net::Response error(const Error& error, const net::RequestHead& head) const override;
  std::string credential_form() const override;
  std::string credential(const net::RequestHead& head, std::string_view form) const override;
  // 40 MiB: measured, one byte more is refused with 413.
  uint64_t body_bytes_max() const override { return 40u << 20; }

 private:
  const std::string auth_header_;
};

}  // namespace vmproxy::protocols::chroma
