#include <algorithm>
#include <cmath>

#include "protocols/milvus/expression.h"
#include "protocols/milvus/expression_lexer.h"
#include "protocols/milvus/rows.h"
#include "protocols/wire/json.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;

constexpr int depth_max = 100;
constexpr size_t path_max = 64;

// An expression and what it is, as the server's own type check sees it.
struct Part {
  enum class Type : uint8_t { condition, boolean, integer, floating, text, json, array, whole_json };
  Filter filter;
  Type type = Type::condition;
  DataType data = DataType::none;  // of a declared field
  bool constant = false;
  int height = 1;  // of `filter`
};
using Type = Part::Type;
using Answer = Result<Part>;

Error wrong(std::string message) {
  return {Code::invalid, std::move(message)};
}

std::string type_name(const Part& part) {
  if (part.data != DataType::none) return std::string(name_of(part.data));
  switch (part.type) {
    case Type::condition:
    case Type::boolean:
      return "Bool";
    case Type::integer:
      return "Int64";
    case Type::floating:
      return "Double";
    case Type::text:
      return "VarChar";
    case Type::array:
      return "Array";
    default:
      return "JSON";
  }
}

bool numeric(Type type) {
  return type == Type::integer || type == Type::floating;
}

Type type_of(const Value& value) {
  if (value.is_bool()) return Type::boolean;
  if (value.is_integer()) return Type::integer;
  if (value.is_number()) return Type::floating;
  if (value.is_string()) return Type::text;
  return value.is_array() ? Type::array : Type::json;
}

// A node over one or two parts. Conditions unless the caller says otherwise.
Part over(Kind kind, Part child) {
  Part part;
  part.height = child.height + 1;
  part.filter.kind = kind;
  part.filter.children.push_back(std::move(child.filter));
  return part;
}

Part over(Kind kind, Part left, Part right) {
  Part part;
  part.height = std::max(left.height, right.height) + 1;
  part.filter = Filter::make(kind, std::move(left.filter), std::move(right.filter));
  return part;
}

Part constant_of(Value value) {
  Part part;
  part.type = type_of(value);
  part.filter = Filter::literal_of(std::move(value));
  part.constant = true;
  return part;
}

// Milvus compares a FLOAT column as float32, the constant rounded to one: 0.1 equals what the column keeps of 0.1. The
// model compares as double. A constant beyond float32 stays: it is above or below all of the column either way.
// (Elements of arrays and members of JSON are compared as double there, too.)
void round_for(const Part& field, Value& constant) {
  const bool column = field.filter.kind == Kind::field && field.filter.path.empty();
  if (!column || field.data != DataType::float32 || !constant.is_number()) return;
  const double rounded = static_cast<float>(constant.number());
  if (!std::isfinite(rounded) || equal_number(constant, Value(rounded))) return;
  constant = rounded;
}

Type type_of(DataType type) {
  switch (type) {
    case DataType::boolean:
      return Type::boolean;
    case DataType::int8:
    case DataType::int16:
    case DataType::int32:
    case DataType::int64:
      return Type::integer;
    case DataType::float32:
    case DataType::float64:
      return Type::floating;
    case DataType::json:
      return Type::whole_json;
    case DataType::array:
      return Type::array;
    default:
      return Type::text;
  }
}

