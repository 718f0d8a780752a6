// `vmproxy journal stats|verify` without a server, on data_dir. Leaves the journal as it found it: also the
// mark that tells the next start of an unclean end.
#pragma once

#include "cli/program.h"

namespace vmproxy::cli {

LocalCommand journal_stats_command();
LocalCommand journal_verify_command();

}  // namespace vmproxy::cli
