// Commands that work without a server: check, discover, and the journal on the disk.
#include <catch2/catch.hpp>

#include "cli/check.h"
#include "cli/discover.h"
#include "cli/journal_local.h"
#include "journal/journal.h"
#include "store/rocksdb_store.h"
#include "tests/cli/fake_driver.h"
#include "tests/cli/fixture.h"

using namespace vmproxy;
using Catch::Matchers::Contains;
using vmproxy::testing::CliFixture;
using vmproxy::testing::fake_collection;
using vmproxy::testing::FakeDatabase;
using vmproxy::testing::TemporaryFile;

namespace {

struct LocalFixture : CliFixture {
  FakeDatabase old_database, new_database;
  std::vector<protocols::System> systems{vmproxy::testing::fake_system("chrome", old_database, true),
                                         vmproxy::testing::fake_system("pgtor", new_database, false)};
  std::filesystem::path folder;
  TemporaryFile file{""};

  LocalFixture() {
    folder = file.path.string() + ".data";
    std::filesystem::create_directories(folder);
    std::ofstream(file.path) << "data_dir: " << folder.string() << "\n"
                             << "databases: {old: {system: chrome, url: 'http://u:hunter2@h', auth: {token: "
                                "s3}}, new: {system: pgtor, url: y}}\n"
                                "migrations: {m: {source: old, target: new, collections: ['thing*']}}\n"
                                "listeners: [{listen: ':1', migration: m, dialect: chrome}]\n";
    local["check"] = cli::check_command(systems);
    local["discover"] = cli::discover_command(systems);
    local["journal stats"] = cli::journal_stats_command();
    local["journal verify"] = cli::journal_verify_command();
    old_database.collections = {fake_collection("things"), fake_collection("other")};
  }
  ~LocalFixture() { std::filesystem::remove_all(folder); }
  int check() { return run({"check", "-c", file.path.string()}); }
};

}  // namespace

TEST_CASE_METHOD(LocalFixture, "check tries both sides and leaves the target as it was") {
  CHECK(check() == 0);
  INFO(out);
  CHECK_THAT(out, Contains("ok    old (chrome) http://u:***@h: version 1.2.3"));
  CHECK_THAT(out, Contains("ok    new (pgtor): may create, write, delete and drop"));
  CHECK_THAT(out, Contains("ok    collection things: 384 x float32, cosine -> things"));
  CHECK_THAT(out, Contains("1 of 2 collections on old (chrome) included"));
  CHECK_THAT(out, !Contains("collection other") && !Contains("hunter2"));
  CHECK(old_database.seen_token == "s3");
  CHECK(new_database.collections.empty());
  const std::vector<std::string> on_source = old_database.calls;
  for (const char* change : {"create", "upsert", "erase", "drop"})
    CHECK(std::count(on_source.begin(), on_source.end(), change) == 0);
}

TEST_CASE_METHOD(LocalFixture, "check names what fails and how to mend it") {
  new_database.failures.emplace("create",
                                Error(Code::permission_denied, "permission denied for schema public"));
  CHECK(check() == 3);
  CHECK_THAT(out, Contains("fail  new (pgtor) may create collections: permission denied for schema public\n"
                           "      fix: grant this user the right, or use another one"));
  new_database.failures.clear();
  new_database.failures.emplace("describe_server",
                                Error(Code::refused_connection, "127.0.0.1:1: connection refused"));
  CHECK(check() == 6);
  CHECK_THAT(out, Contains("fail  new (pgtor) y: 127.0.0.1:1: connection refused"));
  CHECK_THAT(err, Contains("1 check failed"));
  new_database.failures.clear();
  new_database.failures.emplace("drop", Error(Code::timeout, "10 s"));
  CHECK(check() == 6);
  CHECK_THAT(out, Contains("which this check created"));
}

