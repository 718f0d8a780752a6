// Workers: several threads for one job that they share.
#pragma once

#include <cstddef>
#include <functional>

namespace vmproxy {

// Calls work(0) on the caller's thread and work(1) to work(count - 1) each on its own; returns when all have returned. Each
// takes its share from what is left of the job: where the system refuses a thread, there are fewer of them, and all is done
// the same. What work(0) throws comes out once the others have ended; the others must not throw.
void run_workers(size_t count, const std::function<void(size_t worker)>& work);

}  // namespace vmproxy
