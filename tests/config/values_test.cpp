// What a configuration means when it is right.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/address.h"
#include "config/config.h"
#include "config/nearest.h"
#include "config/reference.h"
#include "config/units.h"

using namespace vmproxy;
using namespace std::chrono_literals;

TEST_CASE("the configuration of the contract is read as it stands") {
  ::unsetenv("VMPROXY_TOKEN");
  const auto parsed = config::parse(R"(data_dir: ./vmproxy-data
admin: {listen: 127.0.0.1:7070, token: ${VMPROXY_TOKEN:-}}
databases:
  old: {system: chroma, url: http://127.0.0.1:8000, auth: {header: x-token, token: abc}, tls: {ca: ca.pem, server_name: db, insecure: false}}
  new: {system: pgvector, url: postgresql://user@127.0.0.1:5432/app}
listeners:
  - {listen: 0.0.0.0:8001, dialect: chroma, migration: m, tls: {cert: c.pem, key: /k.pem}}
migrations:
  m: {source: old, target: new, collections: ['*'], mapping: {names: {products: items}}}
journal: {durability: fsync, capture_failure: pass_and_mark, max_bytes: 50GiB}
mirror: {mode: async, sync_timeout: 500ms}
reads: {consistency: collection, wait: 20ms, route_by: query}
backfill: {batch: auto, parallel: auto, rate_max: 0}
promotion: {fence_max: 2s}
memory: {inflight_bytes: 256MiB}
log: {level: info, format: json}
)",
                                    "/etc/vmproxy/v.yaml");
  if (parsed.has_error()) FAIL(parsed.error().message);
  const config::Config& c = *parsed;
  CHECK(c.data_dir == "/etc/vmproxy/vmproxy-data");
  CHECK(c.admin.listen == "127.0.0.1:7070");
  CHECK(c.admin.token.empty());
  CHECK(c.databases.at("old").system == "chroma");
  CHECK(c.databases.at("old").url == "http://127.0.0.1:8000");
  CHECK(c.databases.at("old").auth.header == "x-token");
  CHECK(c.databases.at("old").auth.token == "abc");
  CHECK(c.databases.at("old").tls.ca == "/etc/vmproxy/ca.pem");
  CHECK(c.databases.at("old").tls.server_name == "db");
  CHECK(c.databases.at("old").at == "/etc/vmproxy/v.yaml:4:17");
  CHECK(c.databases.at("new").url == "postgresql://user@127.0.0.1:5432/app");
  REQUIRE(c.listeners.size() == 1);
  CHECK(c.listeners[0].listen == "0.0.0.0:8001");
  CHECK(c.listeners[0].dialect == "chroma");
  CHECK(c.listeners[0].migration == "m");
  CHECK(c.listeners[0].request_timeout == 2min);
  CHECK(c.listeners[0].tls.cert == "/etc/vmproxy/c.pem");
  CHECK(c.listeners[0].tls.key == "/k.pem");
  CHECK(c.migrations.at("m").source == "old");
  CHECK(c.migrations.at("m").collections == std::vector<std::string>{"*"});
  CHECK(c.migrations.at("m").names.at("products") == "items");
  CHECK(c.journal.fsync);
  CHECK(c.journal.bytes_max == 50ull << 30);
  CHECK(c.mirror.sync_timeout == 500ms);
  CHECK(c.reads.wait == 20ms);
  CHECK(c.promotion.fence_max == 2s);
  CHECK(c.memory.inflight_bytes == 256ull << 20);
}

TEST_CASE("every setting can be changed from its default") {
  const auto parsed = config::parse(R"(
workers: 3
journal: {durability: os, capture_failure: refuse, max_bytes: 1.5GiB}
mirror: {mode: sync, sync_timeout: 2m, ddl: full, lanes: 16, unknown_requests: refuse}
reads: {consistency: eventual, wait: 0, route_by: 'header:x-user'}
backfill: {batch: 500, parallel: 4, rate_max: 2500.5, settle: 250us}
promotion: {fence_max: 1h, lag_max: 7s, debt_age_max: 2d}
memory: {inflight_bytes: 64MB}
log: {level: debug, format: text}
databases: {old: {system: a, url: x}, new: {system: b, url: y}}
migrations: {m: {source: old, target: new}}
listeners: [{listen: ':1', dialect: a, migration: m, request_timeout: 20s}]
)",
                                    "v.yaml");
  if (parsed.has_error()) FAIL(parsed.error().message);
  CHECK(parsed->workers == 3);
  CHECK_FALSE(parsed->journal.fsync);
  CHECK(parsed->journal.capture_failure == config::CaptureFailure::refuse);
  CHECK(parsed->journal.bytes_max == 3ull << 29);
  CHECK(parsed->mirror.mode == config::MirrorMode::sync);
  CHECK(parsed->mirror.sync_timeout == 2min);
  CHECK(parsed->mirror.ddl == config::MirrorDdl::full);
  CHECK(parsed->mirror.lanes == 16);
  CHECK(parsed->mirror.unknown_requests == config::UnknownRequests::refuse);
  CHECK(parsed->reads.consistency == config::Consistency::eventual);
  CHECK(parsed->reads.wait == 0ms);
  CHECK(parsed->reads.route_by == "header:x-user");
  CHECK(parsed->backfill.batch == 500);
  CHECK(parsed->backfill.parallel == 4);
  CHECK(parsed->backfill.rate_max == 2500.5);
  CHECK(parsed->backfill.settle == 250us);
  CHECK(parsed->promotion.fence_max == 1h);
  CHECK(parsed->promotion.lag_max == 7s);
  CHECK(parsed->promotion.debt_age_max == 48h);
  CHECK(parsed->memory.inflight_bytes == 64'000'000);
  CHECK(parsed->log.level == "debug");
  CHECK(parsed->log.format == "text");
  REQUIRE(parsed->listeners.size() == 1);
  CHECK(parsed->listeners[0].request_timeout == 20s);
}

