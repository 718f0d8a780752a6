// What a migration is opened with: where the applications' requests go.
#include "app/open_migration.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "tests/store/print_result.h"
#include "tests/support/fake_dialect.h"
#include "tests/support/fake_driver.h"

using namespace vmproxy;

namespace {

struct Opening {
  std::filesystem::path folder;
  SystemClock clock;
  Random random{7};
  Metrics metrics;
  std::string seen;      // the url that the source's driver was made with
  std::string asked_by;  // the header that the dialect was told of
  std::vector<protocols::System> systems{system("old"), system("new")};
  config::Config config;

  Opening() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vmproxy-open-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
    config.data_dir = folder.string();
    config.databases["source"].system = "old";
    config.databases["target"].system = "new";
    config.databases["target"].url = "http://new:1";
    config.migrations["m"].source = "source";
    config.migrations["m"].target = "target";
  }
  ~Opening() { std::filesystem::remove_all(folder); }

  protocols::System system(std::string_view name) {
    return {
        name,
        [this](const protocols::Endpoint& endpoint, Clock&) -> Result<std::unique_ptr<protocols::Driver>> {
          if (endpoint.name == "source") seen = endpoint.url;
          return std::unique_ptr<protocols::Driver>(std::make_unique<support::FakeDriver>());
        },
        [this](const protocols::Endpoint& endpoint) {
          asked_by = endpoint.auth_header;
          return std::unique_ptr<protocols::Dialect>(std::make_unique<support::FakeDialect>());
        }};
  }
  Result<std::unique_ptr<app::OpenMigration>> open(const std::string& url) {
    config.databases["source"].url = url;
    return app::open_migration(config, "m", {clock, random, metrics, systems});
  }
};

}  // namespace

TEST_CASE_METHOD(
    Opening, "requests go to the server of the source's url; what follows its '?' is for the driver alone") {
  const std::string url = "https://db.example:1234/?tenant=acme&database=shop";
  const auto opened = open(url);
  REQUIRE(opened);
  CHECK(seen == url);
  const net::UpstreamOptions& upstream = (*opened)->upstream->options();
  CHECK(upstream.host == "db.example");
  CHECK(upstream.port == 1234);
  CHECK(upstream.tls.enabled);
  REQUIRE((*opened)->close());
}

TEST_CASE_METHOD(Opening, "the dialect is told by which header the source's callers may ask") {
  config.databases["source"].auth.header = "x-gateway-key";
  const auto opened = open("http://db.example:1234");
  REQUIRE(opened);
  CHECK(asked_by == "x-gateway-key");
  REQUIRE((*opened)->close());
}

TEST_CASE_METHOD(Opening, "reads wait for the target to be up to date with each consistency but eventual") {
  using config::Consistency;
  for (const auto consistency : {Consistency::collection, Consistency::client, Consistency::eventual}) {
    config.reads.consistency = consistency;
    const auto opened = open("http://db.example:1234");
    REQUIRE(opened);
    CHECK((*opened)->migration->context().options.guard_reads == (consistency != Consistency::eventual));
    REQUIRE((*opened)->close());
  }
}

TEST_CASE_METHOD(Opening, "requests are handled as the configuration says") {
  config.mirror.mode = config::MirrorMode::sync;
  config.mirror.sync_timeout = std::chrono::milliseconds(70);
  config.reads.route_by = "header:x-user";
  config.reads.wait = std::chrono::milliseconds(30);
  for (const auto& [migration, seconds] :
       {std::pair("m", 30), std::pair("m", 600), std::pair("another", 900)}) {
    config.listeners.emplace_back();
    config.listeners.back().migration = migration;
    config.listeners.back().request_timeout = std::chrono::seconds(seconds);
  }
  const auto opened = open("http://db.example:1234");
  REQUIRE(opened);
  const proxy::ProxyOptions& options = (*opened)->migration->context().options;
  CHECK(options.sync);
  CHECK(options.sync_timeout == std::chrono::milliseconds(70));
  CHECK(options.route_by == "header:x-user");
  CHECK(options.read_wait == std::chrono::milliseconds(30));
  CHECK(options.request_max == std::chrono::seconds(600));
  REQUIRE((*opened)->close());
}

TEST_CASE_METHOD(Opening, "a source's url that is refused is named, and nothing of it is shown") {
  for (const std::string url :
       {"http://u:SECRET@h:1?database=x", "http://h:99999?key=SECRET", "ftp://h?key=SECRET",
        "http://h:1/path?key=SECRET", "http://h:1#f?key=SECRET", "?key=SECRET"}) {
    INFO(url);
    const auto opened = open(url);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("databases.source.url") != std::string::npos);
    CHECK(opened.error().message.find("SECRET") == std::string::npos);
  }
}
