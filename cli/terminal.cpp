#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

namespace vmproxy::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string value = variable(name);
    if (value.empty()) continue;
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return value.find("UTF-8") != std::string::npos || value.find("UTF8") != std::string::npos;
  }
  return false;
}

bool starts_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

}  // namespace

Streams standard_streams() {
  Streams streams{std::cout, std::cerr, std::cin};
  streams.out_is_tty = ::isatty(STDOUT_FILENO) == 1;
  streams.err_is_tty = ::isatty(STDERR_FILENO) == 1;
  streams.in_is_tty = ::isatty(STDIN_FILENO) == 1;
  winsize size{};
  if (::ioctl(streams.out_is_tty ? STDOUT_FILENO : STDERR_FILENO, TIOCGWINSZ, &size) == 0 &&
      size.ws_col >= 40)
    streams.width = size.ws_col;
  streams.colour_wanted = variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  streams.unicode = locale_is_utf8();
  return streams;
}

void Terminal::say(std::string_view line) {
  clear_progress();
  streams_.err << line << '\n' << std::flush;
}

void Terminal::progress(const std::string& line, bool worth_a_line) {
  if (streams_.err_is_tty) {
    streams_.err << '\r' << cut(line, streams_.width - 1) << "\x1b[K" << std::flush;
    live_ = true;
  } else if (worth_a_line) {
    streams_.err << line << '\n' << std::flush;
  }
}

void Terminal::clear_progress() {
  if (live_) streams_.err << "\r\x1b[K" << std::flush;
  live_ = false;
}

bool Terminal::confirm(const std::string& question, const std::string& expected) {
  if (!can_ask()) return false;
  clear_progress();
  streams_.err << question << ' ' << std::flush;
  std::string answer;
  return std::getline(streams_.in, answer) && answer == expected;
}

void Terminal::clear_screen() {
  if (streams_.out_is_tty) streams_.out << "\x1b[H\x1b[2J";
}

std::string Terminal::paint(std::string_view text, Colour colour) const {
  static constexpr const char* codes[] = {"", "1", "2", "1;31", "1;32", "1;33"};
  if (!streams_.out_is_tty || !streams_.colour_wanted || colour == Colour::plain) return std::string(text);
  return "\x1b[" + std::string(codes[static_cast<int>(colour)]) + "m" + std::string(text) + "\x1b[0m";
}

size_t columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_character));
}

std::string cut(const std::string& text, size_t width) {
  if (columns(text) <= width || width < 4) return text;
  std::string out;
  size_t used = 0;
  for (const char c : text) {
    if (starts_character(c) && used++ == width - 3) break;
    out += c;
  }
  return out + "...";
}

std::string wrap(const std::string& text, size_t width, size_t indent) {
  std::string out;
  size_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (column > 0 && column + 1 + columns(word) > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (at > 0) {
      out += ' ';
      ++column;
    }
    out += word;
    column += columns(word);
    at = end + 1;
  }
  return out;
}

}  // namespace vmproxy::cli
