// NoThreads: while it lives the system refuses new threads to this process, as it does at a limit: the stack that each would
// get is larger than the address space. Threads that run already go on. One at a time.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <stdexcept>

namespace vmproxy::support {

class NoThreads {
 public:
  NoThreads() {
    pthread_attr_t huge;
    if (::pthread_getattr_default_np(&before_) != 0 || ::pthread_getattr_default_np(&huge) != 0 ||
        ::pthread_attr_setstacksize(&huge, size_t{1} << 47) != 0 ||
        ::pthread_setattr_default_np(&huge) != 0) {
      throw std::runtime_error("the default size of stacks cannot be changed here");
    }
    ::pthread_attr_destroy(&huge);
  }
  NoThreads(const NoThreads&) = delete;
  ~NoThreads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }

 private:
  pthread_attr_t before_{};
};

}  // namespace vmproxy::support
