// What each command asks of the admin API and shows of its answer.
#include <catch2/catch.hpp>

#include "base/fault.h"
#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;
using vmproxy::testing::TemporaryFile;

TEST_CASE_METHOD(CliFixture, "each changing command reaches the migration with who, why and which gates") {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"start", "--no-wait"}, "start until=ready"},
      {{"start", "--until", "mirroring", "--no-wait"}, "start until=mirroring"},
      {{"backfill", "pause"}, "pause"},
      {{"backfill", "resume"}, "resume"},
      {{"backfill", "throttle", "2500"}, "throttle 2500.000000"},
      {{"validate", "--no-wait"}, "validate full=1 sample=100.000000 repair=0"},
      {{"validate", "--sample", "5", "--repair", "--no-wait"}, "validate full=0 sample=5.000000 repair=1"},
      {{"cutover", "--percent", "12.5"}, "cutover 12.500000"},
      {{"promote", "--yes"}, "promote"},
      {{"rollback"}, "rollback"},
      {{"finalize", "--yes"}, "finalize"},
      {{"abandon", "--yes"}, "abandon"},
      {{"quarantine", "retry"}, "retry all"},
      {{"quarantine", "retry", "7"}, "retry 7"},
      {{"quarantine", "drop", "7", "--yes"}, "drop 7"},
  };
  for (auto [words, call] : cases) {
    words.insert(words.end(), {"--reason", "planned", "--force", "lag,gaps"});
    INFO(call);
    CHECK(run(words) == 0);
    REQUIRE_FALSE(control.calls().empty());
    CHECK_THAT(control.calls().back(), Catch::Matchers::StartsWith(call + " who=ann@"));
    CHECK_THAT(control.calls().back(), Catch::Matchers::EndsWith(" reason=planned force=lag,gaps,"));
    CHECK_THAT(out, Contains("NOT READY: not started"));
  }
}

TEST_CASE_METHOD(CliFixture, "-o json prints the admin API's own object and nothing else") {
  control.answer.lag_seconds = 0.25;
  for (const auto& words : {std::vector<std::string>{"status", "-o", "json"},
                            std::vector<std::string>{"cutover", "--percent", "1", "-o", "json"},
                            std::vector<std::string>{"rollback", "-o", "json"},
                            std::vector<std::string>{"start", "--no-wait", "-o", "json"}}) {
    CHECK(run(words) == 0);
    CHECK(err.empty());
    CHECK(json()["name"] == "m");
    CHECK(json()["lag"].as_object()["seconds"] == 0.25);
    CHECK_THAT(out, Contains("\"seconds\": 0.25"));
  }
  CHECK(run({"version", "-o", "json"}) == 0);
  CHECK(json()["version"] == "0.1.0");
}

TEST_CASE_METHOD(CliFixture, "with several migrations a name is needed, except for status") {
  two_migrations = true;
  other.answer.name = "orders";
  CHECK(run({"rollback"}) == 2);
  CHECK_THAT(err, Contains("which migration? There are m or orders"));
  CHECK(run({"rollback", "orders"}) == 0);
  CHECK(other.calls().size() == 1);
  CHECK(run({"-m", "orders", "backfill", "throttle", "5"}) == 0);
  CHECK(other.calls().size() == 2);
  CHECK(control.calls().empty());
  CHECK(run({"status", "ordres"}) == 2);
  CHECK_THAT(err, Contains("no migration 'ordres'; did you mean 'orders'?"));
  CHECK(run({"status", "-o", "json"}) == 0);
  CHECK(json()["migrations"].as_array().size() == 2);
  CHECK(run({"status", "orders", "-o", "json"}) == 0);
  CHECK(json()["name"] == "orders");
}

TEST_CASE_METHOD(CliFixture,
                 "the address comes from the option, the environment, the configuration, the default") {
  const TemporaryFile configuration("admin: {listen: '0.0.0.0:7171', token: secret}\n");
  const TemporaryFile local_only("admin: {listen: '[::1]:7172'}\n");
  server_token = "secret";
  CHECK(run({"status", "-c", configuration.path.string()}) == 0);
  CHECK(connected_to.back() == "http://127.0.0.1:7171");
  CHECK(run({"status", "-c", local_only.path.string(), "--token", "secret"}) == 0);
  CHECK(connected_to.back() == "http://[::1]:7172");
  environment["VMPROXY_CONFIG"] = configuration.path.string();
  CHECK(run({"status"}) == 0);
  CHECK(connected_to.back() == "http://127.0.0.1:7171");
  environment["VMPROXY_ADMIN"] = "http://there:1";
  CHECK(run({"status"}) == 0);  // with the token of the configuration that is named
  CHECK(connected_to.back() == "http://there:1");
  environment["VMPROXY_TOKEN"] = "secret";
  CHECK(run({"status"}) == 0);
  CHECK(connected_to.back() == "http://there:1");
  CHECK(run({"status", "--admin", "http://here:2", "--token", "wrong"}) == 7);
  CHECK(connected_to.back() == "http://here:2");
  environment.clear();
  server_token.clear();
  CHECK(run({"status"}) == 0);
  CHECK(connected_to.back() == "http://127.0.0.1:7070");
}

