#include "base/thread_class.h"

#include <pthread.h>
#include <sched.h>

namespace vmproxy {

void schedule_in_batches() {
  const sched_param none{};
  (void)::pthread_setschedparam(::pthread_self(), SCHED_BATCH,
                                &none);  // a hint: without it everything is right, too
}

}  // namespace vmproxy
