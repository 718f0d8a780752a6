#include "cli/program.h"

#include <filesystem>

#include "base/fault.h"
#include "cli/commands.h"
#include "cli/faults.h"

namespace vmproxy::cli {
namespace {

// Empty: none was named.
std::string named_config(const Program& program, const Options& options) {
  if (!options.config_file.empty()) return options.config_file;
  return program.variable("VMPROXY_CONFIG").value_or("");
}

// Empty: none was named and the usual one is not here.
std::string config_path(const Program& program, const Options& options) {
  if (auto named = named_config(program, options); !named.empty()) return named;
  std::error_code failed;
  return std::filesystem::exists("vmproxy.yaml", failed) ? "vmproxy.yaml" : "";
}

Failure failure_of(const Error& error) {
  if (error.code == Code::not_found) return {exit_usage, error.message, ""};
  return {exit_error, "the configuration cannot be used:\n" + error.message, ""};
}

Ending validate_configuration(Session& session) {
  const auto loaded = session.configuration();
  if (!loaded) return loaded.error();
  const auto plural = [](size_t n, const char* one) {
    return std::to_string(n) + ' ' + one + (n == 1 ? "" : "s");
  };
  if (session.options.json) {
    session.terminal.out() << "{\"valid\": true}\n";
  } else {
    session.terminal.out() << "ok: " << plural(loaded->databases.size(), "database") << ", "
                           << plural(loaded->migrations.size(), "migration") << ", "
                           << plural(loaded->listeners.size(), "listener") << '\n';
  }
  return std::nullopt;
}

Ending version(Session& session) {
  if (session.options.json) {
    session.terminal.out() << pretty_version(session.program.version);
  } else {
    session.terminal.out() << "vmproxy " << session.program.version << '\n';
  }
  return std::nullopt;
}

// "0.0.0.0:7070" is an address to listen on, not one to call.
std::string url_of_listen(const std::string& listen) {
  if (listen.rfind("0.0.0.0:", 0) == 0) return "http://127.0.0.1:" + listen.substr(8);
  if (listen.starts_with(':')) return "http://127.0.0.1" + listen;
  if (listen.rfind("[::]:", 0) == 0) return "http://[::1]:" + listen.substr(5);
  return "http://" + listen;
}

boost::system::result<AdminAddress, Failure> address_of(Session& session) {
  const Program& program = session.program;
  const Options& options = session.options;
  AdminAddress address{options.admin_url, options.token};
  if (address.url.empty()) address.url = program.variable("VMPROXY_ADMIN").value_or("");
  if (address.token.empty()) address.token = program.variable("VMPROXY_TOKEN").value_or("");
  const std::string path = config_path(program, options);
  // A named configuration counts; the usual one only where the url is missing. The server's secrets are not needed.
  const bool needs_url = address.url.empty();
  const bool needs_token = address.token.empty() && (needs_url || !named_config(program, options).empty());
  if (!path.empty() && (needs_url || needs_token)) {
    const auto admin = config::load_admin(path, needs_url, needs_token);
    // The server is named, and may need no token: a file that only the environment names keeps nobody from asking it.
    if (!admin && !needs_url && options.config_file.empty()) {
      if (admin.error().code != Code::not_found)
        session.terminal.say("vmproxy: no token from $VMPROXY_CONFIG: " + admin.error().message);
      return address;
    }
    if (!admin) {
      Failure failure = failure_of(admin.error());
      failure.next = "Or name the server without it: --admin URL, and its token in $VMPROXY_TOKEN";
      return failure;
    }
    if (needs_url) address.url = url_of_listen(admin->listen);
    if (needs_token) address.token = admin->token;
  }
  if (address.url.empty()) address.url = "http://127.0.0.1:7070";
  return address;
}

Ending execute(Session& session) {
  const std::string& command = session.options.command;
  if (command == "version") return version(session);
  if (command == "config validate") return validate_configuration(session);
  if (command == "debug faults" && !fault::built_in) return no_faults();
  const auto local = session.program.local.find(command);
  const auto remote = remote_commands().find(command);
  if (remote == remote_commands().end()) {
    if (local == session.program.local.end())
      return Failure{exit_error, "this build of vmproxy has no '" + command + "'", ""};
    return local->second(session);
  }
  auto address = address_of(session);
  if (!address) return address.error();
  auto transport = session.program.connect(address->url);
  if (!transport)
    return Failure{exit_usage,
                   "'" + address->url + "' is no address of an admin API: " + transport.error().message, ""};
  AdminClient client(std::move(*address), std::move(*transport), session.program.clock);
  auto ending = remote->second(session, client);
  // The journal can be read without a server, when there is none.
  if (ending && ending->code == exit_unreachable && local != session.program.local.end())
    return local->second(session);
  return ending;
}

}  // namespace

boost::system::result<config::Config, Failure> Session::configuration() const {
  const std::string path = config_path(program, options);
  if (path.empty())
    return Failure{exit_usage, "no configuration",
                   "Name one with -c FILE, in $VMPROXY_CONFIG, or put it at ./vmproxy.yaml"};
  auto loaded = config::load_file(path);
  if (!loaded) return failure_of(loaded.error());
  if (const auto valid = config::validate(*loaded, program.known, path); !valid)
    return failure_of(valid.error());
  return std::move(*loaded);
}

bool Session::interrupted() const {
  return program.interrupted.load(std::memory_order_relaxed);
}

int run(const std::vector<std::string>& words, Program& program) {
  Terminal terminal(program.streams);
  Ending ending;
  try {
    const Parsed parsed = parse(words, program.known.systems);
    if (!parsed.options) {
      if (parsed.is_help) {
        terminal.out() << parsed.text << std::flush;
        return exit_ok;
      }
      terminal.say((words.empty() ? "" : "vmproxy: ") + parsed.text);
      return exit_usage;
    }
    Session session{program, *parsed.options, terminal};
    ending = execute(session);
    terminal.clear_progress();
    terminal.out() << std::flush;
  } catch (const std::exception& failure) {
    ending = Failure{exit_error, std::string("an error of vmproxy's own: ") + failure.what(), ""};
  }
  // A closed pipe ("| head") is no success: the data did not arrive.
  if (!ending && !terminal.out()) ending = Failure{exit_error, "the output could not be written", ""};
  if (!ending) return exit_ok;
  if (!ending->text.empty()) terminal.say("vmproxy: " + ending->text);
  if (!ending->next.empty()) terminal.say("  " + ending->next);
  return ending->code;
}

}  // namespace vmproxy::cli
