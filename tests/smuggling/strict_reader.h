// A second reader of HTTP/1.1, which shares no line with net/ and knows the strict grammar alone: what a server of another
// make could take from the same bytes at most.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmproxy::smuggling {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct ReadRequest {
  std::string method, target;
  Fields fields;  // in order, as they came, without the blanks around values
  bool chunked = false;
  std::string body;  // without its framing
};

// What stands in the bytes of one connection.
struct ReadConnection {
  std::vector<ReadRequest> requests;
  std::string rest;     // begins a request that is not whole
  std::string problem;  // why the rest can be none; empty: it can
};

ReadConnection read_strictly(std::string_view bytes);

}  // namespace vmproxy::smuggling
