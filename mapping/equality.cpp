#include "mapping/equality.h"

#include <cmath>

namespace vmproxy::mapping {
namespace {

using model::DenseVector;
using model::Object;
using model::SparseVector;
using model::Value;

constexpr double tolerance = 1e-6;

std::string shown(const Value& value) {
  struct Show {
    std::string operator()(std::nullptr_t) const { return "null"; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(int64_t v) const { return std::to_string(v); }
    std::string operator()(uint64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const {
      char text[40];
      std::snprintf(text, sizeof text, "%.17g", v);
      const std::string digits(text);
      return digits.find_first_of(".en") == std::string::npos ? digits + ".0" : digits;
    }
    std::string operator()(const std::string& v) const {
      return "'" + (v.size() > 60 ? v.substr(0, 60) + "..." : v) + "'";
    }
    std::string operator()(const model::Array& v) const { return "an array of " + std::to_string(v.size()); }
    std::string operator()(const Object& v) const { return "an object of " + std::to_string(v.size()); }
  };
  return std::visit(Show{}, value.data);
}

std::string named(std::string_view part, const std::string& name) {
  return name.empty() ? std::string(part) : std::string(part) + "." + name;
}

double length(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

// |a - b| against the longer of both; after scaling each to length 1 when only directions count.
bool close(const std::vector<float>& a, const std::vector<float>& b, bool directions_only) {
  if (a.size() != b.size()) return false;
  const double length_a = length(a), length_b = length(b);
  const bool scale = directions_only && length_a > 0 && length_b > 0;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = scale ? a[i] / length_a - b[i] / length_b : static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
  }
  const double distance = std::sqrt(sum);
  const double limit = scale ? tolerance : tolerance * std::max(length_a, length_b);
  return distance <= limit;  // false when a NaN is among them
}

std::optional<std::string> vector_difference(const std::string& name, const model::Vector& a,
                                             const model::Vector& b, bool directions_only) {
  const std::string part = named("vector", name);
  if (a.index() != b.index()) return part + ": one is dense, the other sparse";
  if (const auto* x = std::get_if<DenseVector>(&a)) {
    const auto& y = std::get<DenseVector>(b);
    if (x->size() != y.size())
      return part + ": dimension " + std::to_string(x->size()) + " / " + std::to_string(y.size());
    return close(*x, y, directions_only) ? std::nullopt : std::optional(part + ": values differ");
  }
  const auto& x = std::get<SparseVector>(a);
  const auto& y = std::get<SparseVector>(b);
  if (x.indices != y.indices) return part + ": indices differ";
  return close(x.values, y.values, directions_only) ? std::nullopt : std::optional(part + ": values differ");
}

std::optional<std::string> metadata_difference(const Object& a, const Object& b) {
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end()) return named("metadata", name) + ": " + shown(value) + " / absent";
    if (value != other->second)
      return named("metadata", name) + ": " + shown(value) + " / " + shown(other->second);
  }
  for (const auto& [name, value] : b) {
    if (!a.contains(name)) return named("metadata", name) + ": absent / " + shown(value);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> difference(const model::Record& a, const model::Record& b, bool directions_only) {
  if (a.key != b.key) return "id: " + model::to_string(a.key.id) + " / " + model::to_string(b.key.id);
  for (const auto& [name, vector] : a.vectors) {
    const auto other = b.vectors.find(name);
    if (other == b.vectors.end()) return named("vector", name) + ": present / absent";
    if (auto found = vector_difference(name, vector, other->second, directions_only)) return found;
  }
  for (const auto& [name, vector] : b.vectors) {
    if (!a.vectors.contains(name)) return named("vector", name) + ": absent / present";
  }
  if (a.document != b.document) {
    if (a.document && b.document) return "document: texts differ";
    return a.document ? "document: present / absent" : "document: absent / present";
  }
  if (a.metadata.has_value() != b.metadata.has_value()) {
    return a.metadata ? "metadata: present / absent" : "metadata: absent / present";
  }
  return a.metadata ? metadata_difference(*a.metadata, *b.metadata) : std::nullopt;
}

}  // namespace vmproxy::mapping
