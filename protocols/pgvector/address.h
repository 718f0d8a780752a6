// Where a database is: postgresql://user@host:5432/name?schema=app. `schema` is ours (default "public") and
// is taken out before libpq sees the URL; everything else is libpq's.
#pragma once

#include <map>
#include <string>

#include "base/error.h"
#include "protocols/api/system.h"

namespace vmproxy::protocols::pgvector {

struct Address {
  std::string url;    // for libpq; may hold a password, so it is never shown
  std::string shown;  // without user and password, for messages
  std::string schema = "public";
  std::map<std::string, std::string> options;  // libpq keywords that override those of the URL
};

// Error invalid: the URL cannot be understood, and what one looks like.
Result<Address> parse_address(const Endpoint& endpoint);

// An SQL identifier in quotes.
std::string quoted(std::string_view name);
// Eight hexadecimal digits, always the same for the same text: makes a name that had to be shortened its own
// again.
std::string short_hash(std::string_view text);

}  // namespace vmproxy::protocols::pgvector