// The pattern in the words of Filter::like. In 2.3 only a '%' at the end means something.
Result<std::string> like_pattern(const std::string& pattern, const Grammar& grammar) {
  if (grammar.like_anywhere) return pattern;
  std::string text = pattern;
  const size_t percent = text.find('%');
  const bool prefix = percent != std::string::npos;
  if (prefix && percent + 1 != text.size()) {
    return wrong("unsupported pattern: " + pattern +
                 ", only prefix pattern match like ab% and equal match like ab(no wildcards) are supported");
  }
  if (prefix) text.pop_back();
  std::string out;
  for (const char c : text) {
    if (c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return prefix ? out + '%' : out;
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, const CollectionSchema& schema, const Grammar& grammar,
         const Templates& templates)
      : tokens_(std::move(tokens)), schema_(schema), grammar_(grammar), templates_(templates) {}

  Answer whole() {
    auto part = expression();
    if (!part) return part;
    if (now().kind != Token::Kind::end) return unexpected();
    return part;
  }

 private:
  const Token& now() const { return tokens_[at_]; }
  bool word(std::string_view spelling) const {
    return now().kind == Token::Kind::word && now().spelling == spelling;
  }
  bool symbol(std::string_view spelling) const {
    return now().kind == Token::Kind::symbol && now().spelling == spelling;
  }
  bool take_word(std::string_view spelling) {
    if (!word(spelling)) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view spelling) {
    if (!symbol(spelling)) return false;
    ++at_;
    return true;
  }
  Error unexpected() const {
    const auto& shown = now().kind == Token::Kind::end && at_ > 0 ? tokens_[at_ - 1] : now();
    return wrong("line 1:" + std::to_string(now().column) + " no viable alternative at input '" +
                 std::string(shown.source) + "'");
  }

  struct Deeper {
    explicit Deeper(int& depth) : held(depth) { ++held; }
    ~Deeper() { --held; }
    int& held;
  };

  static Error too_deep() { return wrong("the expression is nested too deeply"); }

  // Operators in a row nest to the left, one node for each, without any recursion here; but whatever walks,
  // copies or destroys the filter recurses.
  static Answer not_too_high(Answer answer) {
    if (answer && answer->height > depth_max) return too_deep();
    return answer;
  }

  Answer expression() {
    Deeper deeper(depth_);
    if (depth_ > depth_max) return too_deep();
    if (take_word("exists")) {
      auto field = expression();
      if (!field) return field;
      if (field->filter.kind != Kind::field || field->type != Type::json)
        return wrong("exists oerations are only supportted on json field, got:" + type_name(*field));
      return over(Kind::exists, std::move(*field));
    }
    return any();
  }

  Answer any() { return joined("or", Kind::any_of, &Parser::all); }
  Answer all() { return joined("and", Kind::all_of, &Parser::equality); }

  Answer joined(std::string_view by, Kind kind, Answer (Parser::*inner)()) {
    auto first = (this->*inner)();
    if (!first || !word(by)) return first;
    std::vector<Filter> children;
    int height = 0;
    for (;;) {
      if (first->type != Type::condition && !(first->type == Type::boolean && !first->constant))
        return wrong("'" + std::string(by) + "' can only be used between boolean expressions");
      Part child = as_condition(std::move(*first));
      height = std::max(height, child.height);
      children.push_back(std::move(child.filter));
      if (!take_word(by)) break;
      // EXISTS may stand behind "and": its operand then takes all that follows.
      first = word("exists") ? expression() : (this->*inner)();
      if (!first) return first;
    }
    Part part;
    part.height = height + 1;
    part.filter.kind = kind;
    part.filter.children = std::move(children);
    return part;
  }

  // A field of type Bool alone is a condition.
  static Part as_condition(Part part) {
    if (part.type == Type::condition) return part;
    return over(Kind::equal, std::move(part), constant_of(true));
  }

  Answer equality() {
    auto left = relation();
    while (left && (symbol("==") || symbol("!="))) {
      const Kind kind = take("==") ? Kind::equal : (++at_, Kind::not_equal);
      auto right = relation();
      if (!right) return right;
      left = not_too_high(compared(kind, std::move(*left), std::move(*right)));
    }
    return null_test(std::move(left));
  }

  Answer null_test(Answer left) {
    if (!left || !grammar_.null_tests || !word("is")) return left;
    ++at_;
    const bool negated = take_word("not");
    if (!take_word("null")) return unexpected();
    if (left->filter.kind != Kind::field) return wrong("null tests are only supported on fields");
    Part part = over(Kind::is_null, std::move(*left));
    if (negated) return over(Kind::negate, std::move(part));
    return part;
  }

  std::optional<Kind> relational() const {
    if (symbol("<")) return Kind::less;
    if (symbol("<=")) return Kind::less_equal;
    if (symbol(">")) return Kind::greater;
    if (symbol(">=")) return Kind::greater_equal;
    return std::nullopt;
  }

  static bool upward(Kind kind) { return kind == Kind::less || kind == Kind::less_equal; }

  Answer relation() {
    auto left = membership();
    while (left && relational()) {
      const Kind kind = *relational();
      ++at_;
      auto right = membership();
      if (!right) return right;
      const auto second = relational();
      // The operand in the middle is copied. A condition there is none of the server's ranges, and ranges
      // within ranges would double with every level.
      if (second && upward(*second) == upward(kind) && left->constant &&
          right->filter.kind != Kind::literal && right->type != Type::condition) {
        ++at_;
        auto third = membership();
        if (!third) return third;
        Part middle = *right;
        auto lower = compared(kind, std::move(*left), std::move(*right));
        if (!lower) return lower;
        auto upper = compared(*second, std::move(middle), std::move(*third));
        if (!upper) return upper;
        left = not_too_high(over(Kind::all_of, std::move(*lower), std::move(*upper)));
        continue;
      }
      left = not_too_high(compared(kind, std::move(*left), std::move(*right)));
    }
    return left;
  }

  Answer compared(Kind kind, Part left, Part right) {
    if (left.constant && right.constant) return wrong("comparison between two constants is not supported");
    for (const Part* side : {&left, &right}) {
      if (side->type == Type::whole_json) return wrong("can not comparisons jsonField directly");
    }
    const auto clash = [&] {
      return wrong("comparisons between " + type_name(left) + ", element_type: None and " + type_name(right) +
                   " elementType: None are not supported");
    };
    const bool json = left.type == Type::json || right.type == Type::json;
    if (!json) {
      if (numeric(left.type) != numeric(right.type)) return clash();
      if (!numeric(left.type) && left.type != right.type) return clash();
      if (left.type == Type::condition ||
          (left.type == Type::boolean && kind != Kind::equal && kind != Kind::not_equal))
        return clash();
      const Part& field = left.constant ? right : left;
      const Part& constant = left.constant ? left : right;
      if (constant.constant && constant.type == Type::floating && field.type == Type::integer &&
          field.data != DataType::none) {
        std::string shown = wire::to_json(constant.filter.value);
        if (shown.ends_with(".0")) shown.resize(shown.size() - 2);
        return wrong("cannot cast value to " + type_name(field) + ", value: float_val:" + shown + " ");
      }
    }
    if (left.constant) round_for(right, left.filter.value);
    if (right.constant) round_for(left, right.filter.value);
    // One form for "1 < id" and "id > 1": the constant on the right.
    Part part = left.constant ? over(mirrored(kind), std::move(right), std::move(left))
                              : over(kind, std::move(left), std::move(right));
    part.filter.absent_matches = kind == Kind::not_equal && json;
    return part;
  }

  Answer membership() {
    auto left = sum();
    while (left) {
      const bool not_in =
          word("not") && tokens_[at_ + 1].kind == Token::Kind::word && tokens_[at_ + 1].spelling == "in";
      if (!not_in && !word("in")) break;
      at_ += not_in ? 2 : 1;
      auto list = symbol("{") ? primary() : array();
      if (!list) return list;
      if (list->type != Type::array || !list->constant)
        return wrong("the right of 'in' must be a list of constants");
      if (left->constant) return wrong("the left of 'in' must be a field");
      if (left->type == Type::whole_json) return wrong("can not comparisons jsonField directly");
      if (left->type != Type::json) {
        for (const Value& value : list->filter.value.array()) {
          const Type type = type_of(value);
          const bool fits = type == left->type || (left->type == Type::floating && type == Type::integer);
          if (!fits) {
            return wrong("value '" + wire::to_json(value) + "' in list cannot be casted to " +
                         type_name(*left));
          }
        }
      }
      if (left->data == DataType::float32) {
        for (Value& value : list->filter.value.array()) round_for(*left, value);
      }
      const bool json = left->type == Type::json;
      Part part = over(not_in ? Kind::not_in : Kind::in, std::move(*left), std::move(*list));
      part.filter.absent_matches = not_in && json;
      left = not_too_high(std::move(part));
    }
    return left;
  }

  Answer sum() { return folded({{"+", Kind::add}, {"-", Kind::subtract}}, &Parser::product); }
  Answer product() {
    return folded({{"*", Kind::multiply}, {"/", Kind::divide}, {"%", Kind::modulo}}, &Parser::unary);
  }

  Answer folded(std::initializer_list<std::pair<std::string_view, Kind>> operators,
                Answer (Parser::*inner)()) {
    auto left = (this->*inner)();
    while (left && now().kind == Token::Kind::symbol) {
      const auto* found =
          std::ranges::find_if(operators, [&](const auto& o) { return o.first == now().spelling; });
      if (found == operators.end()) break;
      ++at_;
      auto right = (this->*inner)();
      if (!right) return right;
      left = not_too_high(computed(found->second, found->first, std::move(*left), std::move(*right)));
    }
    return left;
  }

  Answer computed(Kind kind, std::string_view spelling, Part left, Part right) {
    for (const Part* side : {&left, &right}) {
      if (!numeric(side->type) && side->type != Type::json)
        return wrong("'" + std::string(spelling) +
                     "' can only be used between integer or floating or json field expressions");
    }
    if (kind == Kind::modulo && (left.type == Type::floating || right.type == Type::floating))
      return wrong("modulo can only apply on integer types");
    if (kind == Kind::power && !(left.constant && right.constant))
      return wrong("power can only apply on constants: " + std::string(tokens_[at_ - 1].source));
    const bool zero = right.constant && right.filter.value.is_number() && right.filter.value.number() == 0;
    if (zero && (kind == Kind::divide || kind == Kind::modulo))
      return wrong("cannot divide or modulo by zero");
    if (left.constant && right.constant)
      return constant_of(fold(kind, left.filter.value, right.filter.value));
    if (!left.constant && !right.constant)
      return wrong("not supported to do arithmetic operations between multiple fields");
    const Type type = left.type == Type::json || right.type == Type::json           ? Type::json
                      : left.type == Type::floating || right.type == Type::floating ? Type::floating
                                                                                    : Type::integer;
    Part part = over(kind, std::move(left), std::move(right));
    part.type = type;
    return part;
  }

  static Value fold(Kind kind, const Value& left, const Value& right) {
    const auto* a = std::get_if<int64_t>(&left.data);
    const auto* b = std::get_if<int64_t>(&right.data);
    int64_t result = 0;
    if (a != nullptr && b != nullptr && kind != Kind::power) {
      const auto x = static_cast<uint64_t>(*a), y = static_cast<uint64_t>(*b);
      switch (kind) {
        case Kind::add:
          return static_cast<int64_t>(x + y);
        case Kind::subtract:
          return static_cast<int64_t>(x - y);
        case Kind::multiply:
          return static_cast<int64_t>(x * y);
        case Kind::divide:
          result = *b == -1 ? static_cast<int64_t>(0 - x) : *a / *b;
          return result;
        default:
          return *b == -1 ? int64_t{0} : *a % *b;
      }
    }
    const double x = left.number();
    const double y = right.number();
    switch (kind) {
      case Kind::add:
        return x + y;
      case Kind::subtract:
        return x - y;
      case Kind::multiply:
        return x * y;
      case Kind::divide:
        return x / y;
      default:
        return std::pow(x, y);
    }
  }

  Answer unary() {
    Deeper deeper(depth_);
    if (depth_ > depth_max) return too_deep();
    if (take_word("not")) {
      auto inner = unary();
      if (!inner) return inner;
      if (inner->constant && inner->type == Type::boolean)
        return constant_of(!std::get<bool>(inner->filter.value.data));
      if (inner->type != Type::condition) return wrong("not op can only be applied on boolean expression");
      return over(Kind::negate, std::move(*inner));
    }
    const bool minus = symbol("-");
    if (!minus && !symbol("+")) return power();
    ++at_;
    auto inner = unary();
    if (!inner) return inner;
    if (!inner->constant) return wrong(std::string("unexpected op: ") + (minus ? "-" : "+"));
    Value& value = inner->filter.value;
    if (!value.is_number()) return wrong("unexpected op: -");
    if (!minus) return inner;
    if (const auto* large = std::get_if<uint64_t>(&value.data)) {
      if (*large == uint64_t{1} << 63) return constant_of(INT64_MIN);
    }
    if (const auto* number = std::get_if<int64_t>(&value.data)) {
      return constant_of(static_cast<int64_t>(0 - static_cast<uint64_t>(*number)));
    }
    return constant_of(-value.number());
  }

  Answer power() {
    auto left = like();
    while (left && symbol("**")) {
      ++at_;
      auto right = like();
      if (!right) return right;
      left = computed(Kind::power, "**", std::move(*left), std::move(*right));
    }
    return left;
  }

  Answer like() {
    auto left = primary();
    while (left && word("like")) {
      ++at_;
      if (now().kind != Token::Kind::text && !symbol("{")) return unexpected();
      auto pattern = primary();
      if (!pattern) return pattern;
      if (pattern->type != Type::text) return wrong("the pattern of 'like' must be a string");
      if (left->type != Type::text && left->type != Type::json)
        return wrong("like operation on non-string or no-json field is unsupported");
      auto rewritten = like_pattern(pattern->filter.value.string(), grammar_);
      if (!rewritten) return rewritten.error();
      left = over(Kind::like, std::move(*left), constant_of(std::move(*rewritten)));
    }
    return left;
  }

  Answer primary() {
    Deeper deeper(depth_);
    if (depth_ > depth_max) return too_deep();
    const Token token = now();
    switch (token.kind) {
      case Token::Kind::number:
      case Token::Kind::boolean:
      case Token::Kind::text:
        ++at_;
        return constant_of(token.value);
      case Token::Kind::name:
      case Token::Kind::meta:
        ++at_;
        return field(token);
      case Token::Kind::word:
        return word("exists") ? expression() : call();
      case Token::Kind::symbol:
        break;
      case Token::Kind::end:
        return unexpected();
    }
    if (symbol("[")) return array();
    if (take("(")) {
      auto inner = expression();
      if (!inner) return inner;
      if (!take(")")) return unexpected();
      return inner;
    }
    if (take("{")) {
      const std::string name = now().spelling;
      if (now().kind != Token::Kind::name) return unexpected();
      ++at_;
      if (!take("}")) return unexpected();
      const auto found = templates_.find(name);
      if (found == templates_.end())
        return wrong("the value of expression template variable name {" + name + "} is not found");
      return constant_of(found->second);
    }
    return unexpected();
  }

  Answer array() {
    if (!take("[")) return unexpected();
    model::Array values;
    while (!take("]")) {
      auto value = sum();
      if (!value) return value;
      if (!value->constant) return wrong("array element type must be constant");
      values.push_back(std::move(value->filter.value));
      if (!take(",") && !symbol("]")) return unexpected();
    }
    return constant_of(std::move(values));
  }

  // field  field["member"][0]  $meta["member"]
  Answer field(const Token& token) {
    std::vector<Value> path;
    while (symbol("[") &&
           (tokens_[at_ + 1].kind == Token::Kind::text || tokens_[at_ + 1].value.is_integer())) {
      if (path.size() == path_max)
        return Error(Code::unsupported, "filter.depth: a path of more than " + std::to_string(path_max) + " steps");
      path.push_back(tokens_[at_ + 1].value);
      at_ += 2;
      if (!take("]")) return unexpected();
    }
    Part part;
    if (token.kind == Token::Kind::meta) {
      if (path.empty() || !path[0].is_string()) return wrong("can not comparisons jsonField directly");
      const std::string name = path[0].string();
      path.erase(path.begin());
      part.type = Type::json;
      part.filter = Filter::field_of(name_from_meta(name, schema_), std::move(path));
      return part;
    }
    const FieldSchema* declared = schema_.find(token.spelling);
    if (declared == nullptr) {
      if (!schema_.dynamic) return wrong("field " + token.spelling + " not exist");
      part.type = Type::json;
      part.filter = Filter::field_of(token.spelling, std::move(path));
      return part;
    }
    if (is_vector(declared->type))
      return wrong("filter on a vector field is not supported: " + declared->name);
    if (declared->primary) {
      if (!path.empty())
        return wrong(std::string(name_of(declared->type)) + " data type not supported accessed with []");
      part.filter = Filter::record_id();
    } else {
      const bool inside = !path.empty();
      if (inside && declared->type != DataType::json && declared->type != DataType::array)
        return wrong(std::string(name_of(declared->type)) + " data type not supported accessed with []");
      part.filter = Filter::field_of(declared->name, std::move(path));
      if (inside) {
        part.type = declared->type == DataType::json ? Type::json : type_of(declared->element);
        part.data = declared->type == DataType::json ? DataType::none : declared->element;
        return part;
      }
    }
    part.data = declared->type;
    part.type = type_of(declared->type);
    return part;
  }

  Answer call() {
    static constexpr std::pair<std::string_view, Kind> functions[] = {
        {"json_contains", Kind::array_contains},          {"json_contains_all", Kind::array_contains_all},
        {"json_contains_any", Kind::array_contains_any},  {"array_contains", Kind::array_contains},
        {"array_contains_all", Kind::array_contains_all}, {"array_contains_any", Kind::array_contains_any}};
    const std::string name = now().spelling;
    if (name == "text_match" || name == "phrase_match" || name == "random_sample")
      return Error(Code::unsupported, "filter." + name + ": only Milvus itself can evaluate this function");
    const auto* function = std::ranges::find_if(functions, [&](const auto& f) { return f.first == name; });
    if (name != "array_length" && function == std::end(functions)) return unexpected();
    ++at_;
    if (!take("(")) return unexpected();
    auto field = primary();
    if (!field) return field;
    const bool fits =
        field->filter.kind == Kind::field &&
        (field->type == Type::json || field->type == Type::whole_json || field->type == Type::array);
    if (!fits)
      return wrong(name +
                   " operation are only supported on json or array fields now, got: " + type_name(*field));
    if (name == "array_length") {
      if (!take(")")) return unexpected();
      Part part = over(Kind::array_length, std::move(*field));
      part.type = Type::integer;
      return part;
    }
    if (!take(",")) return unexpected();
    auto value = sum();
    if (!value) return value;
    if (!take(")")) return unexpected();
    if (!value->constant) return wrong("the elements of " + name + " must be constants");
    if (function->second != Kind::array_contains && value->type != Type::array)
      return wrong(name + " operation element must be an array");
    return over(function->second, std::move(*field), std::move(*value));
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  const CollectionSchema& schema_;
  const Grammar& grammar_;
  const Templates& templates_;
};

}  // namespace

Grammar Grammar::of_version(std::string_view version) {
  Grammar grammar;
  if (version.starts_with("v")) version.remove_prefix(1);
  if (version.starts_with("2.2") || version.starts_with("2.3")) grammar = {false, true, false};
  if (version.starts_with("2.4")) grammar = {true, true, false};
  if (version.find("Lite") != version.npos) grammar.exists = false;
  return grammar;
}

Result<Filter> parse_expression(std::string_view text, const CollectionSchema& schema, const Grammar& grammar,
                                const Templates& templates) {
  const auto behind = [&](const Error& error) {
    if (error.code != Code::invalid) return error;
    return wrong("cannot parse expression: " + std::string(text) + ", error: " + error.message);
  };
  auto tokens = tokens_of(text);
  if (!tokens) return behind(tokens.error());
  auto part = Parser(std::move(*tokens), schema, grammar, templates).whole();
  if (!part) return behind(part.error());
  if (part->type == Type::condition) return std::move(part->filter);
  return wrong("predicate is not a boolean expression: " + std::string(text) +
               ", data type: " + type_name(*part));
}

}  // namespace vmproxy::protocols::milvus