TEST_CASE_METHOD(LocalFixture, "check as JSON has every line") {
  old_database.collections.clear();
  CHECK(run({"check", "-c", file.path.string(), "-o", "json"}) == 0);
  CHECK(json()["failures"] == 0);
  CHECK(json()["warnings"].to_number<int>() >= 1);
  CHECK(json()["checks"].as_array().size() >= 5);
}

TEST_CASE_METHOD(LocalFixture, "a collection of that name on the target is a warning") {
  new_database.collections = {fake_collection("things")};
  CHECK(check() == 0);
  CHECK_THAT(out, Contains("warn  collection things: things exists on new (pgtor) already"));
}

TEST_CASE_METHOD(LocalFixture, "discover shows what a database holds") {
  environment["WHERE"] = "h:1";
  CHECK(run({"discover", "chrome", "--url", "http://${WHERE}"}) == 0);
  CHECK(out ==
        "chrome at http://h:1, version 1.2.3\n"
        "things\n  records  42\n  id       id, string\n  vectors  384 x float32, cosine\n  fields   any\n"
        "  sampled  in 0 records: none\n"
        "other\n  records  42\n  id       id, string\n  vectors  384 x float32, cosine\n  fields   any\n"
        "  sampled  in 0 records: none\n");
  CHECK(run({"discover", "chrome", "--url", "x", "-o", "json"}) == 0);
  CHECK(json()["collections"].as_array().size() == 2);
  CHECK(run({"discover", "chrmoe", "--url", "x"}) == 2);
  CHECK_THAT(err, Contains("unknown system 'chrmoe'; did you mean 'chrome'?"));
  CHECK(run({"discover", "chrome", "--url", "${NOT_SET}"}) == 2);
  old_database.failures.emplace("describe_server", Error(Code::unauthenticated, "no such user"));
  CHECK(run({"discover", "chrome", "--url", "x"}) == 7);
}

TEST_CASE_METHOD(LocalFixture, "discover shows the fields of a sample and their types") {
  old_database.collections = {fake_collection("things")};
  old_database.collections[0].fields.push_back({"sku", model::FieldKind::string});
  for (int i = 0; i < 300; ++i) {
    model::Record record;
    record.metadata = model::Object{{"sku", "a"}, {"year", 2000 + i}, {"gone", nullptr}};
    if (i == 7) (*record.metadata)["size"] = 1;
    if (i == 9) (*record.metadata)["size"] = "XL";
    if (i < 2) (*record.metadata)["tags"] = model::Array{"red", "blue"};
    old_database.records.push_back(record);
  }
  CHECK(run({"discover", "chrome", "--url", "x"}) == 0);
  CHECK_THAT(out,
             Contains("  fields   sku string, and any other\n") &&
                 Contains("  sampled  in 200 records: gone always null, size of several types, tags array\n"
                          "           of string, year int64\n"));
  CHECK(run({"discover", "chrome", "--url", "x", "-o", "json"}) == 0);
  const auto sampled = json()["collections"].as_array()[0].as_object()["sampled"].as_object();
  CHECK(sampled.at("records") == 200);
  const auto fields = sampled.at("fields").as_array();
  REQUIRE(fields.size() == 4);
  CHECK(fields[1].as_object().at("mixed") == true);
  CHECK(fields[2].as_object().at("element") == "string");
  CHECK(fields[3].as_object().at("present") == 200);

  old_database.collections[0].dynamic = false;
  CHECK(run({"discover", "chrome", "--url", "x"}) == 0);
  CHECK_THAT(out, !Contains("sampled"));
  old_database.collections[0].dynamic = true;
  old_database.failures.emplace("get", Error(Code::timeout, "nothing came within 10 s"));
  CHECK(run({"discover", "chrome", "--url", "x"}) == 0);
  CHECK_THAT(out, Contains("  sampled  cannot be read: nothing came within 10 s\n"));
}

