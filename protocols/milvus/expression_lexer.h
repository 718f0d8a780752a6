// Tokens of an expression.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/value.h"

namespace vmproxy::protocols::milvus {

struct Token {
  enum class Kind : uint8_t { end, number, boolean, text, name, meta, word, symbol };
  Kind kind = Kind::end;
  std::string spelling;  // of a word in lower case, of a symbol as it is: && || ! are "and" "or" "not"
  model::Value value;    // number, boolean, text
  size_t column = 0;
  std::string_view source;
};

// A list of half a million keys, and about 150 MB while it is read. The server has no bound but its 64 MiB for a
// message, of which every other byte can be a token.
constexpr size_t tokens_max = 1'000'000;

// Unsupported ("filter.size: ...") beyond tokens_max.
Result<std::vector<Token>> tokens_of(std::string_view text);

}  // namespace vmproxy::protocols::milvus
