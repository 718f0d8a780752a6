#include "mapping/identity.h"

#include <charconv>

namespace vmproxy::mapping {
namespace {

using model::Id;
using model::IdKind;

Error no_form(const Id& id, IdKind kind) {
  return {Code::invalid, "id: " + std::string(name_of(id.kind())) + " id '" +
                             model::to_string(id).substr(0, 80) + "' has no form as " +
                             std::string(name_of(kind))};
}

// The number, when `text` is exactly what printing it gives: "7" but not "07" or "+7".
template <class Int>
std::optional<Int> canonical_integer(const std::string& text) {
  Int number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(number) != text)
    return std::nullopt;
  return number;
}

Result<Id> from_text(const Id& id, IdKind kind) {
  const std::string& text = std::get<std::string>(id.value);
  if (kind == IdKind::u64) {
    if (const auto number = canonical_integer<uint64_t>(text)) return Id{*number};
  } else if (kind == IdKind::i64) {
    if (const auto number = canonical_integer<int64_t>(text)) return Id{*number};
  } else if (const auto uuid = model::parse_uuid(text); uuid && model::to_string(*uuid) == text) {
    return Id{*uuid};
  }
  return no_form(id, kind);
}

}  // namespace

std::string_view name_of(IdKind kind) {
  switch (kind) {
    case IdKind::u64: return "u64";
    case IdKind::i64: return "i64";
    case IdKind::uuid: return "uuid";
    case IdKind::string: return "string";
  }
  return "unknown";
}

Result<IdRule> rule_for_ids(IdKind source, const model::Capabilities& target) {
  const bool same = source == IdKind::u64    ? target.id_u64
                    : source == IdKind::i64  ? target.id_i64
                    : source == IdKind::uuid ? target.id_uuid
                                             : target.id_string;
  if (same) return IdRule{source, true};
  if (target.id_string) return IdRule{IdKind::string, true};
  if (source == IdKind::u64 && target.id_i64) return IdRule{IdKind::i64, false};
  if (source == IdKind::i64 && target.id_u64) return IdRule{IdKind::u64, false};
  if (source == IdKind::string) {
    if (target.id_uuid) return IdRule{IdKind::uuid, false};
    if (target.id_u64) return IdRule{IdKind::u64, false};
    if (target.id_i64) return IdRule{IdKind::i64, false};
  }
  return Error{Code::unsupported, "id.kind: the target has no kind of id that can hold " +
                                      std::string(name_of(source)) + " ids"};
}

Result<Id> convert(const Id& id, IdKind kind) {
  if (id.kind() == kind) return id;
  if (kind == IdKind::string) return Id{model::to_string(id)};
  if (id.kind() == IdKind::string) return from_text(id, kind);
  if (id.kind() == IdKind::u64 && kind == IdKind::i64) {
    const auto number = std::get<uint64_t>(id.value);
    if (number <= INT64_MAX) return Id{static_cast<int64_t>(number)};
  }
  if (id.kind() == IdKind::i64 && kind == IdKind::u64) {
    const auto number = std::get<int64_t>(id.value);
    if (number >= 0) return Id{static_cast<uint64_t>(number)};
  }
  return no_form(id, kind);
}

std::string join_partition(std::string_view partition, std::string_view id) {
  std::string text;
  for (const char c : partition) {
    if (c == '%') {
      text += "%25";
    } else if (c == ':') {
      text += "%3A";
    } else {
      text += c;
    }
  }
  text += ':';
  text += id;
  return text;
}

Result<std::pair<std::string, std::string>> split_partition(std::string_view text) {
  const auto end = text.find(':');
  const Error malformed{Code::invalid,
                        "id: '" + std::string(text.substr(0, 80)) + "' is not of the form partition:id"};
  if (end == std::string_view::npos) return malformed;
  std::string partition;
  for (size_t i = 0; i < end; ++i) {
    if (text[i] != '%') {
      partition += text[i];
    } else if (text.substr(i, 3) == "%25" && i + 2 < end) {
      partition += '%';
      i += 2;
    } else if (text.substr(i, 3) == "%3A" && i + 2 < end) {
      partition += ':';
      i += 2;
    } else {
      return malformed;
    }
  }
  return std::pair{std::move(partition), std::string(text.substr(end + 1))};
}

}  // namespace vmproxy::mapping