TEST_CASE_METHOD(LocalFixture,
                 "what holds vectors and is no collection is named with its reason and what to do") {
  old_database.left_out = {{{"", "thingless"}, "table.primary_key: it has none", "give it one"}};
  CHECK(run({"discover", "chrome", "--url", "x"}) == 0);
  CHECK_THAT(out, Contains("thingless\n  LEFT OUT table.primary_key: it has none\n  fix      give it one\n"));
  CHECK(run({"discover", "chrome", "--url", "x", "-o", "json"}) == 0);
  REQUIRE(json()["left_out"].as_array().size() == 1);
  CHECK(json()["left_out"].as_array()[0].as_object()["why"] == "table.primary_key: it has none");
  CHECK(json()["left_out"].as_array()[0].as_object()["remedy"] == "give it one");

  CHECK(check() == 0);
  CHECK_THAT(out, Contains("warn  collection thingless: is left out") &&
                      Contains("table.primary_key: it has none") && Contains("fix: give it one"));
  // Asked for by name.
  std::string text = "data_dir: " + folder.string() +
                     "\ndatabases: {old: {system: chrome, url: h}, new: {system: pgtor, url: y}}\n"
                     "migrations: {m: {source: old, target: new, collections: [things, thingless]}}\n"
                     "listeners: [{listen: ':1', migration: m, dialect: chrome}]\n";
  std::ofstream(file.path) << text;
  CHECK(check() == 3);
  CHECK_THAT(out, Contains("fail  collection thingless: cannot be moved: table.primary_key: it has none\n"
                           "      fix: give it one"));
  // Not included.
  old_database.left_out[0].name.name = "someone";
  CHECK(check() == 0);
  CHECK_THAT(out, !Contains("someone"));
}

TEST_CASE_METHOD(LocalFixture, "without a server the journal is read from the disk and left as it was") {
  transport_error = Error(Code::refused_connection, "refused");
  CHECK(run({"journal", "stats", "-c", file.path.string()}) == 3);
  CHECK_THAT(err, Contains("there is no journal at"));

  SystemClock clock_of_disk;
  const std::string directory = (folder / "m").string();
  const auto open = [&](bool close_cleanly) {
    auto store = store::open_rocksdb(directory);
    REQUIRE(store.has_value());
    Metrics own;
    auto journal = journal::Journal::open(**store, clock_of_disk, own, {});
    REQUIRE(journal.has_value());
    const bool was_clean = (*journal)->stats().clean_start;
    if (close_cleanly) REQUIRE((*journal)->close().has_value());
    return was_clean;
  };
  std::filesystem::create_directories(directory);
  open(true);
  CHECK(run({"journal", "stats", "-c", file.path.string()}) == 0);
  CHECK_THAT(out, Contains("clean_start         true"));
  CHECK(open(false));  // still clean; and now as after a kill
  CHECK(run({"journal", "verify", "-c", file.path.string()}) == 0);
  CHECK_THAT(out, Contains("no problems"));
  CHECK(run({"journal", "stats", "-c", file.path.string(), "-o", "json"}) == 0);
  CHECK(json()["clean_start"] == false);
  CHECK_FALSE(open(true));  // the next start still knows of the kill
}

TEST_CASE("patterns name collections by their name or their whole path") {
  using cli::matches_any;
  CHECK(matches_any({"*"}, {"tenant/db", "things"}));
  CHECK(matches_any({"th?ngs"}, {"", "things"}));
  CHECK(matches_any({"tenant/*/things"}, {"tenant/db", "things"}));
  CHECK(matches_any({"a", "*ing*"}, {"", "things"}));
  CHECK_FALSE(matches_any({"thing"}, {"", "things"}));
  CHECK_FALSE(matches_any({"?"}, {"", "things"}));
  CHECK_FALSE(matches_any({}, {"", "things"}));
  CHECK_FALSE(matches_any({std::string(50, '*') + "x"}, {"", std::string(5000, 'a')}));
}
