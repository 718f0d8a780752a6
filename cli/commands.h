// The commands that ask a running vmproxy, by name.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "cli/program.h"

namespace vmproxy::cli {

using RemoteCommand = std::function<Ending(Session&, AdminClient&)>;
const std::map<std::string, RemoteCommand>& remote_commands();

std::string pretty_version(const std::string& version);

// Figures of stats or verify; a failure when they tell of problems.
Ending show_journal(Session& session, const boost::json::object& figures);

// Shown after a change, and by `status`.
void show_status(Session& session, const boost::json::object& status);

}  // namespace vmproxy::cli