TEST_CASE_METHOD(
    CliFixture, "a command finds its server without the server's secrets, and whatever else the file holds") {
  const TemporaryFile configuration(
      "admin: {listen: '127.0.0.1:7173', token: '${VMPROXY_TEST_UNSET}'}\n"
      "databases: {old: {system: chrome, url: 'http://u:${VMPROXY_TEST_UNSET}@h'}}\n"
      "jurnal: {}\n");
  const std::string path = configuration.path.string();
  server_token = "secret";
  CHECK(run({"rollback", "-c", path, "--token", "secret"}) == 0);
  CHECK(connected_to.back() == "http://127.0.0.1:7173");
  environment["VMPROXY_TOKEN"] = "secret";
  environment["VMPROXY_CONFIG"] = path;
  CHECK(run({"rollback"}) == 0);
  CHECK(control.calls().size() == 2);
  // The token is wanted, and nowhere to be had.
  environment.erase("VMPROXY_TOKEN");
  CHECK(run({"rollback"}) == 1);
  CHECK_THAT(err,
             Contains("'admin.token': the environment") && Contains("--admin URL") && !Contains("jurnal"));
  CHECK(control.calls().size() == 2);
}

TEST_CASE_METHOD(
    CliFixture,
    "a configuration that only the environment names keeps no command from a server that is named") {
  const std::string missing = "/nowhere/to/be/found.yaml";
  const TemporaryFile unset("admin: {token: '${VMPROXY_TEST_UNSET}'}\n");
  const TemporaryFile broken("admin: [\n");
  environment["VMPROXY_CONFIG"] = missing;
  CHECK(run({"status", "--admin", "http://here:2"}) == 0);
  CHECK(connected_to.back() == "http://here:2");
  CHECK_THAT(err, !Contains(missing));
  environment["VMPROXY_ADMIN"] = "http://there:1";
  CHECK(run({"rollback"}) == 0);
  CHECK(connected_to.back() == "http://there:1");
  // One that is there and cannot be used is spoken of: the server may refuse who has no token.
  environment["VMPROXY_CONFIG"] = broken.path.string();
  CHECK(run({"rollback"}) == 0);
  CHECK_THAT(err, Contains("no token from $VMPROXY_CONFIG") && Contains(broken.path.string()));
  environment["VMPROXY_CONFIG"] = unset.path.string();
  server_token = "secret";
  CHECK(run({"rollback"}) == 7);
  CHECK_THAT(err, Contains("'admin.token': the environment"));
  CHECK(run({"rollback", "--token", "secret"}) == 0);
  CHECK_THAT(err, !Contains("VMPROXY_TEST_UNSET"));  // nothing of it is needed
  CHECK(control.calls().size() == 3);
  // What the command line names must be there, and so must what says where the server is.
  CHECK(run({"rollback", "-c", missing}) == 2);
  CHECK(run({"rollback", "-c", broken.path.string()}) == 1);
  environment.erase("VMPROXY_ADMIN");
  CHECK(run({"rollback", "--token", "secret"}) == 0);  // at the usual address: the file names none
  environment["VMPROXY_CONFIG"] = missing;
  CHECK(run({"rollback", "--token", "secret"}) == 2);
  environment["VMPROXY_CONFIG"] = broken.path.string();
  CHECK(run({"rollback", "--token", "secret"}) == 1);
  CHECK(control.calls().size() == 4);
}

TEST_CASE_METHOD(CliFixture, "the configuration is checked with its systems") {
  const TemporaryFile good(vmproxy::testing::good_configuration);
  CHECK(run({"config", "validate", "-c", good.path.string()}) == 0);
  CHECK(out == "ok: 2 databases, 1 migration, 1 listener\n");
  const TemporaryFile bad("databases: {old: {system: crhome, url: x}}\n");
  CHECK(run({"config", "validate", "-c", bad.path.string()}) == 1);
  CHECK_THAT(err, Contains(":1:27: unknown system 'crhome'; did you mean 'chrome'?"));
  CHECK(run({"config", "validate"}) == 2);
  CHECK_THAT(err, Contains("-c FILE"));
}

TEST_CASE_METHOD(CliFixture, "differences are listed on demand, as lines or as JSON") {
  control.answer.validation = {"different", "", 10, 1, 1, 0};
  control.found_differences = {{"things", "k1", "missing", ""},
                               {"things", "k2", "different", "metadata.price: 1 / 2"}};
  CHECK(run({"validate", "--show-diffs"}) == 4);
  CHECK(out ==
        "10 compared: 1 different, 1 missing, 0 extra\n"
        "missing\tthings\tk1\t\n"
        "different\tthings\tk2\tmetadata.price: 1 / 2\n");
  CHECK(run({"validate", "--show-diffs", "-o", "json"}) == 4);
  CHECK(json()["differences"].as_array().size() == 2);
  CHECK(json()["validation"].as_object()["missing"] == 1);
}

