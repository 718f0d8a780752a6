// A fake database whose content outlives the process.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "model/codec.h"
#include "tests/support/fake_driver.h"

namespace vmproxy::support {

bool FakeDriver::keep_at(const std::string& path) {
  std::lock_guard hold(mutex_);
  kept_at_ = path;
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  model::Reader in(bytes);
  lives_ = in.u64();
  const uint64_t count = in.u64();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    const std::string name = in.bytes();
    auto schema = model::decode_schema(in.bytes());
    if (!schema) throw std::runtime_error(path + ": a schema cannot be read");
    Collection& collection = collections_[name];
    collection.schema = std::move(*schema);
    const uint64_t rows = in.u64();
    for (uint64_t row = 0; row < rows && in.ok(); ++row) {
      model::Record record = in.record();
      collection.rows[record.key] = record;
    }
  }
  if (!in.done()) throw std::runtime_error(path + " cannot be read");
  return true;
}

void FakeDriver::keep() const {
  if (kept_at_.empty()) return;
  model::Writer out;
  out.u64(lives_);
  out.u64(collections_.size());
  for (const auto& [name, collection] : collections_) {
    out.bytes(name);
    out.bytes(model::encode_schema(collection.schema));
    out.u64(collection.rows.size());
    for (const auto& [key, record] : collection.rows) out.record(record);
  }
  const std::string next = kept_at_ + ".next";
  std::ofstream(next, std::ios::binary) << out.view();
  if (std::rename(next.c_str(), kept_at_.c_str()) != 0) throw std::runtime_error(next + " cannot be renamed");
}

}  // namespace vmproxy::support
