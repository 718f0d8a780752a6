// The one table of the admin API's routes. The server dispatches by it and the OpenAPI document is made from
// it, so the two cannot disagree.
#pragma once

#include <boost/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "admin/api.h"

namespace vmproxy::admin {

// One request on its way through its route.
struct Call {
  Api& api;
  const net::Request& request;
  std::string migration;                // {m}
  std::string number;                   // {number}
  cutover::Control* control = nullptr;  // of {m}; never null in a route that has it
  boost::json::object body;             // {} when none was sent
};

// A member of a request's body.
struct Parameter {
  std::string_view name;
  std::string_view type;  // of JSON Schema: "string", "number", "boolean", "integer", "strings"
  std::string_view text;
};

struct Route {
  std::string_view method;
  std::string_view pattern;    // "/api/v1/migrations/{m}": {m} and {number} are one segment
  std::string_view operation;  // OpenAPI operationId
  std::string_view summary;
  std::span<const Parameter> parameters;  // body members that are known; others are refused
  std::string_view answer;                // schema of the answer in openapi.cpp
  net::Response (*handle)(Call&);
};

std::span<const Route> routes();

// The members that every changing action takes: reason, force, who.
std::span<const Parameter> common_parameters();

}  // namespace vmproxy::admin
