// AdminClient: thin calls to the admin API. Every answer is JSON; every failure already carries its exit
// code.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>

#include "base/clock.h"
#include "cli/exit_codes.h"
#include "net/message.h"

namespace vmproxy::cli {

using Transport = std::function<Result<net::Response>(const net::Request& request, Deadline deadline)>;

struct AdminAddress {
  std::string url;  // for people
  std::string token;
};

[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location& where);
using Answer = boost::system::result<boost::json::object, Failure>;

class AdminClient {
 public:
  AdminClient(AdminAddress address, Transport transport, Clock& clock)
      : address_(std::move(address)), transport_(std::move(transport)), clock_(clock) {}

  Answer get(const std::string& path, Duration timeout = std::chrono::seconds(30));
  Answer post(const std::string& path, const boost::json::object& body,
              Duration timeout = std::chrono::seconds(30));

  // The one that is meant: `named`, or the only one there is.
  boost::system::result<std::string, Failure> migration(const std::string& named);
  const std::string& url() const { return address_.url; }

 private:
  Answer send(net::Request request, Duration timeout);

  AdminAddress address_;
  Transport transport_;
  Clock& clock_;
};

}  // namespace vmproxy::cli
