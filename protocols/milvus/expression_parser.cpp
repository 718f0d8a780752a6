// The grammar: which operands and operators follow each other. What they make together: expression_part.h.
#include <algorithm>

#include "protocols/milvus/expression.h"
#include "protocols/milvus/expression_lexer.h"
#include "protocols/milvus/expression_part.h"

namespace vmproxy::protocols::milvus {
namespace {

using model::Filter;
using model::Value;
using Kind = Filter::Kind;
using Type = Part::Type;
using Answer = Result<Part>;

constexpr int depth_max = 100;
constexpr size_t path_max = 64;

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
  std::string_view last() const { return tokens_[at_ - 1].source; }
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
    return not_too_high(std::move(part));
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

  Answer membership() {
    auto left = sum();
    while (left) {
      const bool not_in =
          word("not") && tokens_[at_ + 1].kind == Token::Kind::word && tokens_[at_ + 1].spelling == "in";
      if (!not_in && !word("in")) break;
      at_ += not_in ? 2 : 1;
      auto list = symbol("{") ? primary() : array();
      if (!list) return list;
      left = not_too_high(member(not_in ? Kind::not_in : Kind::in, std::move(*left), std::move(*list)));
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
      left = not_too_high(computed(found->second, found->first, std::move(*left), std::move(*right), last()));
    }
    return left;
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
      return not_too_high(over(Kind::negate, std::move(*inner)));
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
      left = computed(Kind::power, "**", std::move(*left), std::move(*right), last());
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
      if (left->filter.kind != Kind::field && left->filter.kind != Kind::id)
        return wrong("like operation on complicated expr is unsupported");
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
      case Token::Kind::text: ++at_; return constant_of(token.value);
      case Token::Kind::name:
      case Token::Kind::meta: ++at_; return field(token);
      case Token::Kind::word: return word("exists") ? expression() : call();
      case Token::Kind::symbol: break;
      case Token::Kind::end: return unexpected();
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
        return Error(Code::unsupported,
                     "filter.depth: a path of more than " + std::to_string(path_max) + " steps");
      path.push_back(tokens_[at_ + 1].value);
      at_ += 2;
      if (!take("]")) return unexpected();
    }
    return token.kind == Token::Kind::meta ? meta_member(std::move(path), schema_)
                                           : named_field(token.spelling, std::move(path), schema_);
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
