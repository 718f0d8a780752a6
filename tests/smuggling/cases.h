// The cases: what one client says on one connection, made from a number by one of the mutators, and what has to come of it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace vmproxy::smuggling {

enum class Expected {
  refused,   // the database gets no whole request of it; HTTP/1: 400, and the connection closes
  accepted,  // it is unusual and has one meaning
  either,    // refused or accepted, but nothing in between
};

struct Case {
  std::string mutator;
  Expected expected = Expected::either;
  std::string bytes;  // of the whole connection; HTTP/2: behind the preface and SETTINGS
  std::string body;   // HTTP/2: of the request
};

// A number's own choices.
class Choices {
 public:
  explicit Choices(uint64_t seed) : random_(seed) {}
  size_t below(size_t bound) { return static_cast<size_t>(random_() % bound); }
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[below(all.size())];
  }
  std::string one_of(std::initializer_list<const char*> all) { return *(all.begin() + below(all.size())); }

 private:
  std::mt19937_64 random_;
};

// Targets are unique: "/PREFIX/first" is the mutated request, "/PREFIX/next" a plain one behind it, "/PREFIX/smuggled"
// stands where it is no request and must never become one.
size_t http1_mutators();
Case http1_case(size_t mutator, const std::string& prefix, Choices& choices);
size_t http2_mutators();
Case http2_case(size_t mutator, const std::string& prefix, Choices& choices);

}  // namespace vmproxy::smuggling
