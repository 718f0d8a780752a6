#include "app/registry.h"

#include <vector>

#include "protocols/chroma/chroma.h"
#include "protocols/milvus/milvus.h"
#include "protocols/pgvector/pgvector.h"

namespace vmproxy::app {

std::span<const protocols::System> systems() {
  static const std::vector<protocols::System> list{
      protocols::chroma::system(),
      protocols::milvus::system(),
      protocols::pgvector::system(),
  };
  return list;
}

}  // namespace vmproxy::app
