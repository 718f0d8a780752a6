#include "protocols/chroma/body.h"

#include <algorithm>

#include "protocols/chroma/answer.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::chroma {
namespace {

std::string quoted(std::initializer_list<std::string_view> names) {
  std::string text;
  for (const auto name : names) text += (text.empty() ? "`" : ", `") + std::string(name) + "`";
  return text;
}

}  // namespace

BodyReader::BodyReader(std::string_view body) : in_(body) {
  if (!wire::valid_utf8(body)) in_.check_strings();
}

bool BodyReader::mismatch(std::string_view text) {
  if (!ok()) return false;
  types_ = true;
  return in_.fail(text);
}

bool BodyReader::leave(bool good) {
  if (ok()) path_.pop_back();  // after an error the path stays where it happened
  return good && ok();
}

net::Response BodyReader::refusal() const {
  std::string path;
  for (const auto& step : path_) {
    if (!path.empty() && step[0] != '[') path += '.';
    path += step;
  }
  const std::string text = (path.empty() ? "" : path + ": ") + in_.error();
  if (types_)
    return refuse(422, "ChromaError", "Failed to deserialize the JSON body into the target type: " + text);
  return refuse(400, "InvalidArgumentError", "Failed to parse the request body as JSON: " + text);
}

bool BodyReader::wrong_type(std::string_view expected) {
  std::string got;
  switch (next()) {
    case Kind::none: return false;
    case Kind::null:
      if (!in_.read_null()) return false;
      got = "null";
      break;
    case Kind::boolean: {
      bool b = false;
      if (!in_.read_bool(b)) return false;
      got = b ? "boolean `true`" : "boolean `false`";
      break;
    }
    case Kind::number: {
      model::Value number;
      if (!in_.read_number(number)) return false;
      got = (number.is_integer() ? "integer `" : "floating point `") + wire::to_json(number) + "`";
      break;
    }
    case Kind::string: {
      std::string text;
      if (!in_.read_string(text)) return false;
      got = "string ";
      wire::append_json_string(got, text);
      break;
    }
    case Kind::array: got = "sequence"; break;
    case Kind::object: got = "map"; break;
  }
  return mismatch("invalid type: " + got + ", expected " + std::string(expected));
}

bool BodyReader::string(std::string& out) {
  return next() == Kind::string ? in_.read_string(out) : wrong_type("a string");
}

bool BodyReader::boolean(bool& out) {
  return next() == Kind::boolean ? in_.read_bool(out) : wrong_type("a boolean");
}

bool BodyReader::number(double& out) {
  return next() == Kind::number ? in_.read_double(out) : wrong_type("f64");
}

bool BodyReader::integer(std::string_view type, uint64_t max, uint64_t& out) {
  if (next() != Kind::number) return wrong_type(type);
  model::Value number;
  if (!in_.read_number(number)) return false;
  const std::string text = wire::to_json(number);
  if (!number.is_integer())
    return mismatch("invalid type: floating point `" + text + "`, expected " + std::string(type));
  const auto* i = std::get_if<int64_t>(&number.data);
  out = i != nullptr ? static_cast<uint64_t>(*i) : std::get<uint64_t>(number.data);
  if ((i != nullptr && *i < 0) || out > max)
    return mismatch("invalid value: integer `" + text + "`, expected " + std::string(type));
  return true;
}

bool BodyReader::u32(uint32_t& out) {
  uint64_t wide = 0;
  if (!integer("u32", UINT32_MAX, wide)) return false;
  out = static_cast<uint32_t>(wide);
  return true;
}

bool BodyReader::u64(uint64_t& out) {
  return integer("usize", UINT64_MAX, out);
}

bool BodyReader::value(model::Value& out) {
  return in_.read_value(out);
}

bool BodyReader::floats(std::vector<float>& out) {
  return array([&](size_t) {
    if (next() != Kind::number) return wrong_type("f32");
    double number = 0;
    if (!in_.read_double(number)) return false;
    out.push_back(static_cast<float>(number));
    return true;
  });
}

bool BodyReader::array(const std::function<bool(size_t)>& read) {
  if (next() != Kind::array) return wrong_type("a sequence");
  if (!in_.enter_array()) return false;
  for (size_t index = 0; in_.next_element(); ++index) {
    enter("[" + std::to_string(index) + "]");
    if (!leave(read(index))) return false;
  }
  return ok();
}

bool BodyReader::map(const std::function<bool(const std::string&)>& read) {
  if (next() != Kind::object) return wrong_type("a map");
  std::string name;
  if (!in_.enter_object()) return false;
  while (in_.next_member(name)) {
    enter(name);
    if (!leave(read(name))) return false;
  }
  return ok();
}

bool BodyReader::no_variant(std::string_view type) {
  if (!ok()) return false;
  // The server notices after the container that holds the value was closed, if the value was its last.
  in_.pass_end_of_object();
  return mismatch("data did not match any variant of untagged enum " + std::string(type));
}

bool BodyReader::missing_field(std::string_view name) {
  return mismatch("missing field `" + std::string(name) + "`");
}

bool BodyReader::unknown_variant(std::string_view got, Names known) {
  return mismatch("unknown variant `" + std::string(got) + "`, expected one of " + quoted(known));
}

bool BodyReader::members(std::string_view type, Names required, Names known, const ReadField& field) {
  if (next() != Kind::object) return wrong_type("struct " + std::string(type));
  std::set<std::string> seen;
  std::string name;
  if (!in_.enter_object()) return false;
  while (in_.next_name(name)) {
    const std::string field_name = name;
    if (seen.contains(field_name)) return mismatch("duplicate field `" + field_name + "`");
    enter(field_name);
    if (known.size() > 0 && std::find(known.begin(), known.end(), field_name) == known.end()) {
      return mismatch("unknown field `" + field_name + "`, expected one of " + quoted(known));
    }
    if (!in_.pass_colon()) return false;
    if (field(field_name)) {
      seen.insert(field_name);
    } else if (!ok() || !in_.skip_value()) {
      return false;
    }
    leave(true);
  }
  if (!ok()) return false;
  for (const auto missing : required) {
    if (!seen.contains(std::string(missing))) return missing_field(missing);
  }
  return true;
}

bool BodyReader::structure(std::string_view type, Names required, const ReadField& field) {
  return members(type, required, {}, field);
}

bool BodyReader::closed_structure(std::string_view type, Names known, const ReadField& field) {
  return members(type, {}, known, field);
}

bool BodyReader::whole(std::string_view type, Names required, const ReadField& field) {
  if (next() == Kind::array) {
    // Read to its end first, as the server would: it could be one that stands for a struct.
    return in_.skip_value() && in_.finish() &&
           mismatch("invalid type: sequence, expected struct " + std::string(type));
  }
  return members(type, required, {}, field) && in_.finish();
}

}  // namespace vmproxy::protocols::chroma
