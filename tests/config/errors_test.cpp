// Every error of a configuration names its exact place.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/config.h"

using namespace vmproxy;
using Catch::Matchers::Contains;

namespace {

// The message for a text that must not be accepted.
std::string problem_of(const std::string& yaml) {
  const auto parsed = config::parse(yaml, "v.yaml");
  REQUIRE(parsed.has_error());
  CHECK(parsed.error().code == Code::invalid);
  return parsed.error().message;
}

const std::string pair_of_databases = "databases: {old: {system: a, url: x}, new: {system: b, url: y}}\n";

}  // namespace

TEST_CASE("an unknown key names its place and the nearest known key") {
  CHECK(problem_of("data_dir: d\njurnal: {}\n") ==
        "v.yaml:2:1: unknown key 'jurnal'; did you mean 'journal'?");
  CHECK(problem_of("journal:\n  durabilty: os\n") ==
        "v.yaml:2:3: unknown key 'durabilty' in 'journal'; did you mean 'durability'?");
  CHECK(problem_of("promotion: {fence_max: 2s, zebra: 1}") ==
        "v.yaml:1:28: unknown key 'zebra' in 'promotion'; known here: fence_max, lag_max or debt_age_max");
  CHECK(problem_of("databases:\n  old:\n    system: a\n    url: x\n    auth: {tokn: s3cret}\n") ==
        "v.yaml:5:12: unknown key 'tokn' in 'databases.old.auth'; did you mean 'token'?");
}

TEST_CASE("a key given twice is refused at the second") {
  CHECK(problem_of("data_dir: a\nlog: {}\ndata_dir: b\n") ==
        "v.yaml:3:1: 'data_dir' is given twice; the first is at line 1. Remove one of them");
  CHECK(problem_of("journal: {max_bytes: 1GiB, max_bytes: 2GiB}") ==
        "v.yaml:1:28: 'max_bytes' is given twice; the first is at line 1. Remove one of them");
}

TEST_CASE("a value of the wrong type names its place, what is allowed and what stands there") {
  CHECK(problem_of("journal:\n  max_bytes: plenty\n") ==
        "v.yaml:2:14: 'journal.max_bytes' must be a size like 256MiB or 50GiB, at least 67108864 bytes, not "
        "'plenty'");
  CHECK(problem_of("reads: {wait: 20}") ==
        "v.yaml:1:15: 'reads.wait' must be a duration like 20ms, 2s or 5m, not '20'");
  CHECK(problem_of("promotion: {fence_max: 0}") ==
        "v.yaml:1:24: 'promotion.fence_max' must be a duration like 20ms, 2s or 5m, more than 0, not '0'");
  CHECK(problem_of("mirror: {mode: asinc}") ==
        "v.yaml:1:16: 'mirror.mode' must be async or sync, not 'asinc'; did you mean 'async'?");
  CHECK(problem_of("mirror: {lanes: 0}") ==
        "v.yaml:1:17: 'mirror.lanes' must be a whole number from 1 to 256, not '0'");
  CHECK(problem_of("mirror: {lanes: 010x}") ==
        "v.yaml:1:17: 'mirror.lanes' must be a whole number from 1 to 256, not '010x'");
  CHECK(problem_of("backfill: {batch: many}") ==
        "v.yaml:1:19: 'backfill.batch' must be auto or a whole number from 1 to 100000, not 'many'");
  CHECK(problem_of("backfill: {rate_max: -1}") ==
        "v.yaml:1:22: 'backfill.rate_max' must be a number like 5000, 0 for no limit, not '-1'");
  CHECK(problem_of("reads: {route_by: 'header:'}") ==
        "v.yaml:1:19: 'reads.route_by' must be query, header:NAME, space or credential, not 'header:'");
  CHECK(problem_of("log: {level: [info]}") == "v.yaml:1:14: 'log.level' must be a single value, not a list");
  CHECK(problem_of("journal: fsync") ==
        "v.yaml:1:10: 'journal' must be a map of keys and values, not a single value");
  CHECK(problem_of("[a, b]") == "v.yaml:1:1: the file must be a map of keys and values, not a list");
  CHECK(problem_of("admin: {listen: localhost}") ==
        "v.yaml:1:17: 'admin.listen' must be HOST:PORT like 127.0.0.1:8001 or [::1]:8001, not 'localhost'");
  CHECK(problem_of("admin: {listen: '127.0.0.1:70000'}") ==
        "v.yaml:1:17: 'admin.listen' must be HOST:PORT like 127.0.0.1:8001 or [::1]:8001, not "
        "'127.0.0.1:70000'");
  CHECK(problem_of("listeners: {listen: x}") ==
        "v.yaml:1:12: 'listeners' must be a list: each item begins with '- listen: HOST:PORT'");
  CHECK_THAT(
      problem_of(pair_of_databases + "migrations: {m: {source: old, target: new, collections: products}}"),
      Contains("v.yaml:2:57: 'migrations.m.collections' must be a list of names"));
  CHECK_THAT(problem_of("databases: {old: {system: a, url: x, tls: {insecure: yes}}}"),
             Contains("v.yaml:1:54: 'databases.old.tls.insecure' must be true or false, not 'yes'"));
}

