// HTTP messages as values, the same for HTTP/1.1 and HTTP/2. No I/O, no Asio: protocols/ may use this header
// freely.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmproxy::net {

// Header fields in order; names compare without case. HTTP/2 pseudo-headers are not in here.
class Headers {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string, std::string>> fields) : fields_(fields) {}

  // First value, or nothing. The view lives as long as this object is unchanged.
  std::optional<std::string_view> find(std::string_view name) const;
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void add(std::string_view name, std::string_view value) { fields_.emplace_back(name, value); }
  void remove(std::string_view name);
  void reserve(size_t fields) { fields_.reserve(fields); }
  // For one object that holds many messages' fields in turn: field `index` becomes this one, in its old memory.
  // In order from 0, then truncate() to their number.
  void put(size_t index, std::string_view name, std::string_view value) {
    if (index == fields_.size()) return add(name, value);
    fields_[index].first.assign(name);
    fields_[index].second.assign(value);
  }
  void truncate(size_t fields) { fields_.resize(fields); }
  const Fields& all() const { return fields_; }

 private:
  Fields fields_;
};

bool equal_ignoring_case(std::string_view a, std::string_view b);

// By RFC 9110, 9.2.1, of those that databases' APIs use: the request changes nothing.
inline bool safe_method(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

struct RequestHead {
  std::string method;
  std::string target;  // path and query as they came
  Headers headers;
  bool http2 = false;
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
};

struct Request {
  std::string method;
  std::string target;
  Headers headers;
  std::string body;  // transfer coding removed; content coding as it came
  std::string_view path() const { return std::string_view(target).substr(0, target.find('?')); }
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;  // transfer coding removed
  Headers trailers;  // HTTP/2 only
};

// "a=1&b=2" of a target's query, percent-decoded. First value of the name.
std::optional<std::string> query_parameter(std::string_view target, std::string_view name);
std::string percent_decode(std::string_view text);
std::string percent_encode(std::string_view text);  // all but unreserved characters

}  // namespace vmproxy::net