TEST_CASE_METHOD(CliFixture, "a clean comparison says what it could not compare") {
  control.answer.validation = {"clean", "", 10, 0, 0, 0, 1200};
  CHECK(run({"validate"}) == 0);
  CHECK(out == "10 compared: 0 different, 0 missing, 0 extra, 1 200 not compared (written all the while)\n");
  CHECK(run({"validate", "-o", "json"}) == 0);
  CHECK(json()["validation"].as_object()["unsettled"] == 1200);
  CHECK(run({"status"}) == 0);
  CHECK_THAT(out, Contains("0 of 10 differ, 1 200 not compared"));
}

TEST_CASE_METHOD(CliFixture,
                 "what the other side refused is no success of what was to bring it there or compare it") {
  control.answer.state = "ready";
  control.answer.validation = {"clean", "", 10, 0, 0, 0};
  control.answer.quarantined = 1;
  for (const std::string command : {"validate", "start"}) {
    INFO(command);
    CHECK(run({command}) == 4);
    CHECK_THAT(err, Contains("the target lacks 1 change") && Contains("vmproxy quarantine list"));
    CHECK(run({command, "--no-wait"}) == 0);
  }
  control.answer.state = "promoted";
  control.answer.primary = "target";
  CHECK(run({"validate"}) == 4);
  CHECK_THAT(err, Contains("the source lacks 1 change"));
}

TEST_CASE_METHOD(CliFixture, "the quarantine is listed and shown") {
  CHECK(run({"quarantine", "list"}) == 0);
  CHECK(out.empty());
  CHECK(err == "nothing is quarantined\n");
  control.entries = {{7, "things", "k", "too long", "2026-01-01T00:00:00Z"}};
  CHECK(run({"quarantine", "list"}) == 0);
  CHECK(out == "7\t2026-01-01T00:00:00Z\tthings\tk\ttoo long\n");
  CHECK(err.empty());
  control.answer.quarantined = 1234;
  CHECK(run({"quarantine", "list"}) == 0);
  CHECK_THAT(err, Contains("the first 1 of 1 234"));
  CHECK(run({"quarantine", "show", "7"}) == 0);
  CHECK(json()["reason"] == "too long");
  // Usage, as for the name of a migration that there is not: the command line is wrong, nothing failed.
  CHECK(run({"quarantine", "show", "8"}) == 2);
  CHECK_THAT(err, Contains("no quarantined change 8") && Contains("vmproxy quarantine list"));
  control.fail_with(Error(Code::not_found, "there is no quarantined change number 8"));
  CHECK(run({"quarantine", "retry", "8"}) == 2);
  CHECK(run({"quarantine", "drop", "8", "--yes"}) == 2);
}

TEST_CASE_METHOD(CliFixture, "the journal's figures come from the server, else from the disk") {
  control.stats = model::Object{{"intents", 3}, {"bytes", 1536}, {"sync_seconds_p50", 0.002}};
  CHECK(run({"journal", "stats"}) == 0);
  CHECK_THAT(out, Contains("intents             3\n"));
  CHECK_THAT(out, Contains("bytes               1.5 KiB\n"));
  control.verified = model::Object{{"intents", 3}, {"problems", model::Array{"intent 2: checksum"}}};
  CHECK(run({"journal", "verify"}) == 1);
  CHECK_THAT(out, Contains("problem: intent 2: checksum"));
  bool read_here = false;
  local["journal verify"] = [&](cli::Session&) -> cli::Ending {
    read_here = true;
    return std::nullopt;
  };
  CHECK(run({"journal", "verify"}) == 1);
  CHECK_FALSE(read_here);
  transport_error = Error(Code::refused_connection, "refused");
  CHECK(run({"journal", "verify"}) == 0);
  CHECK(read_here);
}

TEST_CASE_METHOD(CliFixture, "the fault points are listed in builds that have them, also without a server") {
  if (!fault::built_in) {
    CHECK(run({"debug", "faults"}) == 3);
    CHECK_THAT(err, Contains("this build has no fault points"));
    return;
  }
  CHECK(run({"debug", "faults"}) == 0);
  CHECK_THAT(out, Contains("journal.commit") && Contains("kill, delay, fail, full"));
  CHECK(run({"debug", "faults", "-o", "json"}) == 0);
  CHECK(json()["points"].as_array().size() == fault::points_count);
  transport_error = Error(Code::refused_connection, "refused");
  CHECK(run({"debug", "faults"}) == 0);
  CHECK_THAT(out, Contains("journal.commit"));
}

TEST_CASE_METHOD(CliFixture, "something else on the admin port is recognised") {
  transport_error = Error(Code::connection_lost, "closed");
  CHECK(run({"status"}) == 6);
}
