// Configuration: the YAML of docs/configuration.md as typed values. Errors name file:line:column and what to
// write.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace vmproxy::config {

struct Auth {
  std::string header;
  std::string token;
};
struct ClientTls {
  std::string ca;
  std::string server_name;
  bool insecure = false;
};
struct Database {
  std::string at;  // file:line:column of its system
  std::string system;
  std::string url;
  Auth auth;
  ClientTls tls;
};
struct ServerTls {
  std::string cert;
  std::string key;
};
struct Listener {
  std::string at;      // file:line:column of its dialect
  std::string listen;  // host:port
  std::string dialect;
  std::string migration;
  ServerTls tls;
  Duration request_timeout = std::chrono::seconds(120);  // of a request that brings no deadline
};
struct Migration {
  std::string source;
  std::string target;
  std::vector<std::string> collections{"*"};  // names or globs
  std::map<std::string, std::string> names;   // mapping.names: source collection -> target name
};

enum class CaptureFailure { pass_and_mark, refuse };
enum class UnknownRequests { mark, refuse };
enum class MirrorMode { async, sync };
enum class MirrorDdl { create, full };
enum class Consistency { collection, client, eventual };

struct Admin {
  std::string listen = "127.0.0.1:7070";
  std::string token;
};

struct Config {
  std::string data_dir = "./vmproxy-data";
  Admin admin;
  std::map<std::string, Database> databases;
  std::vector<Listener> listeners;
  std::map<std::string, Migration> migrations;
  struct {
    bool fsync = true;  // durability: fsync | os
    CaptureFailure capture_failure = CaptureFailure::pass_and_mark;
    uint64_t bytes_max = 50ull << 30;
  } journal;
  struct {
    MirrorMode mode = MirrorMode::async;
    Duration sync_timeout = std::chrono::milliseconds(500);
    MirrorDdl ddl = MirrorDdl::create;
    size_t lanes = 2;
    UnknownRequests unknown_requests = UnknownRequests::mark;
  } mirror;
  struct {
    Consistency consistency = Consistency::collection;
    Duration wait = std::chrono::milliseconds(20);
    std::string route_by = "query";  // query | header:NAME | space | credential
  } reads;
  struct {
    size_t batch = 0;     // 0: auto
    size_t parallel = 0;  // 0: auto
    double rate_max = 0;  // records/s, 0: none
    Duration settle = std::chrono::seconds(2);
  } backfill;
  struct {
    Duration fence_max = std::chrono::seconds(2);
    Duration lag_max = std::chrono::seconds(5);
    Duration debt_age_max = std::chrono::seconds(60);
  } promotion;
  struct {
    uint64_t inflight_bytes = 256ull << 20;
  } memory;
  struct {
    std::string level = "info";
    std::string format = "json";
  } log;
  size_t workers = 0;  // 0: one per core
};

// Error invalid: every problem found, one per line, each "file:line:column: what is wrong; what to write".
// Error not_found or io: the file cannot be read. Secrets are never part of a message.
Result<Config> load_file(const std::string& path);
// What a command needs that asks a running vmproxy. Nothing else in the file is checked or resolved, and of `admin` only
// what is asked for: who calls it need not hold the server's secrets. The rest stays at its defaults. Errors as above.
Result<Admin> load_admin(const std::string& path, bool listen, bool token);
// `origin` stands for the file name in errors. Relative paths in the text are taken relative to the file.
Result<Config> parse(const std::string& yaml, const std::string& origin);

// Where the journal of a migration lives, below data_dir.
std::string journal_directory(const Config& config, const std::string& migration);

// What only the caller can know: config/ itself names no database.
struct KnownNames {
  std::vector<std::string> systems;
  std::vector<std::string> dialects;  // those of them that a listener can speak
};
// For serving: names of systems and dialects exist, and there is something to serve.
Result<void> validate(const Config& config, const KnownNames& known, const std::string& origin);

}  // namespace vmproxy::config