TEST_CASE("the deadline of a listener's requests has its range") {
  const auto with = [](const std::string& timeout) {
    return pair_of_databases +
           "migrations: {m: {source: old, target: new}}\nlisteners:\n- {listen: ':1', dialect: a, " +
           "migration: m, request_timeout: " + timeout + "}\n";
  };
  for (const char* wrong : {"999ms", "61m"}) {
    CHECK(problem_of(with(wrong)) ==
          "v.yaml:4:61: 'listeners[0].request_timeout' must be a duration from 1s to 1h, not '" +
              std::string(wrong) + "'");
  }
  CHECK_THAT(problem_of(with("0")), Contains("'listeners[0].request_timeout' must be a duration"));
  for (const char* right : {"1s", "1h"}) CHECK(config::parse(with(right), "v.yaml").has_value());
}

TEST_CASE("a missing required key names the map that lacks it and shows what to write") {
  CHECK(problem_of("databases:\n  old:\n    system: a\n") ==
        "v.yaml:3:5: 'databases.old.url' is missing; write for example url: http://127.0.0.1:8000");
  CHECK_THAT(problem_of("databases:\n  old: {url: x}\n"),
             Contains("v.yaml:2:8: 'databases.old.system' is missing"));
  CHECK_THAT(problem_of("databases:\n  old: {system: , url: x}\n"),
             Contains("'databases.old.system' is missing"));
  CHECK_THAT(problem_of(pair_of_databases + "migrations:\n  m: {source: old}\n"),
             Contains("v.yaml:3:6: 'migrations.m.target' is missing"));
  CHECK_THAT(
      problem_of("listeners:\n- {dialect: a, migration: m}\nmigrations: {m: {source: old, target: new}}\n" +
                 pair_of_databases),
      Contains("v.yaml:2:3: 'listeners[0].listen' is missing"));
  CHECK_THAT(problem_of("listeners:\n- {listen: ':1', dialect: a, migration: m, tls: {cert: c}}\nmigrations: "
                        "{m: {source: old, target: new}}\n" +
                        pair_of_databases),
             Contains("v.yaml:2:49: 'listeners[0].tls.key' is missing"));
}

TEST_CASE("a reference to nothing names its place and what is there") {
  CHECK(problem_of(pair_of_databases + "migrations:\n  m:\n    source: old\n    target: nwe\n") ==
        "v.yaml:5:13: 'migrations.m.target' names 'nwe', which is not in 'databases'; did you mean 'new'?");
  CHECK(problem_of("listeners:\n- listen: :8001\n  dialect: a\n  migration: m\n") ==
        "v.yaml:4:14: 'listeners[0].migration' names 'm', which is not in 'migrations'; nothing is defined "
        "there");
  CHECK(problem_of(pair_of_databases + "migrations: {m: {source: old, target: elsewhere}}") ==
        "v.yaml:2:39: 'migrations.m.target' names 'elsewhere', which is not in 'databases'; defined there: "
        "old or new");
}

