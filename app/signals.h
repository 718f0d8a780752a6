// The signals that end a server, taken by the one thread that waits for them.
#pragma once

namespace vmproxy::app {

// Before any thread exists: they inherit it, so that nobody is interrupted.
void block_ending_signals();
// Blocks until one comes; which it was.
int wait_for_ending_signal();
// From here on such a signal ends the process at once, with code 1; or, where the system refuses the thread that waits for
// it, as a signal does that nobody takes. For the thread that has waited for the first one.
void end_at_next_signal();

}  // namespace vmproxy::app
