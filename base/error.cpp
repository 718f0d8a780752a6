#include "base/error.h"

#include <stdexcept>

namespace vmproxy {

std::string_view name_of(Code code) {
  switch (code) {
    case Code::invalid: return "invalid";
    case Code::not_found: return "not_found";
    case Code::already_exists: return "already_exists";
    case Code::unauthenticated: return "unauthenticated";
    case Code::permission_denied: return "permission_denied";
    case Code::quota: return "quota";
    case Code::precondition: return "precondition";
    case Code::unsupported: return "unsupported";
    case Code::refused_connection: return "refused_connection";
    case Code::unavailable: return "unavailable";
    case Code::connection_lost: return "connection_lost";
    case Code::timeout: return "timeout";
    case Code::cancelled: return "cancelled";
    case Code::overloaded: return "overloaded";
    case Code::too_large: return "too_large";
    case Code::corrupt: return "corrupt";
    case Code::io: return "io";
    case Code::internal: return "internal";
  }
  return "internal";
}

bool Error::surely_not_done() const {
  switch (code) {
    case Code::invalid:
    case Code::not_found:
    case Code::already_exists:
    case Code::unauthenticated:
    case Code::permission_denied:
    case Code::quota:
    case Code::precondition:
    case Code::unsupported:
    case Code::refused_connection:
    case Code::cancelled:
    case Code::overloaded: return true;
    default: return false;
  }
}

Error Error::not_whole(bool some_done) const {
  if (!some_done || !surely_not_done()) return *this;
  return {Code::unavailable, message + "; a part of it was done before"};
}

bool Error::retryable() const {
  switch (code) {
    case Code::quota:
    case Code::refused_connection:
    case Code::unavailable:
    case Code::connection_lost:
    case Code::timeout:
    case Code::overloaded:
    case Code::io: return true;
    default: return false;
  }
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw std::runtime_error(std::string(name_of(error.code)) + ": " + error.message);
}

}  // namespace vmproxy