TEST_CASE("an empty file is a configuration of defaults") {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "{}", "journal:\nlog:\n"}) {
    INFO(text);
    CHECK(config::parse(text, "v.yaml").has_value());
  }
}

TEST_CASE("references are replaced in block, flow and quoted values, and only once") {
  ::setenv("VMPROXY_TEST_A", "va${VMPROXY_TEST_B}", 1);
  ::setenv("VMPROXY_TEST_EMPTY", "", 1);
  const auto token = [](const std::string& yaml) {
    const auto parsed = config::parse(yaml, "v.yaml");
    return parsed.has_value() ? parsed->admin.token : parsed.error().message;
  };
  CHECK(token("admin:\n  token: ${VMPROXY_TEST_A}\n") == "va${VMPROXY_TEST_B}");
  CHECK(token("admin: {token: ${VMPROXY_TEST_A}}") == "va${VMPROXY_TEST_B}");
  CHECK(token("admin: {token: \"<${VMPROXY_TEST_A}>\"}") == "<va${VMPROXY_TEST_B}>");
  CHECK(token("admin: {token: ${VMPROXY_TEST_EMPTY:-d: e, [f] #g}}") == "d: e, [f] #g");
  CHECK(token("admin: {token: ${VMPROXY_TEST_EMPTY}}").empty());
  CHECK(token("admin: {token: a$${VMPROXY_TEST_A}b}") == "a${VMPROXY_TEST_A}b");
  CHECK(token("admin: {token: $5}") == "$5");
  CHECK(token("# ${not closed\nadmin: {token: t} # ${A} {\n") == "t");
}

TEST_CASE("a secret's file is read relative to the configuration, without its last newline") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("vmproxy-config-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "secret") << "s3cret\r\n";
  std::ofstream(folder / "v.yaml") << "admin: {token: ${file:secret}}\ndata_dir: d\n";
  const auto parsed = config::load_file((folder / "v.yaml").string());
  std::filesystem::remove_all(folder);
  if (parsed.has_error()) FAIL(parsed.error().message);
  CHECK(parsed->admin.token == "s3cret");
  CHECK(parsed->data_dir == (folder / "d").string());
}

