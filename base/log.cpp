#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <ctime>

namespace vmproxy::log {
namespace {

std::atomic<Level> lowest{Level::info};
std::atomic<bool> as_json{false};

// spdlog's own JSON pattern does not escape the message, so the line is made here and spdlog only carries it.
spdlog::logger& sink() {
  static auto logger = [] {
    auto made =
        std::make_shared<spdlog::logger>("vmproxy", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

void append_escaped(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 15];
    } else {
      out += c;
    }
  }
}

std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::system_clock::to_time_t(now);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const auto length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char whole[48];
  std::snprintf(whole, sizeof whole, "%.*s.%03dZ", static_cast<int>(length), text, static_cast<int>(millis));
  return whole;
}

constexpr const char* names[] = {"trace", "debug", "info", "warn", "error"};

}  // namespace

void configure(std::string_view level, std::string_view format) {
  for (int i = 0; i < 5; ++i) {
    if (level == names[i]) lowest = static_cast<Level>(i);
  }
  if (level == "none") lowest = static_cast<Level>(5);  // tests/model plays disasters by the thousand
  as_json = format == "json";
  (void)sink();  // made now: a thread that is held up while it makes it would hold up all that log
}

bool enabled(Level level) {
  return level >= lowest.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view message, Fields fields) {
  if (!enabled(level)) return;
  std::string line;
  const char* level_name = names[static_cast<int>(level)];
  if (as_json) {
    line += R"({"time":")" + timestamp() + R"(","level":")" + level_name + R"(","message":")";
    append_escaped(line, message);
    line += '"';
    for (const Field& field : fields) {
      line += ",\"";
      append_escaped(line, field.key);
      line += field.bare ? "\":" : "\":\"";
      append_escaped(line, field.value);
      if (!field.bare) line += '"';
    }
    line += '}';
  } else {
    line += timestamp() + ' ' + level_name + ' ';
    append_escaped(line, message);
    for (const Field& field : fields) {
      line += ' ';
      line += field.key;
      line += '=';
      append_escaped(line, field.value);
    }
  }
  sink().log(spdlog::level::info, line);
}

}  // namespace vmproxy::log
