// The command line in front of the real admin API over a fake migration: no sockets, no real time.
#pragma once

#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "admin/api.h"
#include "base/fake_clock.h"
#include "cli/program.h"
#include "tests/admin/fake_control.h"

namespace vmproxy::testing {

struct CliFixture {
  FakeControl control;
  FakeControl other;
  bool two_migrations = false;
  std::string server_token;
  Metrics metrics;
  FakeClock clock;
  std::atomic<bool> interrupted{false};
  std::map<std::string, std::string> environment{{"USER", "ann"}};
  std::map<std::string, cli::LocalCommand> local;
  std::optional<Error> transport_error;
  std::function<void()> at_pause;  // what happens while the command waits
  std::vector<std::string> connected_to;
  std::string typed;  // by the person at the terminal
  bool tty = false;
  bool unicode = true;
  size_t width = 80;

  std::string out, err;

  int run(std::vector<std::string> words) {
    std::ostringstream out_stream, err_stream;
    std::istringstream in_stream(typed);
    std::map<std::string, cutover::Control*> migrations{{"m", &control}};
    if (two_migrations) migrations["orders"] = &other;
    cli::Program program{
        {out_stream, err_stream, in_stream, tty, tty, tty, width, true, unicode},
        clock,
        interrupted,
        "0.1.0",
        {{"chrome", "pgtor"}, {"chrome"}},
        [&](const std::string& url) -> Result<cli::Transport> {
          connected_to.push_back(url);
          return cli::Transport([&](const net::Request& request, Deadline) -> Result<net::Response> {
            if (transport_error) return *transport_error;
            admin::Api api({server_token, "0.1.0", [] { return admin::Readiness{true, {}}; }}, migrations,
                           metrics, clock);

            return api.handle(request);
          });
        },
        [&](Duration d) {
          clock.advance(d);
          if (at_pause) at_pause();
        },
        [&](const std::string& name) -> std::optional<std::string> {
          const auto found = environment.find(name);
          return found == environment.end() ? std::nullopt : std::optional(found->second);
        },
        local};
    const int code = cli::run(words, program);
    out = out_stream.str();
    err = err_stream.str();
    return code;
  }
  boost::json::object json() const { return boost::json::parse(out).as_object(); }

  cutover::Status in_state(const std::string& state) const {
    cutover::Status status = control.answer;
    status.state = state;
    return status;
  }
};

// A file that is gone with the test.
struct TemporaryFile {
  std::filesystem::path path;
  explicit TemporaryFile(const std::string& text) {
    static int number = 0;
    path = std::filesystem::temp_directory_path() /
           ("vmproxy-cli-" + std::to_string(::getpid()) + "-" + std::to_string(++number) + ".yaml");
    std::ofstream(path) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
};

inline const std::string good_configuration =
    "databases: {old: {system: chrome, url: x}, new: {system: pgtor, url: y}}\n"
    "migrations: {m: {source: old, target: new}}\n"
    "listeners: [{listen: ':1', migration: m, dialect: chrome}]\n";

}  // namespace vmproxy::testing
