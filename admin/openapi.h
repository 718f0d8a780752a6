// The OpenAPI 3.1 document, made from the table of routes.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace vmproxy::admin {

boost::json::object openapi_document(const std::string& version);

}  // namespace vmproxy::admin