TEST_CASE("sizes, durations and numbers are read as written or not at all") {
  using config::parse_bytes;
  using config::parse_count;
  using config::parse_duration;
  using config::parse_number;
  CHECK(parse_bytes("0") == 0u);
  CHECK(parse_bytes("1024") == 1024u);
  CHECK(parse_bytes("1KiB") == 1024u);
  CHECK(parse_bytes("1.5 KB") == 1500u);
  CHECK(parse_bytes("2TiB") == 2ull << 40);
  for (const char* bad : {"", "GiB", "1gib", "1.", ".5GiB", "-1", "1e9", "1.5", "0x10", "1GiB ", " 1",
                          "99999999999TiB", "1 2", "nan"}) {
    INFO(bad);
    CHECK_FALSE(parse_bytes(bad));
  }
  CHECK(parse_duration("0") == Duration::zero());
  CHECK(parse_duration("20ms") == Duration(20ms));
  CHECK(parse_duration("1.5s") == Duration(1500ms));
  CHECK(parse_duration("5m") == Duration(5min));
  CHECK(parse_duration("1 h") == Duration(1h));
  for (const char* bad : {"", "20", "ms", "-1s", "1M", "1e3s", "99999d", "1s2s", "inf"}) {
    INFO(bad);
    CHECK_FALSE(parse_duration(bad));
  }
  CHECK(parse_count("010") == 10u);
  CHECK_FALSE(parse_count("+1"));
  CHECK_FALSE(parse_count("1.0"));
  CHECK_FALSE(parse_count("99999999999999999999"));
  CHECK(parse_number("2.5") == 2.5);
  CHECK_FALSE(parse_number("2.5 "));
  CHECK_FALSE(parse_number("1e400"));
}

TEST_CASE("addresses are read, loopback is known, URLs lose their secrets") {
  using config::is_loopback;
  using config::masked_url;
  using config::parse_host_port;
  CHECK(parse_host_port("127.0.0.1:80")->host == "127.0.0.1");
  CHECK(parse_host_port("[::1]:80")->host == "::1");
  CHECK(parse_host_port(":80")->host == "0.0.0.0");
  CHECK(parse_host_port("db.example:0")->port == 0);
  for (const char* bad : {"", "80", "a", "a:", "a:b", "a:-1", "a:65536", "::1:80", "[]:80", "[::1]80", "[::1",
                          "http://a:80", "a b:80"}) {
    INFO(bad);
    CHECK_FALSE(parse_host_port(bad));
  }
  for (const char* near : {"127.0.0.1", "127.9.9.9", "localhost", "::1"}) CHECK(is_loopback(near));
  for (const char* far :
       {"0.0.0.0", "::", "128.0.0.1", "127.evil.example", "127.0.0.1.evil.example", "localhost.evil", ""}) {
    INFO(far);
    CHECK_FALSE(is_loopback(far));
  }
  CHECK(masked_url("postgresql://u:p@ss/w@h:1/d?password=x&sslmode=require") ==
        "postgresql://u:***@h:1/d?password=***&sslmode=***");
  CHECK(masked_url("http://127.0.0.1:8000") == "http://127.0.0.1:8000");
  CHECK(masked_url("u@h") == "u@h");
  using config::place_of;
  CHECK(place_of("postgresql://u:p@ss/w@h:1/d?password=x&schema=a=b&ApiKey=y&tenant=&token") ==
        "postgresql://u:***@h:1/d?password=***&schema=a=b&ApiKey=***&tenant=&token");
  CHECK(place_of("http://h?schema=a") != place_of("http://h?schema=b"));
  CHECK(place_of("http://u:1@h?auth=a&database=c") == place_of("http://u:2@h?auth=b&database=c"));
}

TEST_CASE("only close words are proposed") {
  const std::vector<std::string> known{"start", "status", "serve"};
  CHECK(config::nearest("statsu", known) == "status");
  CHECK(config::nearest("STATUS", known) == "status");
  CHECK_FALSE(config::nearest("xyzzy", known));
  CHECK_FALSE(config::nearest("", known));
  CHECK_FALSE(config::nearest(std::string(100000, 's'), known));
  CHECK_FALSE(config::nearest("a", {"b"}));
}
