// What several calls share: ids as keys, both filters as one, the check of a dimension.
#pragma once

#include <optional>
#include <string>

#include "model/filter.h"
#include "model/schema.h"
#include "net/message.h"
#include "protocols/chroma/answer.h"
#include "protocols/chroma/where.h"

namespace vmproxy::protocols::chroma {

inline model::Key key_of(std::string id) {
  model::Key key;
  key.id.value = std::move(id);
  return key;
}

inline const std::string& id_of(const model::Key& key) {
  static const std::string none;
  const auto* text = std::get_if<std::string>(&key.id.value);
  return text == nullptr ? none : *text;
}

// Both hold; null stands for no condition.
inline Result<std::optional<model::Filter>> filter_of(const model::Value& where,
                                                      const model::Value& where_document) {
  std::optional<model::Filter> filter;
  if (!where.is_null()) {
    auto parsed = parse_where(where);
    if (!parsed) return parsed.error();
    filter = std::move(*parsed);
  }
  if (!where_document.is_null()) {
    auto parsed = parse_where_document(where_document);
    if (!parsed) return parsed.error();
    filter = filter ? model::Filter::all({std::move(*filter), std::move(*parsed)}) : std::move(*parsed);
  }
  return filter;
}

// Any dimension does while the collection has none.
inline std::optional<net::Response> refuse_dimension(const model::Schema& schema, size_t got) {
  const size_t wanted = schema.vectors.empty() ? 0 : schema.vectors[0].dimension;
  if (wanted == 0 || wanted == got) return std::nullopt;
  return invalid("Collection expecting embedding with dimension of " + std::to_string(wanted) + ", got " +
                 std::to_string(got));
}

}  // namespace vmproxy::protocols::chroma
