// How a thread is scheduled beside the others of the process.
#pragma once

namespace vmproxy {

// For the calling thread: its work may come in batches. It still gets its full share of a core, but does not interrupt
// one that is serving a request when it wakes up, so that where cores are few, requests go on and the batch grows.
void schedule_in_batches();

}  // namespace vmproxy
