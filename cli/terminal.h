// Terminal: where a command speaks. Data to `out`, talk to `err`; colour, live lines and questions only for
// people.
#pragma once

#include <atomic>
#include <functional>
#include <istream>
#include <ostream>
#include <string>
#include <string_view>

namespace vmproxy::cli {

struct Streams {
  std::ostream& out;
  std::ostream& err;
  std::istream& in;
  bool out_is_tty = false;
  bool err_is_tty = false;
  bool in_is_tty = false;
  size_t width = 80;
  bool colour_wanted = true;  // no NO_COLOR, TERM is not dumb
  bool unicode = true;        // the locale's encoding is UTF-8
};
// Of this process.
Streams standard_streams();

enum class Colour { plain, bold, dim, red, green, yellow };

class Terminal {
 public:
  explicit Terminal(Streams streams) : streams_(streams) {}

  std::ostream& out() { return streams_.out; }
  // A line of talk. Clears a live line first.
  void say(std::string_view line);
  // Progress: on a terminal one line that is redrawn; else a line of its own, when `worth_a_line`.
  void progress(const std::string& line, bool worth_a_line);
  void clear_progress();
  // Asks for exactly `expected`. Nobody to ask: false.
  bool confirm(const std::string& question, const std::string& expected);
  bool can_ask() const { return streams_.in_is_tty && streams_.err_is_tty; }
  // The screen is cleared before the next output of --watch; only where out is a terminal.
  void clear_screen();

  std::string paint(std::string_view text, Colour colour) const;  // for out
  bool out_is_tty() const { return streams_.out_is_tty; }
  size_t width() const { return streams_.width; }
  bool unicode() const { return streams_.unicode; }

 private:
  Streams streams_;
  bool live_ = false;
};

// Cuts to `width` characters, with "..." at the end.
std::string cut(const std::string& text, size_t width);
// Columns that UTF-8 text takes (one per character; nothing we print is wider).
size_t columns(std::string_view text);
// Breaks at spaces; lines after the first are indented.
std::string wrap(const std::string& text, size_t width, size_t indent);

}  // namespace vmproxy::cli
