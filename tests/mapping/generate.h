// Random values, records and filters for property tests. Small alphabets on purpose: names and values must
// meet.
#pragma once

#include <cmath>

#include "base/random.h"
#include "model/filter.h"
#include "model/record.h"

namespace vmproxy::generate {

// One seed, one sequence: RapidCheck gives the seed and shrinks it, the rest follows.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  size_t below(size_t bound) { return random_.below(bound); }
  bool chance(size_t percent) { return below(100) < percent; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(choices.size()));
  }

  std::string name() {
    return one_of<std::string>({"a", "b", "c", "a.b", "a~", "0", "", "document", "document~", "a~null"});
  }
  std::string text() {
    return one_of<std::string>(
        {"", "a", "b", "ab", "A", "7", "a%b", "a_b", "a\\b", "\xc3\xa9t\xc3\xa9", "line\nbreak", "z\"q'"});
  }
  int64_t integer() {
    return one_of<int64_t>({0, 1, -1, 2, 7, 1000, INT64_MAX, INT64_MIN, 9007199254740993});
  }
  uint64_t large() {
    return one_of<uint64_t>({1ULL << 63, (1ULL << 63) + 1, UINT64_MAX, 10000000000000000000ULL});
  }
  double real() {
    return one_of<double>(
        {0.0, 1.0, -1.0, 0.5, 2.0, 7.0, 0.1, 1e300, -1e300, 1e-300, 1e18, 0x1p63, 1e22, 123456.789});
  }

  model::Value scalar(bool u64 = true) {
    switch (below(u64 ? 6 : 5)) {
      case 0: return model::Value(chance(50));
      case 1: return model::Value(integer());
      case 2: return model::Value(real());
      case 3:
      case 4: return model::Value(text());
      default: return model::Value(large());
    }
  }
  model::Array scalars_of_one_type() {
    model::Array array;
    const size_t type = below(4);
    for (size_t i = 1 + below(3); i > 0; --i) {
      array.push_back(type == 0   ? model::Value(chance(50))
                      : type == 1 ? model::Value(integer())
                      : type == 2 ? model::Value(real())
                                  : model::Value(text()));
    }
    return array;
  }
  model::Value value(int depth = 3) {
    if (depth == 0 || chance(60)) return chance(15) ? model::Value(nullptr) : scalar();
    if (chance(30)) return scalars_of_one_type();
    if (chance(40)) {
      model::Array array;
      for (size_t i = below(4); i > 0; --i) array.push_back(value(depth - 1));
      return array;
    }
    return object(depth - 1);
  }
  model::Object object(int depth = 3) {
    model::Object object;
    for (size_t i = below(4); i > 0; --i) object[name()] = value(depth);
    return object;
  }
  model::Record record(model::IdKind kind = model::IdKind::string) {
    model::Record record;
    record.key.id = id(kind);
    if (chance(80)) record.metadata = object();
    if (chance(70)) record.document = text();
    if (chance(80))
      record.vectors[""] = model::DenseVector{static_cast<float>(real() > 1e30 ? 1 : 0.25), 1.0F, -2.5F};
    return record;
  }
  model::Id id(model::IdKind kind) {
    switch (kind) {
      case model::IdKind::u64: return {chance(50) ? below(5) : large()};
      case model::IdKind::i64: return {integer()};
      case model::IdKind::uuid: {
        model::Uuid uuid;
        for (auto& byte : uuid.bytes) byte = static_cast<uint8_t>(below(3));
        return {uuid};
      }
      case model::IdKind::string:
        return {one_of<std::string>(
            {"a", "b", "7", "07", "00000000-0000-0000-0000-000000000000", "a:b", "\xc3\xa9"})};
    }
    return {};
  }

  // The field side of a comparison.
  model::Filter field() {
    std::vector<model::Value> path;
    while (chance(25))
      path.push_back(chance(80) ? model::Value(name()) : model::Value(static_cast<int64_t>(below(2))));
    return model::Filter::field_of(name(), std::move(path));
  }
  model::Value literal() { return chance(85) ? scalar() : value(2); }

  model::Filter comparison() {
    using Kind = model::Filter::Kind;
    const auto kind = one_of<Kind>({Kind::equal, Kind::equal, Kind::not_equal, Kind::less, Kind::less_equal,
                                    Kind::greater, Kind::greater_equal, Kind::in, Kind::not_in, Kind::like,
                                    Kind::contains_text, Kind::array_contains, Kind::array_contains_all,
                                    Kind::array_contains_any, Kind::exists, Kind::is_null});
    if (kind == Kind::exists || kind == Kind::is_null) {
      model::Filter filter;
      filter.kind = kind;
      filter.children.push_back(chance(90) ? field() : model::Filter::document_text());
      return filter;
    }
    model::Value right = literal();
    if (kind == Kind::in || kind == Kind::not_in || kind == Kind::array_contains_all ||
        kind == Kind::array_contains_any) {
      model::Array list;
      for (size_t i = below(4); i > 0; --i) list.push_back(literal());
      right = std::move(list);
    }
    if (kind == Kind::like)
      right = one_of<std::string>({"%", "a%", "_", "%b", "a\\%b", "a\\_b", "%\xc3\xa9", "", "a\\\\b"});
    if (kind == Kind::contains_text) right = text();
    model::Filter left = chance(85) ? field() : model::Filter::document_text();
    auto filter = model::Filter::make(kind, std::move(left), model::Filter::literal_of(std::move(right)));
    filter.absent_matches = chance(30);
    filter.numbers_by_value = chance(70);
    return filter;
  }
  model::Filter filter(int depth = 2) {
    if (depth == 0 || chance(50)) return comparison();
    if (chance(25)) return model::Filter::not_(filter(depth - 1));
    std::vector<model::Filter> children;
    for (size_t i = below(4); i > 0; --i) children.push_back(filter(depth - 1));
    return chance(50) ? model::Filter::all(std::move(children)) : model::Filter::any(std::move(children));
  }

 private:
  Random random_;
};

}  // namespace vmproxy::generate
