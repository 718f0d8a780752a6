// `vmproxy check -c FILE`: connects to both sides of every migration, negotiates, tries what a migration will
// need, and says for each whether it works and how to mend it. Changes nothing but a collection of its own on
// the target, which it removes again.
#pragma once

#include "cli/databases.h"

namespace vmproxy::cli {

LocalCommand check_command(Systems systems);

}  // namespace vmproxy::cli
