// Shapes of the admin API as JSON (contract.md). Fields are only ever added.
#pragma once

#include <boost/json.hpp>

#include "base/error.h"
#include "cutover/control.h"
#include "model/value.h"
#include "net/message.h"

namespace vmproxy::admin {

boost::json::object to_json(const cutover::Status& status);
boost::json::object to_json(const cutover::Gate& gate);
boost::json::object to_json(const cutover::Difference& difference);
boost::json::object to_json(const cutover::QuarantineEntry& entry);
boost::json::value to_json(const model::Value& value);

// Whole numbers without exponent, what is not finite as null.
boost::json::value number(double value);

int http_status(Code code);
net::Response json_response(int status, const boost::json::value& body);
// RFC 9457, with our stable `code`; `gates`: the closed ones, when a gate refused. `status`: where HTTP has a
// more exact one than the code's own.
net::Response problem_response(const Error& error, const std::vector<cutover::Gate>& gates = {},
                               int status = 0);

}  // namespace vmproxy::admin
