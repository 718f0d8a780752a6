// What `vmproxy from` finds on both sides and is about to do, before anything is changed. Blocking; of one thread.
#pragma once

#include <boost/system/result.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/program.h"
#include "config/config.h"
#include "protocols/api/system.h"

namespace vmproxy::app {

// The name of its one migration in the configuration.
inline constexpr const char* copy_name = "copy";

struct Sides {
  std::unique_ptr<protocols::Driver> source, target;
  std::vector<model::Schema> collections;    // included ones
  std::vector<protocols::LeftOut> left_out;  // included, and no collections
};

// A failure when one does not answer, there is nothing to copy, or what was asked for by name cannot be.
boost::system::result<Sides, cli::Failure> look(cli::Session& session,
                                                std::span<const protocols::System> systems,
                                                const config::Config& config);
// The plan: what becomes of each collection. A failure when one of them cannot be carried at all, or would
// meet records that are not ours: the comparison at the end would take those for surplus.
cli::Ending show_plan(cli::Session& session, Sides& sides, const config::Config& config, bool fresh);
// Nobody is to take what came over for everything; `others` says what became of the rest.
cli::Failure left_behind(const std::vector<protocols::LeftOut>& all, const std::string& others);

}  // namespace vmproxy::app
