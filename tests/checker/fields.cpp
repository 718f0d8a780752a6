#include "tests/checker/fields.h"

#include <array>
#include <string>

namespace vmproxy::checker {
namespace {

using simdjson::dom::element;

constexpr uint32_t bits(std::initializer_list<Field> fields) {
  uint32_t all = static_cast<uint32_t>(Field::type);
  for (const Field field : fields) all |= static_cast<uint32_t>(field);
  return all;
}

struct Type {
  std::string_view name;
  uint32_t needs;
  uint32_t allows;  // beside those
};
constexpr std::array types{
    Type{"op", bits({Field::process, Field::key, Field::op, Field::call, Field::outcome}),
         bits({Field::value, Field::ret, Field::latest, Field::stale, Field::side, Field::epoch, Field::id})},
    Type{"scan", bits({Field::process, Field::keys, Field::call, Field::ret}),
         bits({Field::prefix, Field::partial})},
    Type{"execution", bits({Field::side, Field::epoch, Field::key, Field::call, Field::ret}), bits({})},
    Type{"sent", bits({Field::side, Field::request}), bits({Field::outcome})},
    Type{"seen", bits({Field::side, Field::request}), bits({})},
    Type{"final", bits({Field::side, Field::key, Field::value}), bits({})},
    Type{"final_complete", bits({Field::side}), bits({})},
};

struct Name {
  std::string_view text;
  Field field;
};
constexpr std::array names{
    Name{"type", Field::type},       Name{"process", Field::process}, Name{"key", Field::key},
    Name{"op", Field::op},           Name{"value", Field::value},     Name{"call", Field::call},
    Name{"ret", Field::ret},         Name{"outcome", Field::outcome}, Name{"latest", Field::latest},
    Name{"stale", Field::stale},     Name{"side", Field::side},       Name{"epoch", Field::epoch},
    Name{"id", Field::id},           Name{"prefix", Field::prefix},   Name{"keys", Field::keys},
    Name{"partial", Field::partial}, Name{"request", Field::request},
};

bool read_time(element from, Time& to) {
  return from.get(to) == simdjson::SUCCESS && to >= 0;
}

// A number, or "any": as stale as it likes.
bool read_stale(element from, Time& to) {
  std::string_view text;
  if (from.get(text) != simdjson::SUCCESS) return read_time(from, to);
  to = never;
  return text == "any";
}

bool read_value(element from, std::optional<std::string_view>& to) {
  if (from.is_null()) return true;
  std::string_view text;
  if (from.get(text) != simdjson::SUCCESS) return false;
  to = text;
  return true;
}

bool read_epoch(element from, uint32_t& to) {
  uint64_t number = 0;
  if (from.get(number) != simdjson::SUCCESS || number > std::numeric_limits<uint32_t>::max()) return false;
  to = static_cast<uint32_t>(number);
  return true;
}

bool read_keys(element from, std::vector<std::string_view>& to) {
  simdjson::dom::array array;
  if (from.get(array) != simdjson::SUCCESS) return false;
  for (const element item : array) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) return false;
    to.push_back(text);
  }
  return true;
}

bool read(Field field, element from, Fields& to) {
  const auto text = [&](std::string_view& out) { return from.get(out) == simdjson::SUCCESS; };
  switch (field) {
    case Field::type: return text(to.type);
    case Field::process: return text(to.process);
    case Field::key: return text(to.key);
    case Field::op: return text(to.op);
    case Field::outcome: return text(to.outcome);
    case Field::side: return text(to.side) && !to.side.empty();
    case Field::prefix: return text(to.prefix);
    case Field::request: return text(to.request);
    case Field::value: return read_value(from, to.value);
    case Field::call: return read_time(from, to.call);
    case Field::ret: return read_time(from, to.ret);
    case Field::latest: return read_time(from, to.latest);
    case Field::stale: return read_stale(from, to.stale);
    case Field::epoch: return read_epoch(from, to.epoch);
    case Field::id: return from.get(to.id) == simdjson::SUCCESS;
    case Field::keys: return read_keys(from, to.keys);
    case Field::partial: return from.get(to.partial) == simdjson::SUCCESS;
  }
  return false;
}

const Name* find_name(std::string_view text) {
  for (const Name& name : names) {
    if (name.text == text) return &name;
  }
  return nullptr;
}

std::string names_of(uint32_t fields) {
  std::string out;
  for (const Name& name : names) {
    if ((fields & static_cast<uint32_t>(name.field)) == 0) continue;
    if (!out.empty()) out += ", ";
    out += name.text;
  }
  return out;
}

}  // namespace

Result<Fields> Fields::of(element line) {
  simdjson::dom::object object;
  if (line.get(object) != simdjson::SUCCESS) return Error(Code::invalid, "a line must be one JSON object");
  Fields fields;
  for (const simdjson::dom::key_value_pair member : object) {
    const Name* name = find_name(member.key);
    if (!name) return Error(Code::invalid, "unknown field " + std::string(member.key));
    if (fields.has(name->field)) return Error(Code::invalid, std::string(name->text) + " stands twice");
    if (!read(name->field, member.value, fields))
      return Error(Code::invalid, std::string(name->text) + " has an impossible value");
    fields.present |= static_cast<uint32_t>(name->field);
  }
  for (const Type& type : types) {
    if (type.name != fields.type) continue;
    if (const uint32_t missing = type.needs & ~fields.present)
      return Error(Code::invalid, names_of(missing) + " is missing");
    if (const uint32_t extra = fields.present & ~(type.needs | type.allows))
      return Error(Code::invalid, names_of(extra) + " has no meaning here");
    return fields;
  }
  return Error(Code::invalid, "unknown type " + std::string(fields.type));
}

}  // namespace vmproxy::checker
