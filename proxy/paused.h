// Paused: nothing of the collection is sent to the replica meanwhile. Of one thread.
#pragma once

#include <string>

#include "proxy/mirror.h"

namespace vmproxy::proxy {

class Paused {
 public:
  Paused(Mirror& mirror, const std::string& collection) : mirror_(mirror), collection_(collection) {
    mirror_.pause(collection_);
  }
  Paused(const Paused&) = delete;
  ~Paused() { mirror_.resume(collection_); }

 private:
  Mirror& mirror_;
  const std::string collection_;
};

}  // namespace vmproxy::proxy
