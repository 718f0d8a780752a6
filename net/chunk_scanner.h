// Finds the end of a chunked body and checks every byte of its framing before it may go on. No I/O.
//   chunk = HEX{1,15} [";" extension] CRLF data CRLF; the last has size 0; then trailer fields and an empty
//   line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vmproxy::net {

class ChunkScanner {
 public:
  enum class Status { need_more, complete, bad };
  struct Step {
    Status status;
    size_t consumed;  // bytes of this message; with `bad`, those before the byte that is wrong
  };
  // Appends the data without its framing to `decoded` when given.
  Step scan(std::string_view bytes, std::string* decoded = nullptr);

 private:
  enum class State {
    size_first,
    size,
    extension,
    size_feed,
    data,
    data_return,
    data_feed,
    trailer,
    trailer_feed,
    end_feed
  };
  bool accept(char c);
  bool end_trailer_line();

  State state_ = State::size_first;
  uint64_t remaining_ = 0;
  unsigned digits_ = 0;
  size_t extension_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  std::string trailer_line_;
  bool complete_ = false;
};

}  // namespace vmproxy::net