TEST_CASE(
    "a migration onto itself, two listeners on one port and two collections under one name are refused") {
  CHECK(problem_of(pair_of_databases + "migrations: {m: {source: old, target: old}}") ==
        "v.yaml:2:39: source and target of migration 'm' are both 'old'; a migration needs two databases");
  CHECK_THAT(
      problem_of(pair_of_databases + "migrations: {m: {source: old, target: new}}\nlisteners:\n" +
                 "- {listen: ':1', dialect: a, migration: m}\n- {listen: ':1', dialect: b, migration: m}\n"),
      Contains("v.yaml:5:12: two listeners on :1"));
  CHECK(problem_of(pair_of_databases +
                   "migrations: {m: {source: old, target: new, mapping: {names: {x: z, y: z}}}}") ==
        "v.yaml:2:71: 'x' and 'y' would both become 'z'; two collections cannot share one target");
}

TEST_CASE("an unset variable names the place of its reference") {
  ::unsetenv("VMPROXY_TEST_UNSET");
  CHECK(problem_of("data_dir: ${VMPROXY_TEST_UNSET}\n") ==
        "v.yaml:1:11: 'data_dir': the environment variable VMPROXY_TEST_UNSET is not set; set it, or give a "
        "default: "
        "${VMPROXY_TEST_UNSET:-...}");
  CHECK_THAT(problem_of("admin:\n  token: \"ab${VMPROXY_TEST_UNSET}\"\n"),
             Contains("v.yaml:2:13: 'admin.token': the environment"));
  CHECK_THAT(problem_of("admin: {token: x${VMPROXY_TEST_UNSET}y}\n"),
             Contains("v.yaml:1:17: 'admin.token': the environment"));
}

TEST_CASE("a broken reference names its place") {
  CHECK(problem_of("data_dir: ${OPEN\n") ==
        "v.yaml:1:11: 'data_dir': '${' is not closed by '}'; a literal '${' is written '$${'");
  CHECK(problem_of("data_dir: a${1X}\n") ==
        "v.yaml:1:12: 'data_dir': '${1X}' is no reference; write ${NAME}, ${NAME:-default} or ${file:PATH}");
  CHECK_THAT(problem_of("data_dir: ${file:/does/not/exist}\n"),
             Contains("v.yaml:1:11: 'data_dir': cannot read /does/not/exist: "));
  CHECK_THAT(problem_of("data_dir: ${file:}\n"),
             Contains("v.yaml:1:11: 'data_dir': '${file:}' names no file"));
}

TEST_CASE("broken YAML, anchors, aliases and second documents name their place") {
  CHECK_THAT(problem_of("journal: {max_bytes: 1GiB\n"), Contains("v.yaml:2:1: not valid YAML: "));
  CHECK_THAT(problem_of("a: b: c\n"), Contains("v.yaml:1:5: not valid YAML: "));
  CHECK_THAT(problem_of("journal: &j {max_bytes: 1GiB}\n"),
             Contains(":1:10: anchors ('&name') are not supported"));
  CHECK_THAT(problem_of("x: *y\n"), Contains("v.yaml:1:4: "));
  CHECK(problem_of("data_dir: a\n---\ndata_dir: b\n") ==
        "v.yaml:3:1: a second YAML document begins here; keep one per file");
  CHECK_THAT(problem_of("{[a]: b}"), Contains("v.yaml:1:2: a key must be a plain word"));
  CHECK_THAT(problem_of(std::string("data_dir: a\x04"
                                    "b\n")),
             Contains("v.yaml:1:12: a control character (byte 4)"));
}

TEST_CASE("all problems are told at once, in the order of the file") {
  CHECK(problem_of("workers: -3\nmemory: {inflight_bytes: 1}\nlog: {level: loud}\n") ==
        "v.yaml:1:10: 'workers' must be auto or a whole number from 1 to 256, not '-3'\n"
        "v.yaml:2:26: 'memory.inflight_bytes' must be a size like 256MiB or 50GiB, at least 1048576 bytes, "
        "not '1'\n"
        "v.yaml:3:14: 'log.level' must be trace, debug, info, warn or error, not 'loud'");
}

