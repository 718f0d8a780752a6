// The actions on a migration: what a POST means. Each checks its own parameters, calls Control once and
// answers with the migration's status.
#pragma once

#include <string_view>

#include "admin/routes.h"

namespace vmproxy::admin {

net::Response act(Call& call, std::string_view action);

}  // namespace vmproxy::admin
