#include "proxy/images.h"

#include "model/codec.h"

namespace vmproxy::proxy {
namespace {
constexpr uint8_t images_format = 1;
}

std::string encode_images(const std::vector<journal::Image>& images) {
  model::Writer writer;
  writer.u8(images_format);
  writer.varint(images.size());
  for (const auto& image : images) {
    writer.key(image.key);
    writer.u8(image.record ? 1 : 0);
    if (image.record) writer.record(*image.record);
  }
  return writer.take();
}

Result<std::vector<journal::Image>> decode_images(std::string_view bytes) {
  model::Reader reader(bytes);
  const uint8_t format = reader.u8();
  if (format != images_format)
    return Error(Code::corrupt, "image format " + std::to_string(format) + " is not known");
  std::vector<journal::Image> images;
  for (uint64_t n = reader.varint(); n > 0 && reader.ok(); --n) {
    journal::Image image;
    image.key = reader.key();
    if (reader.u8() != 0) image.record = reader.record();
    images.push_back(std::move(image));
  }
  if (!reader.done()) return Error(Code::corrupt, "journaled images are cut short or damaged");
  return images;
}

Result<std::vector<journal::Image>> images_of(const journal::IntentHead& head,
                                              const journal::IntentBody& body,
                                              const protocols::Dialect* dialect,
                                              const protocols::Catalog& catalog) {
  if (head.primary == journal::Side::target) return decode_images(body.body);
  if (dialect == nullptr) return Error(Code::unsupported, "images.dialect: no dialect can read this intent");
  for (const auto& row : dialect->table()) {
    if (row.name != head.operation) continue;
    net::Request request{body.method, body.target, body.headers, body.body};
    auto decoded = dialect->images(row, request, catalog);
    if (!decoded) return decoded.error();
    std::vector<journal::Image> images;
    images.reserve(decoded->size());
    for (auto& image : *decoded) images.push_back({std::move(image.key), std::move(image.record)});
    return images;
  }
  return Error(Code::unsupported, "images.operation: '" + head.operation + "' is not in the dialect's table");
}

std::string touched_key(uint64_t generation, const std::string& collection, const std::string& key) {
  std::string row;
  for (int shift = 56; shift >= 0; shift -= 8) row += static_cast<char>(generation >> shift);
  return row + collection + '\0' + key;
}

}  // namespace vmproxy::proxy
