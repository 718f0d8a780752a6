#include "config/reference.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace vmproxy::config {
namespace {

// Not 0x04 (yaml-cpp's end of file), nor tab, newline, carriage return.
constexpr std::string_view shown = "{}:,[]# &*!|>%@`";
constexpr std::string_view hidden = "\x01\x02\x03\x05\x06\x07\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17";
static_assert(shown.size() == hidden.size());

constexpr uintmax_t file_bytes_max = 64 * 1024;

bool is_name(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

// A secret's file usually ends with one newline that is no part of it.
Result<std::string> read_secret(const std::filesystem::path& path) {
  std::error_code failed;
  const auto size = std::filesystem::file_size(path, failed);
  if (failed) return Error(Code::io, "cannot read " + path.string() + ": " + failed.message());
  if (size > file_bytes_max) return Error(Code::invalid, path.string() + " is larger than 64 KiB");
  std::ifstream stream(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  if (!stream && !stream.eof()) return Error(Code::io, "cannot read " + path.string());
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

Result<std::string> resolve(std::string_view inside, const std::string& directory, const Lookup& variable) {
  if (inside.starts_with("file:")) {
    const std::string_view path = inside.substr(5);
    if (path.empty())
      return Error(Code::invalid, "'${file:}' names no file; write ${file:/run/secrets/name}");
    return read_secret(std::filesystem::path(directory) / std::filesystem::path(path));
  }
  const size_t separator = inside.find(":-");
  const std::string name(inside.substr(0, separator));
  if (!is_name(name)) {
    return Error(Code::invalid, "'${" + std::string(inside) +
                                    "}' is no reference; write ${NAME}, ${NAME:-default} or ${file:PATH}");
  }
  const auto value = variable(name);
  // As in a shell, ":-" also stands in for a variable that is set but empty.
  if (value && (!value->empty() || separator == std::string_view::npos)) return *value;
  if (separator != std::string_view::npos) return std::string(inside.substr(separator + 2));
  return Error(Code::invalid, "the environment variable " + name +
                                  " is not set; set it, or give a default: ${" + name + ":-...}");
}

}  // namespace

std::string hide_references(std::string_view text) {
  std::string out(text);
  for (size_t at = out.find("${"); at != std::string::npos; at = out.find("${", at + 1)) {
    const size_t line_end = std::min(out.find('\n', at), out.size());
    const size_t close = out.find('}', at);
    if (close >= line_end) continue;  // reported where the value is read, unless it stands in a comment
    for (size_t i = at + 1; i <= close; ++i) {
      const size_t index = shown.find(out[i]);
      if (index != std::string_view::npos) out[i] = hidden[index];
    }
  }
  return out;
}

std::string show_references(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const size_t index = hidden.find(c);
    if (index != std::string_view::npos) c = shown[index];
  }
  return out;
}

bool has_reference(std::string_view value) {
  return value.find("${") != std::string_view::npos;
}

boost::system::result<std::string, ReferenceError> expand(std::string_view value,
                                                          const std::string& directory,
                                                          const Lookup& variable) {
  std::string out;
  size_t at = 0;
  while (at < value.size()) {
    if (value.substr(at).starts_with("$${")) {
      out += "${";
      at += 3;
    } else if (value.substr(at).starts_with("${")) {
      const size_t close = value.find('}', at);
      if (close == std::string_view::npos)
        return ReferenceError{at, "'${' is not closed by '}'; a literal '${' is written '$${'"};
      auto resolved = resolve(value.substr(at + 2, close - at - 2), directory, variable);
      if (!resolved) return ReferenceError{at, resolved.error().message};
      out += *resolved;
      at = close + 1;
    } else {
      out += value[at++];
    }
  }
  return out;
}

void throw_exception_from_error(const ReferenceError& error, const boost::source_location&) {
  throw std::runtime_error(error.text);
}

}  // namespace vmproxy::config
