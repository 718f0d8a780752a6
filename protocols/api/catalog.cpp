#include "protocols/api/catalog.h"

#include "model/codec.h"

namespace vmproxy::protocols {
namespace {
constexpr uint8_t catalog_format = 1;
}

const model::Schema* Catalog::find(const model::CollectionName& name) const {
  for (const auto& schema : collections) {
    if (schema.name == name) return &schema;
  }
  return nullptr;
}

const model::Schema* Catalog::find_native(std::string_view native_id) const {
  for (const auto& schema : collections) {
    if (!schema.native_id.empty() && schema.native_id == native_id) return &schema;
  }
  return nullptr;
}

const Space* Catalog::find_space(std::string_view path) const {
  for (const auto& space : spaces) {
    if (space.path == path) return &space;
  }
  return nullptr;
}

std::string encode(const Catalog& catalog) {
  model::Writer w;
  w.u8(catalog_format);
  w.varint(catalog.spaces.size());
  for (const auto& space : catalog.spaces) {
    w.bytes(space.path);
    w.value(space.native);
  }
  w.varint(catalog.collections.size());
  for (const auto& schema : catalog.collections) w.schema(schema);
  w.value(catalog.server);
  return w.take();
}

Result<Catalog> decode_catalog(std::string_view bytes) {
  model::Reader r(bytes);
  const uint8_t format = r.u8();
  if (format != catalog_format) {
    return Error(Code::corrupt, "catalog format " + std::to_string(format) + " is not known to this version");
  }
  Catalog catalog;
  for (uint64_t n = r.varint(); n > 0 && r.ok(); --n) {
    std::string path = r.bytes();
    catalog.spaces.push_back({std::move(path), r.value()});
  }
  for (uint64_t n = r.varint(); n > 0 && r.ok(); --n) catalog.collections.push_back(r.schema());
  catalog.server = r.value();
  if (!r.done()) return Error(Code::corrupt, "stored catalog is cut short or damaged");
  return catalog;
}

}  // namespace vmproxy::protocols
