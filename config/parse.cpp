// The shape of the configuration: which key stands where, of which type, with which bounds
// (docs/configuration.md).
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/address.h"
#include "config/config.h"
#include "config/nearest.h"
#include "config/reader.h"

namespace vmproxy::config {
namespace {

constexpr Duration above_zero = Duration(1);

std::string at_text(const Context& context, Position at) {
  return context.origin + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
}

bool read_listen(MapReader& reader, std::string& out) {
  std::string value;
  if (!reader.text("listen", value)) return false;
  if (!parse_host_port(value)) {
    reader.wrong("listen", "HOST:PORT like 127.0.0.1:8001 or [::1]:8001");
    return false;
  }
  out = value;
  return true;
}

Auth read_auth(const Node& node, const std::string& path, Context& context) {
  Auth auth;
  MapReader reader(node, path, context);
  reader.text("header", auth.header);
  reader.secret("token", auth.token);
  if (auth.header.find_first_of(": \r\n\t") != std::string::npos)
    reader.wrong("header", "a header's name like authorization");
  reader.finish();
  return auth;
}

ClientTls read_client_tls(const Node& node, const std::string& path, Context& context) {
  ClientTls tls;
  MapReader reader(node, path, context);
  reader.path("ca", tls.ca);
  reader.text("server_name", tls.server_name);
  reader.boolean("insecure", tls.insecure);
  reader.finish();
  return tls;
}

ServerTls read_server_tls(const Node& node, const std::string& path, Context& context) {
  ServerTls tls;
  MapReader reader(node, path, context);
  if (reader.require("cert", "cert: server.pem")) reader.path("cert", tls.cert);
  if (reader.require("key", "key: server.key")) reader.path("key", tls.key);
  reader.finish();
  return tls;
}

// Names appear in paths of the admin API, in metrics and in file names.
bool good_name(const Node::Member& member, const std::string& what, Context& context) {
  if (!member.key.empty() && member.key.size() <= 64 &&
      member.key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
          std::string::npos &&
      member.key[0] != '.') {
    return true;
  }
  context.problem(member.at, "'" + member.key.substr(0, 64) + "' is no name for a " + what +
                                 "; use up to 64 letters, digits, '_', '-' and '.'");
  return false;
}

void read_databases(const Node& node, Config& config, Context& context) {
  MapReader all(node, "databases", context);
  for (const auto& member : node.members) {
    if (!good_name(member, "database", context)) continue;
    const std::string path = "databases." + member.key;
    Database database;
    MapReader reader(member.value, path, context);
    if (reader.require("system", "system: NAME, as 'vmproxy discover --help' lists them"))
      reader.text("system", database.system);
    database.at = at_text(context, reader.at("system"));
    if (reader.require("url", "url: http://127.0.0.1:8000")) reader.secret("url", database.url);
    if (const Node* auth = reader.find("auth")) database.auth = read_auth(*auth, path + ".auth", context);
    if (const Node* tls = reader.find("tls")) database.tls = read_client_tls(*tls, path + ".tls", context);
    reader.finish();
    config.databases[member.key] = std::move(database);
  }
}

void complain_dangling(const MapReader& reader, const std::string& key, const std::string& value,
                       const std::string& section, const std::vector<std::string>& known, Context& context) {
  std::string text = "'" + reader.name_of(key) + "' names '" + value + "', which is not in '" + section + "'";
  if (const auto close = nearest(value, known)) {
    text += "; did you mean '" + *close + "'?";
  } else {
    text += known.empty() ? "; nothing is defined there" : "; defined there: " + one_of(known);
  }
  context.problem(reader.at(key), text);
}

// Every name counts, also of a database that has other problems: one mistake, one message.
std::vector<std::string> names_in(const Node* section) {
  std::vector<std::string> names;
  if (section) {
    for (const auto& member : section->members) names.push_back(member.key);
  }
  return names;
}

void read_collections(MapReader& reader, Migration& migration, Context& context) {
  const Node* node = reader.find("collections");
  if (!node) return;
  const std::string name = reader.name_of("collections");
  if (node->kind != Node::Kind::sequence || node->items.empty()) {
    context.problem(node->at, "'" + name + "' must be a list of names like ['*'] or [products, 'user-*']");
    return;
  }
  migration.collections.clear();
  for (const auto& item : node->items) {
    auto value = scalar_text(item, name, context);
    if (value && value->empty()) context.problem(item.at, "'" + name + "' holds an empty name");
    if (value) migration.collections.push_back(std::move(*value));
  }
}

void read_mapping(const Node& node, const std::string& path, Migration& migration, Context& context) {
  MapReader reader(node, path, context);
  if (const Node* names = reader.find("names")) {
    MapReader check(*names, path + ".names", context);
    std::map<std::string, std::string> taken;  // target name -> source name
    for (const auto& member : names->members) {
      auto value = scalar_text(member.value, path + ".names." + member.key, context);
      if (!value) continue;
      if (value->empty()) {
        context.problem(member.value.at,
                        "'" + path + ".names." + member.key + "' is empty; write the target's name for it");
      } else if (const auto [other, fresh] = taken.emplace(*value, member.key); !fresh) {
        context.problem(member.value.at, "'" + other->second + "' and '" + member.key +
                                             "' would both become '" + *value +
                                             "'; two collections cannot share one target");
      } else {
        migration.names[member.key] = std::move(*value);
      }
    }
  }
  reader.finish();
}

void read_migrations(const Node& node, const std::vector<std::string>& databases, Config& config,
                     Context& context) {
  MapReader all(node, "migrations", context);
  for (const auto& member : node.members) {
    if (!good_name(member, "migration", context)) continue;
    const std::string path = "migrations." + member.key;
    Migration migration;
    MapReader reader(member.value, path, context);
    for (const auto& [key, out] :
         {std::pair("source", &migration.source), std::pair("target", &migration.target)}) {
      if (!reader.require(key, std::string(key) + ": NAME, one of 'databases'") || !reader.text(key, *out))
        continue;
      if (!contains(databases, *out)) complain_dangling(reader, key, *out, "databases", databases, context);
    }
    if (!migration.source.empty() && migration.source == migration.target) {
      context.problem(reader.at("target"), "source and target of migration '" + member.key + "' are both '" +
                                               migration.target + "'; a migration needs two databases");
    }
    read_collections(reader, migration, context);
    if (const Node* mapping = reader.find("mapping"))
      read_mapping(*mapping, path + ".mapping", migration, context);
    reader.finish();
    config.migrations[member.key] = std::move(migration);
  }
}

void read_listeners(const Node& node, const std::vector<std::string>& migrations, Config& config,
                    Context& context) {
  if (node.kind != Node::Kind::sequence) {
    context.problem(node.at, "'listeners' must be a list: each item begins with '- listen: HOST:PORT'");
    return;
  }
  std::map<std::string, size_t> taken;
  for (size_t i = 0; i < node.items.size(); ++i) {
    const std::string path = "listeners[" + std::to_string(i) + "]";
    Listener listener;
    MapReader reader(node.items[i], path, context);
    if (reader.require("listen", "listen: 0.0.0.0:8001") && read_listen(reader, listener.listen) &&
        parse_host_port(listener.listen)->port != 0 && !taken.emplace(listener.listen, i).second) {
      context.problem(reader.at("listen"),
                      "two listeners on " + listener.listen + "; give each its own port");
    }
    if (reader.require("dialect", "dialect: NAME, the API that applications speak here"))
      reader.text("dialect", listener.dialect);
    listener.at = at_text(context, reader.at("dialect"));
    if (reader.require("migration", "migration: NAME, one of 'migrations'") &&
        reader.text("migration", listener.migration) && !contains(migrations, listener.migration)) {
      complain_dangling(reader, "migration", listener.migration, "migrations", migrations, context);
    }
    if (reader.duration("request_timeout", listener.request_timeout, above_zero) &&
        (listener.request_timeout < std::chrono::seconds(1) ||
         listener.request_timeout > std::chrono::hours(1)))
      reader.wrong("request_timeout", "a duration from 1s to 1h");
    if (const Node* tls = reader.find("tls")) listener.tls = read_server_tls(*tls, path + ".tls", context);
    reader.finish();
    config.listeners.push_back(std::move(listener));
  }
}

// The sections that tune how the work is done.
void read_settings(MapReader& top, Config& config, Context& context) {
  static const Node absent;
  const auto section = [&](const std::string& name) {
    const Node* node = top.find(name);
    return MapReader(node ? *node : absent, name, context);
  };
  MapReader journal = section("journal");
  journal.choice("durability", config.journal.fsync, {{"fsync", true}, {"os", false}});
  journal.choice("capture_failure", config.journal.capture_failure,
                 {{"pass_and_mark", CaptureFailure::pass_and_mark}, {"refuse", CaptureFailure::refuse}});
  journal.bytes("max_bytes", config.journal.bytes_max, 64u << 20);
  journal.finish();

  MapReader mirror = section("mirror");
  mirror.choice("mode", config.mirror.mode, {{"async", MirrorMode::async}, {"sync", MirrorMode::sync}});
  mirror.duration("sync_timeout", config.mirror.sync_timeout, above_zero);
  mirror.choice("ddl", config.mirror.ddl, {{"create", MirrorDdl::create}, {"full", MirrorDdl::full}});
  mirror.count("lanes", config.mirror.lanes, 1, 256);
  mirror.choice("unknown_requests", config.mirror.unknown_requests,
                {{"mark", UnknownRequests::mark}, {"refuse", UnknownRequests::refuse}});
  mirror.finish();

  MapReader reads = section("reads");
  reads.choice("consistency", config.reads.consistency,
               {{"collection", Consistency::collection},
                {"client", Consistency::client},
                {"eventual", Consistency::eventual}});
  reads.duration("wait", config.reads.wait, Duration::zero());
  std::string route_by = config.reads.route_by;
  if (reads.text("route_by", route_by)) {
    const bool header = route_by.starts_with("header:") && route_by.size() > 7 &&
                        route_by.find_first_of(" \r\n", 7) == std::string::npos;
    if (header || route_by == "query" || route_by == "space" || route_by == "credential") {
      config.reads.route_by = route_by;
    } else {
      reads.wrong("route_by", "query, header:NAME, space or credential");
    }
  }
  reads.finish();

  MapReader backfill = section("backfill");
  backfill.count("batch", config.backfill.batch, 1, 100000, "auto");
  backfill.count("parallel", config.backfill.parallel, 1, 64, "auto");
  backfill.number("rate_max", config.backfill.rate_max);
  backfill.duration("settle", config.backfill.settle, Duration::zero());
  backfill.finish();

  MapReader promotion = section("promotion");
  promotion.duration("fence_max", config.promotion.fence_max, above_zero);
  promotion.duration("lag_max", config.promotion.lag_max, above_zero);
  promotion.duration("debt_age_max", config.promotion.debt_age_max, above_zero);
  promotion.finish();

  MapReader memory = section("memory");
  memory.bytes("inflight_bytes", config.memory.inflight_bytes, 1u << 20);
  memory.finish();

  MapReader log = section("log");
  std::vector<std::pair<std::string, std::string>> levels, formats;
  for (const char* name : {"trace", "debug", "info", "warn", "error"}) levels.emplace_back(name, name);
  for (const char* name : {"json", "text"}) formats.emplace_back(name, name);
  log.choice("level", config.log.level, levels);
  log.choice("format", config.log.format, formats);
  log.finish();

  top.count("workers", config.workers, 1, 256, "auto");
}

void read_admin(MapReader& top, Config& config, Context& context) {
  const Node* node = top.find("admin");
  if (!node) return;
  MapReader admin(*node, "admin", context);
  read_listen(admin, config.admin.listen);
  admin.secret("token", config.admin.token);
  const auto address = parse_host_port(config.admin.listen);
  if (address && !is_loopback(address->host) && config.admin.token.empty()) {
    context.problem(admin.at("listen"), "the admin API on " + config.admin.listen +
                                            " could be reached from other machines and needs a token; add "
                                            "token: ${VMPROXY_TOKEN}, or listen on "
                                            "127.0.0.1");
  }
  admin.finish();
}

Context context_of(const std::string& origin) {
  Context context;
  context.origin = origin;
  context.directory = std::filesystem::path(origin).parent_path().string();
  context.variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
  return context;
}

Result<std::string> read_file(const std::string& path) {
  std::error_code failed;
  const auto status = std::filesystem::status(path, failed);
  if (!std::filesystem::exists(status))
    return Error(Code::not_found, path + ": no such file; name the configuration with -c FILE");
  if (std::filesystem::is_directory(status))
    return Error(Code::invalid, path + ": is a directory; name the YAML file in it");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error(Code::io, path + ": cannot be read; does this user have permission to?");
  constexpr size_t bytes_max = (1 << 20) + 1;  // one more than parse_document() takes
  std::string text(bytes_max, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(bytes_max));
  text.resize(static_cast<size_t>(stream.gcount()));
  return text;
}

}  // namespace

Result<Config> parse(const std::string& yaml, const std::string& origin) {
  auto document = parse_document(yaml, origin);
  if (!document) return document.error();
  Context context = context_of(origin);

  Config config;
  MapReader top(*document, "", context);
  config.data_dir = (std::filesystem::path(context.directory) / config.data_dir).lexically_normal().string();
  top.path("data_dir", config.data_dir);
  read_admin(top, config, context);
  const Node* databases = top.find("databases");
  const Node* migrations = top.find("migrations");
  if (databases) read_databases(*databases, config, context);
  if (const Node* listeners = top.find("listeners"))
    read_listeners(*listeners, names_in(migrations), config, context);
  if (migrations) read_migrations(*migrations, names_in(databases), config, context);
  read_settings(top, config, context);
  top.finish();

  if (context.problems.empty()) return config;
  return Error(Code::invalid, context.report());
}

Result<Config> load_file(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return text.error();
  return parse(*text, path);
}

Result<Admin> load_admin(const std::string& path, bool listen, bool token) {
  const auto text = read_file(path);
  if (!text) return text.error();
  auto document = parse_document(*text, path);
  if (!document) return document.error();
  Context context = context_of(path);
  Admin found;
  MapReader top(*document, "", context);
  if (const Node* node = top.find("admin")) {
    MapReader admin(*node, "admin", context);
    if (listen) read_listen(admin, found.listen);
    if (token) admin.secret("token", found.token);
  }
  if (context.problems.empty()) return found;
  return Error(Code::invalid, context.report());
}

}  // namespace vmproxy::config
