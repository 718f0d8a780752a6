// Databases as the commands that work in process reach them: by the system's name and a URL.
#pragma once

#include <boost/json.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_codes.h"
#include "cli/program.h"
#include "config/config.h"
#include "protocols/api/system.h"

namespace vmproxy::cli {

using Systems = std::span<const protocols::System>;

// Nothing when there is none of that name.
const protocols::System* find_system(Systems systems, std::string_view name);
config::KnownNames known_names(Systems systems);

protocols::Endpoint endpoint_of(const std::string& name, const config::Database& database);

// A failure names the nearest system.
boost::system::result<const protocols::System*, Failure> need_system(Systems systems,
                                                                     const std::string& name);

// A URL of the command line with `${ENV}` and `${file:PATH}` replaced: secrets need not stand in argv.
boost::system::result<std::string, Failure> expanded_url(const Session& session, const std::string& url);

// What a person can do about it; empty when the message says all.
std::string remedy(const Error& error);

// "*", "user-*", "products": whether one of the patterns fits.
bool matches_any(const std::vector<std::string>& patterns, const model::CollectionName& name);
// Whether the pattern stands for more than one name.
bool is_wild(std::string_view pattern);
// Whether one of the patterns is this very name: somebody asked for it, not only for what there is.
bool asks_for(const std::vector<std::string>& patterns, const model::CollectionName& name);

// What a database holds and cannot show as a collection, for `-o json`: {space, name, why, remedy}.
boost::json::array json_of(const std::vector<protocols::LeftOut>& all);

}  // namespace vmproxy::cli