TEST_CASE("the admin API listens to other machines only with a token") {
  CHECK_THAT(problem_of("admin: {listen: '0.0.0.0:7070'}"),
             Contains("v.yaml:1:17: the admin API on 0.0.0.0:7070 could be reached"));
  CHECK(config::parse("admin: {listen: '0.0.0.0:7070', token: t}", "v.yaml").has_value());
  CHECK(config::parse("admin: {listen: '[::1]:7070'}", "v.yaml").has_value());
}

TEST_CASE("secrets are never part of a message") {
  ::setenv("VMPROXY_TEST_SECRET", "hunter2\nx", 1);
  const std::string text = problem_of(
      "admin: {listen: nowhere, token: '${VMPROXY_TEST_SECRET}'}\n"
      "databases: {old: {system: a, url: 'pg://u:hunter2@h/d', auth: {header: 'a b', token: hunter2, x: "
      "hunter2}}}\n");
  CHECK_THAT(text, !Contains("hunter2"));
  CHECK_THAT(text, Contains("'admin.token' holds a line break"));
}

TEST_CASE("names of databases and migrations stay printable") {
  CHECK_THAT(problem_of("databases: {'a b': {system: a, url: x}}"),
             Contains("v.yaml:1:13: 'a b' is no name for a database"));
  CHECK_THAT(problem_of(pair_of_databases + "migrations: {'m/../x': {source: old, target: new}}"),
             Contains("v.yaml:2:14: 'm/../x' is no name for a migration"));
}

TEST_CASE("systems and dialects are checked against the caller's list") {
  const config::KnownNames known{{"chrome", "pgtor"}, {"chrome"}};
  const std::string rest =
      "migrations: {m: {source: old, target: new}}\nlisteners:\n- {listen: ':1', migration: m, dialect: ";
  const auto check = [&](const std::string& yaml) {
    const auto parsed = config::parse(yaml, "v.yaml");
    REQUIRE(parsed.has_value());
    const auto valid = config::validate(*parsed, known, "v.yaml");
    return valid.has_value() ? std::string("ok") : valid.error().message;
  };
  const std::string good = "databases: {old: {system: chrome, url: x}, new: {system: pgtor, url: y}}\n";
  CHECK(check(good + rest + "chrome}") == "ok");
  CHECK(check("databases: {old: {system: crhome, url: x}, new: {system: pgtor, url: y}}\n" + rest +
              "chrome}") ==
        "v.yaml:1:27: unknown system 'crhome'; did you mean 'chrome'?\n"
        "v.yaml:4:41: migration 'm' goes from crhome to pgtor, so its listener cannot speak chrome, only "
        "the API of the source; write dialect: crhome");
  CHECK(check(good + rest + "pgtor}") ==
        "v.yaml:4:41: vmproxy can read and write pgtor, but a listener cannot speak it yet; dialects are "
        "chrome");
  const config::KnownNames both{{"chrome", "pgtor"}, {"chrome", "pgtor"}};
  const auto parsed = config::parse(good + rest + "pgtor}", "v.yaml");
  REQUIRE(parsed.has_value());
  const auto of_the_target = config::validate(*parsed, both, "v.yaml");
  REQUIRE(of_the_target.has_error());
  CHECK(of_the_target.error().message ==
        "v.yaml:4:41: migration 'm' goes from chrome to pgtor, so its listener cannot speak pgtor, only the "
        "API of the "
        "source; write dialect: chrome");
  CHECK(check(good + rest + "xyz}") == "v.yaml:4:41: unknown dialect 'xyz'; this vmproxy knows chrome");
  CHECK(check("data_dir: d").find("v.yaml: no 'listeners'") != std::string::npos);
}

TEST_CASE("a file that cannot be read says so") {
  const auto missing = config::load_file("/does/not/exist.yaml");
  REQUIRE(missing.has_error());
  CHECK(missing.error().code == Code::not_found);
  CHECK_THAT(missing.error().message,
             Contains("/does/not/exist.yaml: no such file; name the configuration with -c FILE"));
  const auto folder = config::load_file("/tmp");
  REQUIRE(folder.has_error());
  CHECK_THAT(folder.error().message, Contains("is a directory"));
}
