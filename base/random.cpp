#include "base/random.h"

namespace vmproxy {

uint64_t seed_from_system() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) ^ device();
}

}  // namespace vmproxy
