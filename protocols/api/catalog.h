// Catalog: what the source showed of itself besides records, kept in the migration's state so that its API can be
// answered when it is gone. A snapshot: immutable once published.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/schema.h"

namespace vmproxy::protocols {

// A level above collections (tenant, database), as its system shows it.
struct Space {
  std::string path;     // "tenant" or "tenant/database"
  model::Value native;  // the system's own description
};

struct Catalog {
  std::vector<Space> spaces;
  std::vector<model::Schema> collections;
  model::Value server;  // facts of the server that its API shows: version, limits, identity

  const model::Schema* find(const model::CollectionName& name) const;
  const model::Schema* find_native(std::string_view native_id) const;
  const Space* find_space(std::string_view path) const;
};

std::string encode(const Catalog& catalog);
Result<Catalog> decode_catalog(std::string_view bytes);

}  // namespace vmproxy::protocols
